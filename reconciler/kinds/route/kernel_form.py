"""Live routes from the kernel's rows, and the requests that create, change and delete routes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.kinds.context import Noted, Reading
from reconciler.kinds.route.form import (
    AF_INET,
    AF_INET6,
    NOWHERE_SCOPE,
    RTNH_F_ONLINK,
    STATIC,
    TYPES,
    NextHop,
    Route,
    key_of,
    order,
)
from reconciler.model import data as dataclasses
from reconciler.model.changes import KERNEL, NOBODY, UNKNOWN, Live
from reconciler.model.keys import PROTOCOL, STAMP, Key, stamped
from reconciler.model.requests import NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, LinkRef, Netlink, Request
from reconciler.model.rows import Hop, RouteRow

_UNNOTED = Noted("", None)


def read(reading: Reading) -> Iterator[tuple[Key, Live]]:
    by_key: dict[Key, list[Live]] = {}
    names = {index: link.name for index, link in reading.state.links.items()}
    for row in reading.state.routes:
        route = _from_row(reading.state.scope, row, names)
        by_key.setdefault(key_of(route), []).append(Live(route, _owner(reading, row, route)))
    for key, routes in by_key.items():
        yield from _apart(key, routes, reading)


def _apart(key: Key, routes: list[Live], reading: Reading) -> Iterator[tuple[Key, Live]]:
    """IPv4 allows several routes with one destination and metric: the desired one gets the key, others a number."""
    wanted = reading.wanted.get(key)
    if wanted is not None and len(routes) > 1:
        routes = sorted(routes, key=lambda route: mask(wanted.object, route.object) != wanted.object)
    for number, route in enumerate(routes, 1):
        yield (key if number == 1 else key._replace(name=f"{key.name} ({number})")), route


def _from_row(scope: str, row: RouteRow, names: Mapping[int, str]) -> Route:
    hops = tuple(sorted((_hop(hop, names) for hop in row.hops), key=order))
    kind = next(name for name, number in TYPES.items() if number == row.type)
    reach = row.scope if row.family == AF_INET and kind == "unicast" else 0
    raw = b"" if row.protocol == PROTOCOL else row.raw
    shape = (row.source, reach, row.mtu, row.tos, row.nexthop > 0, row.protocol, raw)
    return Route(scope, row.to, row.table, row.metric, kind, hops, *shape)


def _hop(hop: Hop, names: Mapping[int, str]) -> NextHop:
    return NextHop(hop.via, names.get(hop.oif), hop.weight, hop.onlink)


def _owner(reading: Reading, row: RouteRow, route: Route) -> str:
    key = key_of(route)
    if row.protocol not in STATIC:
        return KERNEL
    if reading.exclusive and reading.owner:
        return reading.owner
    if row.protocol == PROTOCOL:
        return reading.noted.get(key, _UNNOTED).topology or _link_owner(reading, row) or reading.owner or UNKNOWN
    # A foreign route over a link of ours stays foreign, unless the same route is desired.
    return (_link_owner(reading, row) if key in reading.wanted else "") or NOBODY


def _link_owner(reading: Reading, row: RouteRow) -> str:
    rows = [reading.state.links.get(hop.oif) for hop in row.hops]
    owners = {stamped(link.alias) for link in rows if link and link.alias.startswith(STAMP)}
    return owners.pop() if len(owners) == 1 else ""


def mask(wanted: Route, live: Route) -> Route:
    """The live route without the links that the topology leaves to the kernel."""
    if len(wanted.hops) != len(live.hops):
        return live
    hops = []
    for want, have in zip(wanted.hops, live.hops, strict=True):
        hops.append(dataclasses.replace(have, dev=None) if want.dev is None else have)
    return dataclasses.replace(live, hops=tuple(hops))


def create(route: Route, _owner: str) -> Iterator[Request]:
    yield _request(route, NLM_F_CREATE | NLM_F_EXCL)


def update(_before: Route, after: Route, _owner: str) -> Iterator[Request]:
    yield _request(after, NLM_F_CREATE | NLM_F_REPLACE)


def adopt(route: Route, _wanted: Route, _owner: str) -> Iterator[Request]:
    yield from restamp(route, dataclasses.replace(route, protocol=PROTOCOL))


def stamp(route: Route) -> int:
    return route.protocol


def restamp(_now: Route, route: Route) -> Iterator[Request]:
    """Changes only rtm_protocol: the dumped message is sent back, with all attributes that netrecon does not know."""
    flags = NLM_F_CREATE | NLM_F_REPLACE
    if route.raw:
        body = route.raw[:5] + bytes([route.protocol]) + route.raw[6:]
        yield Netlink(route.scope, "newroute", {}, flags=flags, body=body)
    else:
        yield _request(route, flags)


def _request(route: Route, flags: int) -> Request:
    fields = {
        "family": route.family,
        "dst_len": int(route.to.partition("/")[2]),
        "tos": route.tos,
        "table": route.table if route.table < 256 else 0,
        "proto": route.protocol,
        "scope": route.reach,
        "type": TYPES[route.type],
        "flags": RTNH_F_ONLINK if len(route.hops) == 1 and route.hops[0].onlink else 0,
    }
    return Netlink(route.scope, "newroute", fields, tuple(_attributes(route)), flags)


def _attributes(route: Route) -> Iterator[tuple[str, Any]]:
    yield "RTA_DST", route.to.partition("/")[0]
    yield "RTA_TABLE", route.table
    if route.metric:
        yield "RTA_PRIORITY", route.metric
    if route.source:
        yield "RTA_PREFSRC", route.source
    if route.mtu:
        yield "RTA_METRICS", {"attrs": (("RTAX_MTU", route.mtu),)}
    if len(route.hops) == 1:
        yield from _hop_attributes(route, route.hops[0])
    elif route.hops:
        yield "RTA_MULTIPATH", tuple(_multipath(route, hop) for hop in route.hops)


def _hop_attributes(route: Route, hop: NextHop) -> Iterator[tuple[str, Any]]:
    if hop.via:
        yield _gateway(route.family, hop.via)
    if hop.dev is not None:
        yield "RTA_OIF", LinkRef(route.scope, hop.dev)


def _gateway(family: int, via: str) -> tuple[str, Any]:
    """The gateway's attribute; an IPv4 route may have an IPv6 gateway, in an attribute of its own (RFC 5549)."""
    own = AF_INET6 if ":" in via else AF_INET
    return ("RTA_GATEWAY", via) if own == family else ("RTA_VIA", {"family": own, "addr": via})


def _multipath(route: Route, hop: NextHop) -> dict[str, Any]:
    return {
        "hops": hop.weight - 1,
        "oif": LinkRef(route.scope, hop.dev) if hop.dev is not None else 0,
        "flags": RTNH_F_ONLINK if hop.onlink else 0,
        "attrs": (_gateway(route.family, hop.via),) if hop.via else (),
    }


def put_back(route: Route, anew: bool) -> Iterator[Request]:
    """The dumped message again, with all attributes; over a link that was created again (``anew``), by link names."""
    if anew:
        yield _request(route, NLM_F_CREATE | NLM_F_REPLACE)
    else:
        yield from restamp(route, route)


def delete(route: Route) -> Iterator[Request]:
    fields = {
        "family": route.family,
        "dst_len": int(route.to.partition("/")[2]),
        "tos": route.tos,
        "table": route.table if route.table < 256 else 0,
        "scope": NOWHERE_SCOPE,
        "type": TYPES[route.type],
    }
    attributes: list[tuple[str, Any]] = [
        ("RTA_DST", route.to.partition("/")[0]),
        ("RTA_TABLE", route.table),
        ("RTA_PRIORITY", route.metric),
    ]
    if len(route.hops) == 1 and not route.by_object:  # a route by nexthop object matches only without a hop
        attributes += _hop_attributes(route, route.hops[0])
    yield Netlink(route.scope, "delroute", fields, tuple(attributes))
