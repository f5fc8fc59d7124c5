"""The rule that lets the packets of a flow through a chain that stops them."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

from reconciler.model import port_ranges
from reconciler.model.firewall import NFT, Chain, Chains, Do, Load, Match, Members, Rule, Step, Verdict
from reconciler.model.port_ranges import PortRanges
from reconciler.planning.doctor.packet import DNAT, ESTABLISHED, LOCAL, PROTOCOLS, SNAT, u32
from reconciler.planning.doctor.walk import Obstacle

_RELATED = 4
_MOST = 7  # ranges of ports that one rule of iptables can have: of its 15 places, a range takes two
USER = "DOCKER-USER"
ACCEPT = Do("verdict", Verdict("accept"))


def advised(seen: Obstacle, chains: Chains) -> list[tuple[Chain, Rule]]:
    """Rules for the heads of chains; none where a person must decide."""
    base = _base(seen, chains)
    if base is None or base.locked or is_managed(base) or base.family in ("bridge", "arp"):
        return []
    place = _for_users(base, seen, chains) or base
    return [(place, Rule((*steps, ACCEPT))) for steps in _conditions(seen, place)]


def is_managed(chain: Chain) -> bool:
    """Whether firewalld makes the table, and makes it again whenever it is reloaded."""
    return chain.table == "firewalld"


def _base(seen: Obstacle, chains: Chains) -> Chain | None:
    """The base chain through which the packet came to the rule."""
    chain = seen.base
    return chains.get(chain.place)


def _for_users(base: Chain, seen: Obstacle, chains: Chains) -> Chain | None:
    """Docker's chain for rules of the administrator, where FORWARD jumps to it before the packet is stopped."""
    user = chains.get((*base.place[:3], USER))
    if user is None or base.name != "FORWARD":
        return None
    for rule in base.rules:
        if rule.steps == (Do("verdict", Verdict("jump", USER)),):
            return user
        if rule == seen.at.rule or _leads(rule, base, seen.at.chain, chains):
            return None
    return None


def _leads(rule: Rule, base: Chain, end: Chain, chains: Chains, depth: int = 16) -> bool:
    """Whether a jump of the rule comes to the chain, at last."""
    for verdict in (step.verdict for step in rule.steps if isinstance(step, Do) and step.verdict):
        next_one = chains.get((*base.place[:3], verdict.chain)) if verdict.chain and depth else None
        if next_one is None:
            continue
        if next_one.place == end.place or any(_leads(one, base, end, chains, depth - 1) for one in next_one.rules):
            return True
    return False


def _conditions(seen: Obstacle, chain: Chain) -> list[tuple[Step, ...]]:
    flow, packet = seen.flow, seen.packet
    tracked = packet.status is not None
    if flow.kind == "discovery":
        by = _link(6, packet.iif.name) or _link(7, packet.oif.name)
        kind = _equals(("payload", 2, 0), bytes([flow.port]))
        return [(*by, _equals(("meta", 16), bytes([PROTOCOLS[flow.protocol]])), kind)]
    if seen.hook == "egress":
        return _leaving(seen, chain)
    if seen.back:
        if not tracked:
            return _early_answer(seen)
        link = _link(6, packet.iif.name) if seen.hook != "postrouting" else _link(7, packet.oif.name)
        return [(*link, _bits(("ct", 0, None), ESTABLISHED | _RELATED))]
    if flow.target is None:
        link_in = _link(6, packet.iif.name) if seen.hook != "postrouting" else []
        link_out = _link(7, packet.oif.name) if seen.hook != "prerouting" else []
        hidden = seen.hook == "postrouting" and (packet.status or 0) & SNAT  # it has this scope's address already
        return [(*link_in, *link_out, _bits(("ct", 2, None), SNAT) if hidden else _prefix(flow.network))]
    if tracked and (packet.status or 0) & DNAT:
        return (
            [(*_link(7, packet.oif.name), _bits(("ct", 2, None), DNAT))]
            if packet.oif.name != ""
            else [(*_link(6, packet.iif.name), _bits(("ct", 2, None), DNAT))]
        )
    if chain.family == "netdev" or seen.hook == "ingress":
        return [_to_ports(seen, ports) for ports in _portions(flow.alike, chain)]
    by = _link(6, packet.iif.name) if seen.what == "drop" and seen.hook == "prerouting" else []
    return [(*by, *_to_ports(seen, ports)) for ports in _portions(flow.alike, chain)]


def _early_answer(seen: Obstacle) -> list[tuple[Step, ...]]:
    """An answer that is stopped before connections are tracked."""
    flow = seen.flow
    if flow.target is None:
        if seen.what != "notrack" or not flow.back:
            return []  # whatever comes in by the link: a person decides what may
        return [(*_link(6, seen.packet.iif.name), _address(flow.back, source=False))]
    if not flow.network:
        return []
    protocol = _equals(("meta", 16), bytes([PROTOCOLS[flow.protocol]]))
    return [(*_link(6, seen.packet.iif.name), _prefix(flow.network), protocol)]


def _leaving(seen: Obstacle, chain: Chain) -> list[tuple[Step, ...]]:
    """A packet that is stopped where connections are not known: in a chain of the link by which it leaves."""
    flow = seen.flow
    protocol = _equals(("meta", 16), bytes([PROTOCOLS[flow.protocol]]))
    if flow.target is None:
        return []  # whatever leaves by the link: a person decides what may
    if seen.back:
        return [(protocol, _ports(ports, 0)) for ports in _portions(flow.alike, chain)]
    return [(protocol, _address(flow.target[0], source=False))]


def _to_ports(seen: Obstacle, ports: PortRanges) -> tuple[Step, ...]:
    flow = seen.flow
    to: Step = _address(flow.listen, source=False) if flow.listen else _equals(("fib", 3, 2), u32(LOCAL))
    protocol = _equals(("meta", 16), bytes([PROTOCOLS[flow.protocol]]))
    head = () if seen.hook == "ingress" and not flow.listen else (to,)
    return (*head, protocol, _ports(ports, 2))


def _ports(ports: PortRanges, offset: int) -> Step:
    """The source (0) or destination (2) port."""
    exact: dict[tuple[bytes, ...], Verdict | None] = {(_packed(low),): None for low, high in ports if low == high}
    spans = tuple(((_packed(low),), (_packed(high),), None) for low, high in ports if low != high)
    return Match((Load(("payload", 2, offset), 2),), Members(exact, spans))


def _packed(port: int) -> bytes:
    return port.to_bytes(2, "big")


def _portions(ports: tuple[int, ...], chain: Chain) -> list[PortRanges]:
    """The ports as ranges, in as many parts as the chain's tool needs rules."""
    ranges = port_ranges.ranges_of(ports)
    most = len(ranges) if chain.maker == NFT else _MOST
    return [ranges[at : at + most] for at in range(0, len(ranges), most)]


def _link(key: int, name: str | None) -> list[Step]:
    return [_equals(("meta", key), name.encode().ljust(16, b"\0"))] if name else []


def _address(address: str, source: bool) -> Step:
    packed = ip_address(address).packed
    offset = {(4, True): 12, (4, False): 16, (16, True): 8, (16, False): 24}[len(packed), source]
    return _equals(("payload", 1, offset), packed)


def _prefix(prefix: str) -> Step:
    network = ip_network(prefix)
    packed, mask = network.network_address.packed, network.netmask.packed
    load = Load(("payload", 1, 12 if len(packed) == 4 else 8), len(packed), (("mask", mask, bytes(len(mask))),))
    return Match((load,), Members({(packed,): None}))


def _equals(what: tuple[Any, ...], value: bytes) -> Step:
    return Match((Load(what, len(value)),), Members({(value,): None}))


def _bits(what: tuple[Any, ...], mask: int) -> Step:
    """One of the bits is set."""
    return Match((Load(what, 4, (("mask", u32(mask), bytes(4)),)),), Members({(bytes(4),): None}), negated=True)
