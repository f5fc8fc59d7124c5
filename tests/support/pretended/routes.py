"""Routes: what the kernel takes, and what it refuses."""

from __future__ import annotations

import dataclasses
import errno
import pickle
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from pretended import settings
from pretended.addresses import LINK_SCOPE
from pretended.space import AF_INET, AF_INET6, Refused, Space
from reconciler.model.rows import Hop, RouteRow

EXCL, REPLACE, CREATE, APPEND = 0x200, 0x100, 0x400, 0x800
UNICAST = 1


@lru_cache(4096)
def network(text: str) -> IPv4Network | IPv6Network:
    return ip_network(text)


@lru_cache(4096)
def with_raw(row: RouteRow) -> RouteRow:
    """``raw`` is the message's body, the sixth byte of which is the protocol: here the row itself lies behind it."""
    return dataclasses.replace(
        row, raw=bytes(5) + bytes([row.protocol]) + pickle.dumps(dataclasses.replace(row, raw=b""))
    )


def from_raw(body: bytes) -> RouteRow:
    row: RouteRow = pickle.loads(body[6:])
    return dataclasses.replace(row, protocol=body[5])


def add(space: Space, row: RouteRow, flags: int) -> None:
    row = _placed(space, row)
    same = [one for one in space.routes if _key(one) == _key(row)]
    if same and flags & EXCL:
        raise Refused(errno.EEXIST)
    if same and flags & REPLACE:
        space.routes[space.routes.index(same[0])] = row
    elif same and row.family == AF_INET6 and flags & APPEND:
        more = dataclasses.replace(same[0], hops=(*same[0].hops, *row.hops))
        space.routes[space.routes.index(same[0])] = more
    else:
        space.routes.append(row)


def _key(row: RouteRow) -> tuple[object, ...]:
    return row.family, row.to, row.table, row.metric, row.tos


def delete(space: Space, row: RouteRow) -> None:
    """The first that fits: no hops, no metric (IPv4) and type 0 stand for any."""
    for one in space.routes:
        if (one.family, one.to, one.table, one.tos) != (row.family, row.to, row.table, row.tos):
            continue
        metric = row.metric in (0, one.metric) if row.family == AF_INET else (row.metric or 1024) == one.metric
        if metric and row.type in (0, one.type) and all(_fits(hop, one) for hop in row.hops):
            space.routes.remove(one)
            return
    raise Refused(errno.ESRCH)


def _fits(wanted: Hop, row: RouteRow) -> bool:
    return any(wanted.via in ("", hop.via) and wanted.oif in (0, hop.oif) for hop in row.hops)


# ------------------------------------------------------------------ whether it leads anywhere


def _placed(space: Space, row: RouteRow) -> RouteRow:
    """The route with the links of its hops; Refused where one leads nowhere."""
    if row.type != UNICAST:
        return dataclasses.replace(row, hops=())
    hops = tuple(_placed_hop(space, row, hop) for hop in row.hops)
    if row.source and not _is_local(space, row.source):
        raise Refused(errno.EINVAL, "Invalid prefsrc address")
    return dataclasses.replace(row, hops=hops)


def _placed_hop(space: Space, row: RouteRow, hop: Hop) -> Hop:
    if hop.oif:
        _usable(space, row.family, hop.oif)
    if not hop.via or hop.onlink or hop.via.startswith("fe80:") or (":" in hop.via) != (row.family == AF_INET6):
        return hop
    found = _nearest(space, row, hop)
    if found is None:
        raise Refused(
            errno.EHOSTUNREACH if row.family == AF_INET6 else errno.ENETUNREACH, "Nexthop has invalid gateway"
        )
    if row.family == AF_INET6 and _is_local(space, hop.via):
        raise Refused(errno.EINVAL, "Gateway can not be a local address")
    return hop._replace(oif=found)


def _usable(space: Space, family: int, index: int) -> None:
    link = space.links.get(index)
    if link is None or (family == AF_INET6 and not space.has_ipv6(index)):
        raise Refused(errno.ENODEV)
    if family == AF_INET6 and space.setting(settings.key_of(6, link.name, "disable_ipv6")) != "0":
        raise Refused(errno.EACCES, "IPv6 is disabled on nexthop device")
    if not link.up:
        raise Refused(errno.ENETDOWN, "Nexthop device is not up")


def _nearest(space: Space, row: RouteRow, hop: Hop) -> int | None:
    """The link of the longest prefix without a gateway of its own that holds the gateway."""
    via = ip_address(hop.via)
    found = [
        (network(one.to).prefixlen, one.hops[0].oif)
        for one in space.routes
        if one.family == row.family and one.type == UNICAST and len(one.hops) == 1 and not one.hops[0].via
        and one.table in (row.table, 254) and hop.oif in (0, one.hops[0].oif) and via in network(one.to)
        and (one.family == AF_INET6 or one.scope >= LINK_SCOPE)
    ]  # fmt: skip
    return max(found)[1] if found else None


def _is_local(space: Space, ip: str) -> bool:
    return any(row.address.partition("/")[0] == ip for row in space.addresses)
