"""The addresses, subnets and ports that a topology's networks have now, which they keep."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from reconciler.kinds.links import bridge
from reconciler.language.networks import naming
from reconciler.language.networks.ipam import Block, network_of
from reconciler.language.networks.model import EMPTY
from reconciler.model.data import dataclass, field
from reconciler.model.keys import HOST, STAMP
from reconciler.model.names import PUBLISHED_ADDRESS, PUBLISHED_ANY, table_name
from reconciler.model.rows import LinkRow, LiveState, ScopeState

MASQUERADED = ("masq4", "masq6", "snat4", "snat6")  # the sets of their sources (see kinds/nat/masquerade.py)
Published = tuple[str, str, str, int]  # protocol, listen, target, target port


@dataclass(frozen=True, slots=True)
class Lease:
    """What an endpoint has now: its sandbox, and the MAC and addresses of its link in the sandbox."""

    sandbox: str
    mac: str
    addresses: tuple[str, ...]  # with their prefix lengths


@dataclass(frozen=True, slots=True)
class Leases:
    """What the networks of one topology have in the kernel now, found by the topology's stamp.

    ``bridges``: bridge -> its addresses with prefix lengths.  ``endpoints``: name of the host's end -> Lease.
    ``ports``: Published -> the ports of the host that lead there, sorted.  ``macs``: bridge -> its MAC.
    ``masqueraded``: the prefixes that the topology's table masquerades.
    """

    bridges: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: EMPTY)
    endpoints: Mapping[str, Lease] = field(default_factory=lambda: EMPTY)
    ports: Mapping[Published, tuple[int, ...]] = field(default_factory=lambda: EMPTY)
    macs: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    masqueraded: frozenset[str] = frozenset()

    def stands(self, network: str, bridge: str, subnet: Block) -> bool:
        """Whether something of a network in this subnet is left: its bridge, an endpoint, or its masquerade.

        An address shows it, or the MAC that was made from the address, in case somebody removed the address.
        """
        ends = [one for link, one in self.endpoints.items() if link == naming.veth(one.sandbox, network)]
        texts = [*self.bridges.get(bridge, ()), *(text for one in ends for text in one.addresses)]
        macs = [self.macs.get(bridge, ""), *(one.mac for one in ends)]
        inside = (naming.address_in(mac) for mac in macs if subnet.version == 4)
        return (
            any(network_of(text) == subnet for text in texts)
            or any(value is not None and subnet.start <= value <= subnet.last for value in inside)
            or str(subnet) in self.masqueraded
        )


# ------------------------------------------------------------------ from the live state


def leases_of(live: LiveState, topology: str) -> Leases:
    """The topology's leases, from the stamped links of the host, their peers and the topology's nftables table."""
    state = live.scopes[HOST]
    addresses = {scope: addresses_by_link(scope_state) for scope, scope_state in live.scopes.items()}
    ours = [row for row in state.links.values() if row.alias == STAMP + topology]
    made = (row for row in bridges(state) if row.alias == STAMP + topology)
    there = {row.name: tuple(addresses[HOST].get(row.index, ())) for row in made}
    endpoints = {
        row.name: Lease(scope, live.scopes[scope].links[index].mac, tuple(addresses[scope].get(index, ())))
        for row in ours
        if row.index in state.peers
        for scope, index in (state.peers[row.index],)
    }
    macs = {row.name: row.mac for row in ours if row.name in there}
    return Leases(there, endpoints, _ports(state, topology), macs, frozenset(_masqueraded(state, topology)))


def bridges(state: ScopeState) -> Iterator[LinkRow]:
    """The bridges of a scope, whoever made them."""
    return (row for row in state.links.values() if row.kind == bridge.KIND.rtnl)


def with_others(own: Leases, others: Iterable[Leases]) -> Leases:
    """The leases with those of other topologies of the run: what moves from one to another keeps what it has."""
    for other in others:
        own = Leases(
            {**other.bridges, **own.bridges},
            {**other.endpoints, **own.endpoints},
            {**other.ports, **own.ports},
            {**other.macs, **own.macs},
            own.masqueraded | other.masqueraded,
        )
    return own


def _masqueraded(state: ScopeState, topology: str) -> Iterator[str]:
    table = state.tables.get(table_name(topology))
    elements = table.elements if table is not None else {}
    return (key[0] for name in MASQUERADED for key in elements.get(name, ()))


def addresses_by_link(state: ScopeState) -> dict[int, list[str]]:
    addresses: dict[int, list[str]] = {}
    for row in state.addresses:
        if row.permanent:
            addresses.setdefault(row.index, []).append(row.address)
    return addresses


def _ports(state: ScopeState, topology: str) -> dict[Published, tuple[int, ...]]:
    ports_of: dict[Published, set[int]] = {}
    for (protocol, listen, port), to in published(state, topology):
        ports_of.setdefault((protocol, listen, *to), set()).add(port)
    return {published: tuple(sorted(ports)) for published, ports in ports_of.items()}


def published(state: ScopeState, topology: str) -> Iterator[tuple[tuple[str, str, int], tuple[str, int]]]:
    """(protocol, listen, port) and (target, port) of each element of the maps of one table."""
    table = state.tables.get(table_name(topology))
    if table is None:
        return
    for family, everything in ((4, "0.0.0.0"), (6, "::")):
        for key, to in table.elements.get(PUBLISHED_ANY[family], {}).items():
            if len(key) == 2:
                yield (key[0], everything, key[1]), (to[0], to[1])
        for key, to in table.elements.get(PUBLISHED_ADDRESS[family], {}).items():
            if len(key) == 3:
                yield (key[1], key[0], key[2]), (to[0], to[1])
