"""Which packets are followed: those of each published port, and those of each network's way out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_interface, ip_network
from typing import Any

from reconciler.kinds import BY_NAME, having
from reconciler.model.data import NamedTuple
from reconciler.model.keys import Key
from reconciler.model.rows import LinkRow, ScopeState
from reconciler.planning.doctor.classes import Classes
from reconciler.planning.doctor.packet import ND, NO_LINK, PROTOCOLS, Link
from reconciler.planning.finding import ADMITS, SENDS, Objects

_LEADS = having(lambda kind: kind.leads)
_CONNECTS, _HOLDS = having(lambda kind: kind.connects), having(lambda kind: kind.holds)
_PORTS = having(lambda kind: kind.ports)
_SOMEWHERE = {  # addresses of well-known sites, of which the first is taken that no route but a default one covers
    4: ("93.184.216.34", "151.101.65.69", "45.33.32.156"),
    6: ("2600:1406:3a00::b81c", "2a04:4e42::644", "2a01:7e00::f03c"),
}
_OUTSIDE_PORTS = (("tcp", 443), ("udp", 53))
_INSIDE_PORTS = (("tcp", 80), ("udp", 53))
_SOLICITATION, _ADVERTISEMENT = 135, 136  # of a neighbour (RFC 4861)
_HOSTS = (77, 143, 201, 23, 9, 5, 2)  # host numbers to choose a client from
Network = IPv4Network | IPv6Network


class Peer(NamedTuple):
    """A place outside: an address there, the link to it, and this scope's own address on that link."""

    address: str
    link: Link
    own: str
    name: str


class Flow(NamedTuple):
    """A connection: its first packet goes from ``source`` to ``to``:``port``.

    ``kind`` is outside, sibling, host (to a published port), out (from a network), discovery (of neighbours, IPv6) or
    within (between two ports of a bridge: netfilter sees these packets only with bridge-nf-call-iptables).  ``iif`` is
    the link by which the packet comes, ``oif`` that by which it leaves.  A published port is translated to
    ``target``.  ``back`` is the own address to which the answers go first, where the source is translated.  ``keys``
    are the objects for which packets go this way, ``ports`` their ports.  ``network`` is the prefix of the source, or
    of the target.
    """

    kind: str
    protocol: str
    source: str
    to: str
    port: int
    iif: Link
    oif: Link
    keys: tuple[Key, ...]
    ports: tuple[int, ...]
    name: str
    target: tuple[str, int] | None = None
    back: str = ""
    network: str = ""
    listen: str = ""  # "" for every address
    alike: tuple[int, ...] = ()  # all published ports that no rule tells from ``port``

    @property
    def family(self) -> int:
        return 6 if ":" in self.to else 4

    @property
    def end(self) -> str:
        """The address at which the packets arrive."""
        return self.target[0] if self.target else self.to


class Ground:
    """What is known of one scope: its links and addresses, the subnets of the topology, and the ways out."""

    def __init__(self, scope: str, objects: Objects, state: ScopeState | None, classes: Classes) -> None:
        self.scope = scope
        self.state = state or ScopeState(scope)
        self._classes = classes
        self._ports: dict[int, list[str]] = {}
        for row in self.state.links.values():
            self._ports.setdefault(row.master, []).append(row.name)
        self._by_name = {row.name: row for row in self.state.links.values()}
        lent = {(ip_interface(one), link) for one, link in _lent(scope, objects, self.state)}
        subnets = {*_subnets(scope, objects), *((one.network, link) for one, link in lent)}
        self.subnets = sorted(subnets, key=lambda pair: (-pair[0].prefixlen, str(pair)))
        self._members = _members(scope, objects)
        self._gateways = {ip_interface(one).ip: link for one, link in _own(scope, objects)}
        self._gateways |= {one.ip: link for one, link in lent}
        sent, masked = (dict.fromkeys(one) for one in _sources(scope, objects))
        targets, hidden = [*map(ip_address, sent)], [*map(ip_network, masked)]
        self._inner = {
            link
            for prefix, link in self.subnets
            if any(_meet(prefix, one) for one in hidden) or any(target in prefix for target in targets)
        }
        self._admitted = dict(
            ADMITS[key.kind](value) for key, value in objects.items() if key.kind in ADMITS and key.scope == scope
        )
        ways = set(map(ip_address, set(_gateways(scope, objects)))) & self._gateways.keys()
        self.unhidden = [  # networks whose members have their way out here, and keep their addresses on it
            (prefix, link)
            for prefix, link in self.subnets
            if link in self._admitted
            and any(ip in prefix for ip in ways)
            and not any(_meet(prefix, one) for one in hidden)
        ]
        self.peers = {family: list(self._peers(family)) for family in (4, 6)}

    def link(self, name: str) -> Link:
        row = self._by_name.get(name)
        return self._link(row) if row else Link(name)

    def at(self, index: int) -> Link:
        """The link with this index."""
        row = self.state.links.get(index)
        return self._link(row) if row else Link(None, index)

    def _link(self, row: LinkRow) -> Link:
        ports = self._ports.get(row.index, ())
        return Link(row.name, row.index, row.kind, row.group, tuple(ports))

    def towards(self, address: str) -> str:
        """The link whose declared subnet contains the address, "" for none."""
        found = ip_address(address)
        return next((link for prefix, link in self.subnets if found in prefix), "")

    def admitted(self, link: str) -> frozenset[str]:
        """The links from which packets may be sent to this one; of one that admits all, what is certain: itself."""
        return self._admitted.get(link, frozenset({link}))

    def is_live(self, address: str, name: str) -> bool:
        """Whether the link is up and has the subnet that contains the address."""
        row = self._by_name.get(name)
        if row is None or not row.up:
            return False
        own = (ip_interface(one.address) for one in self.state.addresses if one.index == row.index)
        return any(ip_address(address) in one.network for one in own)

    def own(self, link: str, family: int) -> str:
        """This scope's address on one of the topology's links, "" for none."""
        return next((str(ip) for ip, name in self._gateways.items() if name == link and ip.version == family), "")

    def member(self, prefix: Network, other_than: str = "") -> str:
        """The address of somebody in the subnet, "" for none."""
        inside = (one for one in self._members if ip_address(one) in prefix and one != other_than)
        return next(inside, "")

    def member_or_any(self, prefix: Network) -> str:
        """The address of somebody in the subnet, or one that somebody could have."""
        return self.member(prefix) or self._client(prefix, {str(ip) for ip in self._gateways})

    # -------------------------------------------------------------- outside

    def outside(self, family: int) -> list[Peer]:
        """The places outside; where no link leads there, one by a link of which nothing is known."""
        return self.peers[family] or [Peer(_SOMEWHERE[family][0], Link(None), "", "outside")]

    def _peers(self, family: int) -> Iterator[Peer]:
        defaults = {hop.oif for row in self.state.routes if _is_default(row.to, family) for hop in row.hops}
        gateways = {hop.via for row in self.state.routes for hop in row.hops if hop.via}
        first_of: dict[int, str] = {}
        for row in self.state.addresses:
            one = ip_interface(row.address)
            link = self.state.links.get(row.index)
            if one.version != family or link is None or link.loopback or not link.up or link.name in self._inner:
                continue
            if one.is_link_local:
                continue
            own = str(one.ip)
            first_of.setdefault(link.index, own)
            client = row.far or self._client(one.network, {own, *gateways})
            if client:
                yield Peer(client, self._link(link), own, f"{one.network} by {link.name}")
        for index in sorted(defaults):
            if index in self.state.links and self.state.links[index].name not in self._inner:
                link = self.state.links[index]
                own = first_of.get(index) or next(iter(first_of.values()), "")
                yield Peer(self._somewhere(family), self._link(link), own, f"beyond the default route by {link.name}")

    def _client(self, network: Network, taken: set[str]) -> str:
        """An address of the subnet that nobody is known to have, and that few rules name."""
        last = network.num_addresses - (network.num_addresses > 2)  # without the broadcast address
        numbers = [number for number in (*_HOSTS, *range(last > 2, 8)) if number < last]
        free = (one for one in (str(network[number]) for number in numbers) if one not in taken)
        return max(free, key=self._classes.room, default="")

    def _somewhere(self, family: int) -> str:
        specific = [
            ip_network(row.to)
            for row in self.state.routes
            if not _is_default(row.to, family) and (":" in row.to) == (family == 6)
        ]
        free = [one for one in _SOMEWHERE[family] if not any(ip_address(one) in prefix for prefix in specific)]
        return max(free or _SOMEWHERE[family][:1], key=self._classes.room)

    def is_network_of_others(self, peer: Peer) -> bool:
        """Whether the link is a bridge of somebody's containers or machines, and so no way out."""
        if peer.link.kind != "bridge" or peer.name.startswith("beyond"):
            return False
        ports = [row for row in self.state.links.values() if row.master == peer.link.index]
        defaults = {hop.oif for row in self.state.routes if row.to in ("0.0.0.0/0", "::/0") for hop in row.hops}
        return peer.link.index not in defaults and all(row.kind in ("veth", "tun") for row in ports)


def flows(ground: Ground, sending: Iterable[tuple[Key, Any]], classes: Classes) -> Iterator[Flow]:
    """The flows of one scope, one for each class of ports and addresses between which no rule tells a difference."""
    groups: dict[tuple[Any, ...], list[tuple[Key, Any]]] = {}
    alike: dict[tuple[Any, ...], set[int]] = {}  # the ports that no rule tells apart before they are translated
    targets: dict[str, tuple[str, int | str]] = {}  # thousands of ports have few
    asked = PROTOCOLS.keys() - {ND}
    for key, value in sending:
        if BY_NAME[key.kind].publishes and value.protocol in asked:
            target = targets.get(value.target)
            if target is None:
                target = targets[value.target] = ground.towards(value.target), classes.of(value.target)
            port = classes.of_port(value.port)
            ends = *target, port, classes.of_port(value.target_port)
            groups.setdefault((value.protocol, value.listen, port, *ends), []).append((key, value))
            alike.setdefault((value.protocol, value.listen, port), set()).add(value.port)
        elif not BY_NAME[key.kind].publishes:
            yield from _ways_out(ground, key, ip_network(SENDS[key.kind](value), strict=False))
    for prefix, subnet_link in ground.unhidden:
        yield from _out(ground, prefix, subnet_link, ())
    yield from _between(ground)
    yield from _neighbours(ground, sending)
    for place, group in groups.items():
        yield from _to_port(ground, group, tuple(sorted(alike[place[:3]])))


def _to_port(ground: Ground, group: list[tuple[Key, Any]], alike: tuple[int, ...]) -> Iterator[Flow]:
    mapped = group[0][1]
    family = 6 if ":" in mapped.listen else 4
    oif = ground.link(ground.towards(mapped.target) or "") if ground.towards(mapped.target) else Link(None)
    keys, ports = tuple(key for key, _ in group), tuple(sorted({one.port for _, one in group}))
    everywhere = mapped.listen in ("0.0.0.0", "::")
    loopback = ip_address(mapped.listen).is_loopback
    common = {
        "protocol": mapped.protocol,
        "port": mapped.port,
        "oif": oif,
        "keys": keys,
        "ports": ports,
        "alike": alike,
        "network": str(next((prefix for prefix, _ in ground.subnets if ip_address(mapped.target) in prefix), "")),
        "target": (mapped.target, mapped.target_port),
        "listen": "" if everywhere else mapped.listen,
    }
    gateway = ground.own(oif.name or "", family)
    for peer in ground.outside(family) if not loopback else ():
        to = mapped.listen if not everywhere else peer.own or gateway or _ANY[family]
        yield Flow("outside", source=peer.address, to=to, iif=peer.link, name=f"from {peer.name}", **common)
    here = _here(ground, mapped.listen if not everywhere else "", gateway, family)
    for to in here:
        name = f"from this host to {to}" if ip_address(to).is_loopback else "from this host"
        yield Flow("host", source=to, to=to, iif=NO_LINK, back=gateway, name=name, **common)
    sibling = _sibling(ground, mapped.target)
    if sibling and not loopback and here:
        yield Flow(
            "sibling", source=sibling, to=here[0], iif=oif, back=gateway, name=f"from its neighbour {sibling}", **common
        )


_ANY = {4: "192.0.2.1", 6: "2001:db8::1"}  # stands for an address of this scope, where none is known


def _here(ground: Ground, listen: str, gateway: str, family: int) -> list[str]:
    """The addresses at which the host asks for a published port."""
    if listen:
        return [listen]
    own = next((peer.own for peer in ground.peers[family] if peer.own), gateway)
    return [one for one in (own, "127.0.0.1" if family == 4 else "") if one]


def _sibling(ground: Ground, target: str) -> str:
    prefix = next((prefix for prefix, _ in ground.subnets if ip_address(target) in prefix), None)
    return ground.member(prefix, target) if prefix is not None else ""


def _neighbours(ground: Ground, sending: Iterable[tuple[Key, Any]]) -> Iterator[Flow]:
    """Neighbour discovery of IPv6, without which no packet finds a target; ARP has tables of its own."""
    ends = {SENDS[key.kind](value).partition("/")[0] for key, value in sending}
    ends |= {str(prefix.network_address) for prefix, _ in ground.unhidden}
    near = {link: address for address in sorted(ends) if ":" in address and (link := ground.towards(address))}
    links = {ground.link(name): (address, ground.own(name, 6)) for name, address in near.items()}
    if links:
        links |= {peer.link: (peer.address, peer.own) for peer in ground.peers[6] if not peer.name.startswith("beyond")}
    for by, (address, own) in links.items():
        for kind in (_SOLICITATION, _ADVERTISEMENT) if own else ():
            name = f"between neighbours on {by.name} (neighbour discovery, ICMPv6 type {kind})"
            yield Flow("discovery", ND, address, own, kind, by, by, (), (), name)


def _ways_out(ground: Ground, key: Key, source: Network) -> Iterator[Flow]:
    for prefix, link in ground.subnets:
        if _meet(prefix, source):
            yield from _out(ground, prefix if prefix.prefixlen >= source.prefixlen else source, link, (key,))


def _out(ground: Ground, prefix: Network, link: str, keys: tuple[Key, ...]) -> Iterator[Flow]:
    """From a subnet to each place outside; without ``keys`` the packets keep their source address."""
    client, by = ground.member_or_any(prefix), ground.link(link)
    for peer in ground.outside(prefix.version) if client else ():
        if peer.link == by or ground.is_network_of_others(peer):
            continue
        name, back = f"from {prefix} to {peer.name}", peer.own if keys else ""
        for protocol, port in _OUTSIDE_PORTS:
            ends = (client, peer.address, port, by, peer.link)
            yield Flow("out", protocol, *ends, keys, (), name, back=back, network=str(prefix))


def _between(ground: Ground) -> Iterator[Flow]:
    """Within each network, and from each other network that it admits."""
    for prefix, link in ground.subnets:
        to = ground.member(prefix)
        for source, other in ground.subnets if to else ():
            client = ground.member(source, to)
            if client and other in ground.admitted(link) and source.version == prefix.version:
                name = f"from {source} to {prefix}" if link != other else f"between members of {prefix}"
                kind = "within" if link == other else "out"
                ways = ground.link(other), ground.link(link)
                for protocol, port in _INSIDE_PORTS:
                    yield Flow(kind, protocol, client, to, port, *ways, (), (), name, network=str(source))


# ------------------------------------------------------------------ facts of objects


def _own(scope: str, objects: Objects) -> Iterator[tuple[str, str]]:
    """(address, link) of the scope's own addresses."""
    for key, value in objects.items():
        if key.scope == scope and key.kind in _HOLDS:
            link, address = _HOLDS[key.kind](value)
            yield address, link


def _sources(scope: str, objects: Objects) -> tuple[list[str], list[str]]:
    """The targets of published ports, and the sources of masquerades."""
    found: tuple[list[str], list[str]] = ([], [])
    for key, value in objects.items():
        if key.kind in SENDS and key.scope == scope:
            found[not BY_NAME[key.kind].publishes].append(SENDS[key.kind](value))
    return found


def _gateways(scope: str, objects: Objects) -> Iterator[str]:
    """The gateways of the default routes of other scopes."""
    for key, value in objects.items():
        route = _LEADS[key.kind](value) if key.kind in _LEADS and key.scope != scope else None
        if route is not None and route.to in ("0.0.0.0/0", "::/0"):
            yield from (hop.via for hop in route.hops if hop.via)


def _subnets(scope: str, objects: Objects) -> Iterator[tuple[Network, str]]:
    for key, value in objects.items():
        connects = _CONNECTS.get(key.kind)
        if connects is not None and key.scope == scope:
            prefix, link = connects(value)
            network = ip_network(prefix, strict=False)
            if link != "lo" and not network.is_link_local:
                yield network, link


def _lent(scope: str, objects: Objects, state: ScopeState) -> Iterator[tuple[str, str]]:
    """(address, link) of bridges of others that objects are ports of: the topology declares none of their addresses."""
    ports = (pair for key, value in objects.items() if key.kind in _PORTS for pair in _PORTS[key.kind](value))
    masters = {bridge for (where, _), bridge in ports if where == scope}
    there = {row.index: row.name for row in state.links.values() if row.name in masters}
    if not there:
        return
    made = {place for key, value in objects.items() if not BY_NAME[key.kind].existing for place in _links(key, value)}
    lent = {index: name for index, name in there.items() if (scope, name) not in made}
    for row in state.addresses if lent else ():
        if row.index in lent and not ip_interface(row.address).ip.is_link_local:
            yield row.address, lent[row.index]


def _links(key: Key, value: Any) -> Iterable[tuple[str, str]]:
    return BY_NAME[key.kind].links(value)


def _members(scope: str, objects: Objects) -> list[str]:
    """The addresses of others, sorted."""
    held = (_HOLDS[key.kind](value)[1] for key, value in objects.items() if key.kind in _HOLDS and key.scope != scope)
    own = {address for address, _ in _own(scope, objects)}
    return sorted(
        {address for address in held if address not in own}, key=lambda one: (":" in one, int(ip_address(one)))
    )


def _is_default(to: str, family: int) -> bool:
    return to == ("0.0.0.0/0" if family == 4 else "::/0")


def _meet(one: Any, other: Any) -> bool:
    return bool(one.version == other.version and one.overlaps(other))


States = Mapping[str, ScopeState]
