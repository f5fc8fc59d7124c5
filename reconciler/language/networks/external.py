"""Networks of other topologies that sandboxes of this file join: from the files of the run, or as the host has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from reconciler.language.networks import naming, subnets
from reconciler.language.networks.facts import HostFacts
from reconciler.language.networks.ipam import Pool, network_of, number
from reconciler.language.networks.leases import Leases, addresses_by_link, bridges
from reconciler.language.networks.model import Endpoint, Held, Network, Note, Sandbox
from reconciler.model import data as dataclasses
from reconciler.model.data import NamedTuple
from reconciler.model.keys import HOST, stamped
from reconciler.model.names import table_name
from reconciler.model.rows import LinkRow, LiveState, ScopeState

Shared = Mapping[tuple[str, str], Network]  # (topology, name of its network)


class Standing(NamedTuple):
    """A network as the host has it: the addresses of its bridge with prefix lengths, and what its topology says."""

    addresses: tuple[str, ...]
    mtu: int
    internal: bool
    icc: bool


# ------------------------------------------------------------------ what it is


def resolved(
    data: Mapping[str, Any], networks: Mapping[str, Network], shared: Shared, facts: HostFacts, note: Note
) -> dict[str, Network]:
    """The networks, the external ones with their subnets: from the files of the run (``shared``), else from the host.

    A network that is in neither is noted, and has no subnets; nothing is noted where the host was not read.
    """
    done: dict[str, Network] = {}
    for name, network in networks.items():
        done[name] = network
        if not network.external:
            continue
        theirs = shared.get((network.external, network.theirs))
        if theirs is not None:
            done[name] = _like(network, theirs)
        elif network.external in facts.topologies:
            known = [other for topology, other in shared if topology == network.external]
            note((*network.path, "external"), _missing(network, known))
        elif facts.standing is not None:
            bridge = _bridge(network, data["networks"][name], facts.standing)
            there = facts.standing.get((network.external, bridge))
            if there is None:
                note((*network.path, "external"), _not_there(network, facts.standing))
            else:
                done[name] = _as_on_host(dataclasses.replace(network, bridge=bridge), there, facts)
        done[name] = _within(done[name], data["networks"][name], note)
    return done


def _bridge(network: Network, entry: Mapping[str, Any], standing: Mapping[tuple[str, str], Standing]) -> str:
    """The bridge's name: of a network from a Compose project it has the topology's name too."""
    own = naming.bridge_of(network.external, network.theirs)
    return own if entry.get("bridge") is None and (network.external, own) in standing else network.bridge


def _like(network: Network, theirs: Network) -> Network:
    return dataclasses.replace(
        network,
        bridge=theirs.bridge,
        pools=theirs.pools,
        internal=theirs.internal,
        icc=theirs.icc,
        mtu=theirs.mtu,
        filtered=theirs.filtered,
    )


def _as_on_host(network: Network, there: Standing, facts: HostFacts) -> Network:
    gateways = [(network_of(text), number(text.partition("/")[0])[1]) for text in there.addresses]
    pools = tuple(Pool(subnet, subnet, gateway) for subnet, gateway in gateways)
    filtered = all(facts.filters(network.bridge, pool.subnet.version) for pool in pools)
    return dataclasses.replace(
        network, pools=pools, internal=there.internal, icc=there.icc, mtu=there.mtu, filtered=filtered
    )


def _within(network: Network, entry: Mapping[str, Any], note: Note) -> Network:
    """The network with the range that the file gives its own sandboxes."""
    if "ip_range" not in entry or not network.pools:
        return network
    listed = [pool.subnet for pool in network.pools]
    subnets.check_fitting(network, "ip_range", entry["ip_range"], listed, note)
    ranges = [subnets.within(network, pool.subnet, pool.within, entry, note) for pool in network.pools]
    pools = (pool._replace(within=part) for pool, part in zip(network.pools, ranges, strict=True))
    return dataclasses.replace(network, pools=tuple(pools))


def _missing(network: Network, known: Iterable[str]) -> str:
    listed = ", ".join(sorted(known))
    there = f"it has {listed}" if listed else "it has none"
    return f"topology {network.external} has no network {network.theirs}; {there}"


def _not_there(network: Network, standing: Iterable[tuple[str, str]]) -> str:
    text = (
        f"topology {network.external} has no network {network.theirs} on this host (no bridge {network.bridge} of it)"
    )
    for owner in (topology for topology, bridge in standing if bridge == network.bridge):
        return f"{text}; {network.bridge} belongs to topology {owner}: after a rename, write external: {owner}"
    return f"{text}; apply its file first, or together with this one"


# ------------------------------------------------------------------ from the host


def standing(live: LiveState) -> dict[tuple[str, str], Standing]:
    """By (topology, bridge), the bridges that topologies have on the host."""
    state = live.scopes[HOST]
    addresses = addresses_by_link(state)
    rows = [row for row in bridges(state) if stamped(row.alias)]
    return {(stamped(row.alias), row.name): _standing(state, row, addresses.get(row.index, [])) for row in rows}


def _standing(state: ScopeState, row: LinkRow, addresses: list[str]) -> Standing:
    table = state.tables.get(table_name(stamped(row.alias)))
    sets: Mapping[str, Any] = table.elements if table is not None else {}
    icc = (row.name,) not in sets.get("isolated", ()) or (row.name, row.name) in sets.get("allowed", ())
    internal = (row.name,) in sets.get("internal", ())
    return Standing(tuple(_gateways(row, addresses)), row.mtu, internal, icc)


def _gateways(row: LinkRow, addresses: Sequence[str]) -> Iterator[str]:
    """One address of each IP version: the one in the bridge's MAC address, else the first that was added."""
    fixed = naming.address_in(row.mac)
    four = [text for text in addresses if ":" not in text]
    # the kernel lists the IPv6 addresses of a link newest first
    six = [text for text in reversed(addresses) if ":" in text and not text.startswith("fe80:")]
    yield from sorted(four, key=lambda text: number(text.partition("/")[0])[1] != fixed)[:1]
    yield from six[:1]


def held_on_host(live: LiveState, topologies: frozenset[str]) -> tuple[Held, ...]:
    """The addresses that endpoints of topologies outside of this run have on bridges of the host."""
    state = live.scopes[HOST]
    addresses = {scope: addresses_by_link(one) for scope, one in live.scopes.items()}
    ends = [row for row in state.links.values() if row.master in state.links and row.index in state.peers]
    listed: list[Held] = []
    for row in ends:
        topology = stamped(row.alias)
        if topology not in topologies:
            scope, index = state.peers[row.index]
            whose = f"{scope} of topology {topology}" if topology else f"{scope}, which is not netrecon's"
            for text in addresses[scope].get(index, ()):
                listed.append(Held(state.links[row.master].name, *number(text.partition("/")[0]), whose))
    return tuple(listed)


# ------------------------------------------------------------------ who has which address


def held(topology: str, sandboxes: Iterable[Sandbox], networks: Mapping[str, Network]) -> Iterator[Held]:
    """The addresses that the endpoints of a topology were given."""
    for endpoint in (one for sandbox in sandboxes for one in sandbox.endpoints):
        for address in endpoint.addresses:
            yield _held(topology, endpoint, networks, address.version, address.number, firm=True)


def claims(
    topology: str, sandboxes: Iterable[Sandbox], networks: Mapping[str, Network], leases: Leases
) -> Iterator[Held]:
    """The addresses that endpoints have now or that their file names, before they are given any."""
    for endpoint in (one for sandbox in sandboxes for one in sandbox.endpoints):
        for version, value in endpoint.wanted.items():
            yield _held(topology, endpoint, networks, version, value, firm=False)
        lease = leases.endpoints.get(endpoint.link)
        if lease is not None and lease.sandbox == endpoint.sandbox:
            numbers = (number(text.partition("/")[0]) for text in lease.addresses)
            yield from (_held(topology, endpoint, networks, *one, firm=True) for one in numbers)


def _held(
    topology: str, endpoint: Endpoint, networks: Mapping[str, Network], version: int, value: int, firm: bool
) -> Held:
    whose = f"{endpoint.sandbox} of topology {topology}"
    return Held(networks[endpoint.network].bridge, version, value, whose, firm)
