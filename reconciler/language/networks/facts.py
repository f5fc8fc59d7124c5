"""The facts of the host that networks are lowered from, as they will be after the plan."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from reconciler.language.networks.leases import published
from reconciler.language.networks.model import EMPTY, Held
from reconciler.model.data import NamedTuple, dataclass, field, replace
from reconciler.model.keys import HOST, stamped
from reconciler.model.names import IPV6_MIN_MTU, MOST_SERVERS, table_name, table_owner
from reconciler.model.patterns import pattern
from reconciler.model.rows import LiveState, ScopeState

if TYPE_CHECKING:
    from reconciler.language.networks.external import Shared, Standing

UNICAST = 1
ETHERNET_MAX_MTU = 65535  # ETH_MAX_MTU, of bridges and veths
BRIDGE_NF = {4: "net.bridge.bridge-nf-call-iptables", 6: "net.bridge.bridge-nf-call-ip6tables"}
OF_ONE_BRIDGE = {4: "nf_call_iptables", 6: "nf_call_ip6tables"}  # the same for one bridge, among its attributes
# A route with a prefix this short is a default route, or half of one as VPNs make them: subnets in it are free.
WIDE = {4: 1, 6: 7}  # IP version -> prefix length


class Route(NamedTuple):
    """A prefix in use: by a route of the host through ``link``, or by a network of the topology ``owner``.

    ``live`` is True for a route in the kernel, False for a subnet that another topology of this run will get.
    """

    prefix: str
    link: str
    owner: str
    live: bool = True


class Named(NamedTuple):
    """The subnets, the (protocol, port) and the prefixes of routes that the files of a run name themselves."""

    subnets: frozenset[str] = frozenset()
    ports: frozenset[tuple[str, int]] = frozenset()
    routes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class HostFacts:
    """Facts of the host that lowering needs.

    ``mtus``: of the way out by IP version; ``routes``: prefixes in use; ``resolver``: nameservers, search and
    options of resolv.conf; ``ports``: (protocol, port) in use; ``ipv6``: whether the kernel has IPv6; ``topologies``:
    those of this run; ``bridge_nf``: the IP versions whose bridged frames netfilter sees (BRIDGE_NF);
    ``bridges_nf``: (bridge, IP version) where netfilter sees those of one bridge; ``named``: what is never chosen;
    ``busy``: prefixes in use before the plan, which are not chosen either: the plan may let them go only later.
    ``standing``: the bridges of topologies on the host, None where it was not read; ``shared``: the networks of this
    run's files; ``held``: addresses of other topologies' endpoints (see external.py).
    """

    mtus: Mapping[int, int] = field(default_factory=lambda: EMPTY)
    routes: tuple[Route, ...] = ()
    resolver: Mapping[str, list[str]] = field(default_factory=lambda: EMPTY)
    ports: frozenset[tuple[str, int]] = frozenset()
    ipv6: bool = True
    topologies: frozenset[str] = frozenset()
    bridge_nf: frozenset[int] = frozenset()
    bridges_nf: frozenset[tuple[str, int]] = frozenset()
    named: Named = Named()
    busy: frozenset[str] = frozenset()
    standing: Mapping[tuple[str, str], Standing] | None = None
    shared: Shared = field(default_factory=lambda: EMPTY)
    held: tuple[Held, ...] = ()

    def filters(self, bridge: str, version: int) -> bool:
        """Whether netfilter sees the frames of an IP version that a bridge passes between its ports."""
        return version in self.bridge_nf or (bridge, version) in self.bridges_nf

    def mtu(self, versions: Collection[int]) -> int | None:
        """The smallest MTU of the ways out of these IP versions, or of any where they have none; None for none.

        It is one that an Ethernet link can have, and where IPv6 is used one that IPv6 works with.
        """
        listed = [mtu for version, mtu in self.mtus.items() if version in versions] or self.mtus.values()
        least = min(listed, default=None)
        return least and min(max(least, IPV6_MIN_MTU if 6 in versions else 0), ETHERNET_MAX_MTU)

    def beside(self, topology: str, subnets: Iterable[str], ports: Iterable[tuple[str, int]]) -> HostFacts:
        """These facts, with the subnets and ports that another topology of this run will get."""
        routes = (*self.routes, *(Route(prefix, "", topology, live=False) for prefix in subnets))
        return replace(self, routes=routes, ports=self.ports | frozenset(ports))


def facts_of(
    live: LiveState,
    topology: str,
    topologies: frozenset[str] = frozenset(),
    upstream: str = "",
    listening: frozenset[tuple[str, int]] = frozenset(),
    mtus: Mapping[int, int] = EMPTY,
) -> HostFacts:
    """The facts of the host for one topology of this run's ``topologies``; ``live`` is the host after the plan.

    ``upstream`` is the text of the resolv.conf with the servers that a local resolver asks, "" for none; ``listening``
    has (protocol, port) of listening sockets; ``mtus`` are those of the way out by IP version.
    """
    state = live.scopes[HOST]
    others = [table_owner(name) for name in state.tables if name != table_name(topology)]
    ports = {(protocol, port) for other in others for (protocol, _, port), _ in published(state, other)}
    loopback = [row for row in state.links.values() if row.loopback]
    return HostFacts(
        mtus=mtus,
        routes=tuple(route for route in _routes(state) if route.owner != topology),
        resolver=resolver(live.files.get((HOST, "resolv.conf"), ""), upstream),
        ports=listening | ports,
        ipv6=all(row.addr_gen_mode >= 0 for row in loopback),
        topologies=topologies,
        bridge_nf=frozenset(version for version, key in BRIDGE_NF.items() if _is_on(live.sysctls.get((HOST, key)))),
        bridges_nf=frozenset(
            (row.name, version)
            for row in state.links.values()
            for version, word in OF_ONE_BRIDGE.items()
            if row.data.get(word)
        ),
    )


def busy(live: LiveState, topology: str) -> frozenset[str]:
    """The prefixes of the host's routes, but for those of the topology's own links."""
    return frozenset(route.prefix for route in _routes(live.scopes[HOST]) if route.owner != topology)


def _is_on(value: str | None) -> bool:
    return value not in (None, "0")


def _routes(state: ScopeState) -> Iterator[Route]:
    """The host's unicast routes, without default routes and without link-local and multicast prefixes."""
    for route in state.routes:
        narrow = int(route.to.partition("/")[2]) > WIDE[6 if ":" in route.to else 4]
        if route.type == UNICAST and narrow and not route.to.startswith(("fe80:", "ff")):
            links = [state.links[hop.oif] for hop in route.hops if hop.oif in state.links]
            yield Route(route.to, links[0].name, stamped(links[0].alias)) if links else Route(route.to, "", "")


# ------------------------------------------------------------------ resolv.conf

_DOMAIN = pattern(r"[A-Za-z0-9_.-]{1,255}")
_OPTION = pattern(r"[!-~]{1,255}")


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
