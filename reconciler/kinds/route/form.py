"""``Route``: the form in which desired and live routes are compared."""

from __future__ import annotations

from reconciler.model.data import dataclass, field
from reconciler.model.keys import PROTOCOL, Key

AF_INET, AF_INET6 = 2, 10
TYPES = {"unicast": 1, "blackhole": 6, "unreachable": 7, "prohibit": 8, "throw": 9}  # RTN_*
SCOPES = {"global": 0, "site": 200, "link": 253, "host": 254}  # RT_SCOPE_*
TABLES = {"default": 253, "main": 254}
_NAMES = {number: name for name, number in TABLES.items()}
NOWHERE_SCOPE = 255  # RT_SCOPE_NOWHERE: in a deletion it stands for any scope
RTNH_F_ONLINK = 4
RTPROT_REDIRECT, RTPROT_KERNEL, RTPROT_RA = 1, 2, 9
KERNELS = (RTPROT_REDIRECT, RTPROT_KERNEL, RTPROT_RA)  # the kernel adds these again by itself
STATIC = (0, 3, 4, PROTOCOL)  # RTPROT_UNSPEC, _BOOT, _STATIC: of people and scripts; all others are of daemons
OF_ADDRESSES = 256  # the metric of the routes that the kernel creates for IPv6 addresses
METRIC = {AF_INET: 0, AF_INET6: 1024}  # the kernel's default


@dataclass(frozen=True, slots=True, order=True)
class NextHop:
    """One next hop; ``dev`` None: the kernel chooses the link by the gateway, and any link is right."""

    via: str
    dev: str | None
    weight: int
    onlink: bool


@dataclass(frozen=True, slots=True)
class Route:
    """A route; ``to`` is a canonical prefix; "" and 0 mean "none", so that all fields are compared.

    Never compared are ``protocol``, which shows the owner of a live route, and ``raw``, the message of a live route
    with all attributes that netrecon does not manage.
    """

    scope: str
    to: str
    table: int
    metric: int
    type: str
    hops: tuple[NextHop, ...]
    source: str
    reach: int  # RT_SCOPE_*
    mtu: int
    tos: int = 0
    by_object: bool = field(default=False, compare=False)  # a live one's hops are those of a nexthop object
    protocol: int = field(default=PROTOCOL, compare=False)
    raw: bytes = field(default=b"", compare=False)

    @property
    def family(self) -> int:
        return AF_INET6 if ":" in self.to else AF_INET


def key_of(route: Route) -> Key:
    """The key, such as ``route/test/main/default``; a metric other than the kernel's default is part of it."""
    table = _NAMES.get(route.table) or str(route.table)
    to = "default" if route.to == "0.0.0.0/0" else route.to
    metric = f" metric {route.metric}" if route.metric != METRIC[route.family] else ""
    return Key("route", route.scope, f"{table}/{to}{metric}" + (f" tos {route.tos}" if route.tos else ""))


def order(hop: NextHop) -> tuple[str, str, int]:
    """The sort key of the hops of a route."""
    return hop.via, hop.dev or "", hop.weight


def is_link_route(route: Route) -> bool:
    """Whether its destination is on a link, without a gateway."""
    return len(route.hops) == 1 and not route.hops[0].via


def connected(scope: str, to: str, link: str) -> Route:
    """The route that the kernel adds for an address: to its subnet, on its link."""
    hop = NextHop("", link, 1, False)
    metric, reach = (OF_ADDRESSES, 0) if ":" in to else (0, SCOPES["link"])
    return Route(scope, to, TABLES["main"], metric, "unicast", (hop,), "", reach, 0, protocol=RTPROT_KERNEL)
