"""The addresses, subnets and ports that a topology's networks have now, and the facts of the host that they need."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field, replace
from ipaddress import ip_address
from typing import Any, NamedTuple

from reconciler.kinds.links import bridge
from reconciler.language.networks.model import EMPTY
from reconciler.model.data import dataclass
from reconciler.model.keys import HOST, STAMP, stamped
from reconciler.model.names import MOST_SERVERS, PUBLISHED_ADDRESS, PUBLISHED_ANY, table_name, table_owner
from reconciler.model.rows import LinkRow, LiveState, RouteRow, ScopeState

MAIN, UNICAST = 254, 1
BRIDGE_NF = {4: "net.bridge.bridge-nf-call-iptables", 6: "net.bridge.bridge-nf-call-ip6tables"}
# A route with a prefix this short is a default route, or half of one as VPNs make them: subnets in it are free.
WIDE = {2: 1, 10: 7}  # AF_INET and AF_INET6 -> prefix length

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
    ``ports``: Published -> the ports of the host that lead there, sorted.
    """

    bridges: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: EMPTY)
    endpoints: Mapping[str, Lease] = field(default_factory=lambda: EMPTY)
    ports: Mapping[Published, tuple[int, ...]] = field(default_factory=lambda: EMPTY)


class Route(NamedTuple):
    """A prefix in use: by a route of the host through ``link``, or by a network of the topology ``owner``.

    ``live`` is True for a route in the kernel, False for a subnet that another topology of this run will get.
    """

    prefix: str
    link: str
    owner: str
    live: bool = True


@dataclass(frozen=True, slots=True)
class HostFacts:
    """Facts of the host that lowering needs.

    ``mtu``: of the link of the default route; ``routes``: prefixes in use; ``resolver``: nameservers, search and
    options of resolv.conf; ``ports``: (protocol, port) in use; ``ipv6``: whether the kernel has IPv6; ``topologies``:
    those of this run; ``bridge_nf``: the IP versions whose bridged frames netfilter sees (BRIDGE_NF).
    """

    mtu: int | None = None
    routes: tuple[Route, ...] = ()
    resolver: Mapping[str, list[str]] = field(default_factory=lambda: EMPTY)
    ports: frozenset[tuple[str, int]] = frozenset()
    ipv6: bool = True
    topologies: frozenset[str] = frozenset()
    bridge_nf: frozenset[int] = frozenset()

    def beside(self, topology: str, subnets: Iterable[str], ports: Iterable[tuple[str, int]]) -> HostFacts:
        """These facts, with the subnets and ports that another topology of this run will get."""
        routes = (*self.routes, *(Route(prefix, "", topology, live=False) for prefix in subnets))
        return replace(self, routes=routes, ports=self.ports | frozenset(ports))


# ------------------------------------------------------------------ from the live state


def leases_of(live: LiveState, topology: str) -> Leases:
    """The topology's leases, from the stamped links of the host, their peers and the topology's nftables table."""
    state = live.scopes[HOST]
    addresses = {scope: _by_link(scope_state) for scope, scope_state in live.scopes.items()}
    ours = [row for row in state.links.values() if row.alias == STAMP + topology]
    bridges = {row.name: tuple(addresses[HOST].get(row.index, ())) for row in ours if row.kind == bridge.KIND.rtnl}
    endpoints = {
        row.name: Lease(scope, live.scopes[scope].links[index].mac, tuple(addresses[scope].get(index, ())))
        for row in ours
        if row.index in state.peers
        for scope, index in (state.peers[row.index],)
    }
    return Leases(bridges, endpoints, _ports(state, topology))


def _by_link(state: ScopeState) -> dict[int, list[str]]:
    addresses: dict[int, list[str]] = {}
    for row in state.addresses:
        if row.permanent:
            addresses.setdefault(row.index, []).append(row.address)
    return addresses


def _ports(state: ScopeState, topology: str) -> dict[Published, tuple[int, ...]]:
    ports_of: dict[Published, set[int]] = {}
    for (protocol, listen, port), to in _published(state, topology):
        ports_of.setdefault((protocol, listen, *to), set()).add(port)
    return {published: tuple(sorted(ports)) for published, ports in ports_of.items()}


def _published(state: ScopeState, topology: str) -> Iterator[tuple[tuple[str, str, int], tuple[str, int]]]:
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


def facts_of(
    live: LiveState,
    topology: str,
    topologies: frozenset[str] = frozenset(),
    upstream: str = "",
    listening: frozenset[tuple[str, int]] = frozenset(),
) -> HostFacts:
    """The facts of the host for one topology of this run's ``topologies``.

    ``upstream`` is the text of the resolv.conf with the servers that a local resolver asks, "" for none; ``listening``
    has (protocol, port) of listening sockets.
    """
    state = live.scopes[HOST]
    others = [table_owner(name) for name in state.tables if name != table_name(topology)]
    ports = {(protocol, port) for other in others for (protocol, _, port), _ in _published(state, other)}
    loopback = [row for row in state.links.values() if row.loopback]
    return HostFacts(
        mtu=_uplink_mtu(state),
        routes=tuple(route for route in _routes(state) if route.owner != topology),
        resolver=resolver(live.files.get((HOST, "resolv.conf"), ""), upstream),
        ports=listening | ports,
        ipv6=all(row.addr_gen_mode >= 0 for row in loopback),
        topologies=topologies,
        bridge_nf=frozenset(version for version, key in BRIDGE_NF.items() if live.sysctls.get((HOST, key)) == "1"),
    )


def _routes(state: ScopeState) -> Iterator[Route]:
    """The host's unicast routes, without default routes and without link-local and multicast prefixes."""
    for route in state.routes:
        narrow = int(route.to.partition("/")[2]) > WIDE[route.family]
        if route.type == UNICAST and narrow and not route.to.startswith(("fe80:", "ff")):
            links = [state.links[hop.oif] for hop in route.hops if hop.oif in state.links]
            yield Route(route.to, links[0].name, stamped(links[0].alias)) if links else Route(route.to, "", "")


def _uplink_mtu(state: ScopeState) -> int | None:
    """The MTU of the link of the best default route: of IPv4 if there is one, else of IPv6."""
    defaults = [row for row in state.routes if row.table == MAIN and row.type == UNICAST and row.to.endswith("/0")]
    for route in sorted(defaults, key=_preference):
        links: list[LinkRow] = [state.links[hop.oif] for hop in route.hops if hop.oif in state.links]
        if links:
            return links[0].mtu
    return None


def _preference(route: RouteRow) -> tuple[int, int]:
    return route.family, route.metric


# ------------------------------------------------------------------ resolv.conf

_DOMAIN = re.compile(r"[A-Za-z0-9_.-]{1,255}")
_OPTION = re.compile(r"[!-~]{1,255}")


def resolver(text: str, upstream: str = "") -> dict[str, list[str]]:
    """Nameservers, search and options of a resolv.conf, without name servers that only the host can reach.

    If none is left, the name servers are those of the resolv.conf ``upstream``.
    """
    settings = _parsed(text)
    if not settings["nameservers"] and upstream:
        settings = {**settings, "nameservers": _parsed(upstream)["nameservers"]}
    servers = settings["nameservers"][:MOST_SERVERS]  # the host's resolver does not ask the others either
    return {word: values for word, values in {**settings, "nameservers": servers}.items() if values}


def _parsed(text: str) -> dict[str, list[str]]:
    settings: dict[str, Any] = {"nameservers": [], "search": [], "options": []}
    for line in text.splitlines():
        word, *values = line.split("#")[0].split(";")[0].split() or [""]
        if word == "nameserver" and values and _reachable(values[0]):
            settings["nameservers"].append(values[0])
        elif word in ("search", "domain"):  # the last line counts (resolv.conf(5))
            settings["search"] = [value for value in values if _DOMAIN.fullmatch(value)]
        elif word == "options":
            settings["options"] += [value for value in values if _OPTION.fullmatch(value)]
    return settings


def _reachable(text: str) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    # A zone (fe80::1%eth0) names a link of the host, which another namespace does not have.
    return not (address.is_loopback or address.is_unspecified or getattr(address, "scope_id", None))
