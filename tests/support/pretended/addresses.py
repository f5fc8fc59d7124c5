"""Addresses, and the routes that come and go with them."""

from __future__ import annotations

import dataclasses
import errno
from functools import lru_cache
from ipaddress import IPv4Interface, IPv6Interface, ip_interface

from pretended import settings
from pretended.space import AF_INET, AF_INET6, Refused, Space
from reconciler.model.rows import AddressRow, Hop, RouteRow

SECONDARY, NODAD, PERMANENT, NOPREFIXROUTE = 0x01, 0x02, 0x80, 0x200
HOST_SCOPE, LINK_SCOPE = 254, 253
REST = ("IFA_LABEL", "IFA_BROADCAST", "IFA_RT_PRIORITY")
KERNEL = 2  # RTPROT_KERNEL
MAIN = 254
BOTH = (AF_INET, AF_INET6)


@lru_cache(4096)
def parsed(address: str) -> IPv4Interface | IPv6Interface:
    return ip_interface(address)


def family_of(address: str) -> int:
    return AF_INET6 if ":" in address else AF_INET


def subnet(row: AddressRow) -> str:
    return str(parsed(f"{row.far}/{parsed(row.address).network.prefixlen}" if row.far else row.address).network)


def of(space: Space, index: int, family: int) -> list[AddressRow]:
    return [row for row in space.addresses if row.index == index and family_of(row.address) == family]


# ------------------------------------------------------------------ add


def add(space: Space, index: int, row: AddressRow, replace: bool = False) -> None:
    """What ip-address(8) add does; ``replace``: an address that is there takes the new one's flags and protocol."""
    family = family_of(row.address)
    there = [one for one in of(space, index, family) if _same(one, row)]
    if there:
        if not replace:
            raise Refused(errno.EEXIST, "Address already assigned")
        flags = row.flags | there[0].flags & SECONDARY
        space.addresses[space.addresses.index(there[0])] = dataclasses.replace(row, flags=flags)
        return
    if family == AF_INET:
        _add4(space, index, row)
    else:
        _add6(space, index, row)
    connect(space, index)


def alike(one: AddressRow, other: AddressRow) -> bool:
    """Whether the kernel takes them for one address of one link."""
    return one.index == other.index and family_of(one.address) == family_of(other.address) and _same(one, other)


def _same(one: AddressRow, other: AddressRow) -> bool:
    if family_of(one.address) == AF_INET6:  # once on a link, whatever its prefix
        return one.address.partition("/")[0] == other.address.partition("/")[0]
    return (one.address, one.far) == (other.address, other.far)


def _add4(space: Space, index: int, row: AddressRow) -> None:
    """Primaries stand before secondaries; who comes second to a subnet is secondary."""
    settings.keep(space, space.links[index].name)
    beside = of(space, index, AF_INET)
    if any(subnet(one) == subnet(row) for one in beside):
        space.addresses.append(dataclasses.replace(row, flags=row.flags | SECONDARY))
        return
    secondaries = [one for one in beside if one.flags & SECONDARY]
    place = space.addresses.index(secondaries[0]) if secondaries else len(space.addresses)
    space.addresses.insert(place, row)


def _add6(space: Space, index: int, row: AddressRow) -> None:
    if not space.has_ipv6(index):
        raise Refused(errno.EINVAL)
    if space.setting(settings.key_of(6, space.links[index].name, "disable_ipv6")) != "0":
        raise Refused(errno.EACCES, "IPv6 is disabled on this device")
    # the newest comes first in a dump
    place = next((number for number, one in enumerate(space.addresses) if one.index == index), len(space.addresses))
    space.addresses.insert(place, dataclasses.replace(row, scope=_scope6(row.address)))


def _scope6(address: str) -> int:
    ip = parsed(address).ip
    return LINK_SCOPE if ip.is_link_local else HOST_SCOPE if ip.is_loopback else 0


def connect(space: Space, index: int) -> None:
    """The connected routes of a link that is up, where they are missing."""
    link = space.links[index]
    wanted = [_connected(row) for row in space.addresses if row.index == index] if link.up else []
    for route in wanted:
        if route is not None and not any(_alike(route, one) for one in space.routes):
            space.routes.append(route)


def _alike(one: RouteRow, other: RouteRow) -> bool:
    return (one.to, one.hops, one.protocol, one.table) == (other.to, other.hops, other.protocol, other.table)


def _connected(row: AddressRow) -> RouteRow | None:
    """No route for an IPv4 address alone, for a secondary one, for 127/8 (its route is in the table local) and ::1."""
    ip, hop = parsed(row.address), (Hop("", row.index, 1, False),)
    lonely = ip.version == 4 and ip.network.prefixlen == 32
    if lonely or ip.ip.is_loopback or row.flags & (SECONDARY | NOPREFIXROUTE):
        return None
    if ip.version == 4:
        return RouteRow(AF_INET, str(ip.network), MAIN, 0, 0, 1, LINK_SCOPE, KERNEL, str(ip.ip), 0, hop)
    return RouteRow(AF_INET6, str(ip.network), MAIN, 256, 0, 1, 0, KERNEL, "", 0, hop)


# ------------------------------------------------------------------ remove


def remove(space: Space, index: int, address: str, far: str = "") -> None:
    there = (index, address, far)
    row = next((one for one in space.addresses if (one.index, one.address, one.far) == there), None)
    if row is None:
        raise Refused(errno.EADDRNOTAVAIL, "Address not found")
    space.addresses.remove(row)
    if family_of(address) == AF_INET:
        _followers(space, row)
    else:
        _first_of_prefix(space, row)
    disconnect(space, index)
    _sources(space, row)
    if family_of(address) == AF_INET and not of(space, index, AF_INET):
        drop_routes(space, index, AF_INET)
    connect(space, index)


def _followers(space: Space, gone: AddressRow) -> None:
    """Secondaries go with their primary, or one of them takes its place."""
    if gone.flags & SECONDARY:
        return
    left = [one for one in of(space, gone.index, AF_INET) if subnet(one) == subnet(gone)]
    name = space.links[gone.index].name
    promote = any(space.setting(settings.key_of(4, one, "promote_secondaries")) != "0" for one in ("all", name))
    for one in left:
        space.addresses.remove(one)
    if promote and left:
        first = dataclasses.replace(left[0], flags=left[0].flags & ~SECONDARY)
        _add4(space, gone.index, first)
        space.addresses.extend(left[1:])
    else:
        for one in left:
            _sources(space, one)


def _first_of_prefix(space: Space, gone: AddressRow) -> None:
    """With the last address of a prefix goes the first route there, whoever made it (cleanup_prefix_route)."""
    if gone.flags & NOPREFIXROUTE or any(subnet(one) == subnet(gone) for one in of(space, gone.index, AF_INET6)):
        return
    hops = (Hop("", gone.index, 1, False),)
    there = [one for one in space.routes if (one.to, one.table, one.hops) == (subnet(gone), MAIN, hops)]
    if there:
        space.routes.remove(min(there, key=lambda one: one.metric))


def disconnect(space: Space, index: int) -> None:
    """Take away the connected routes of a link that no address of it asks for any more."""
    kept = [_connected(row) for row in space.addresses if row.index == index]
    space.routes = [
        one
        for one in space.routes
        if one.protocol != KERNEL or one.hops[:1] != (Hop("", index, 1, False),) or _asked_for(one, kept)
    ]


def _asked_for(route: RouteRow, kept: list[RouteRow | None]) -> bool:
    return any(one is not None and (one.to, one.source) == (route.to, route.source) for one in kept)


def _sources(space: Space, gone: AddressRow) -> None:
    """Routes that name the address as their source: IPv4 ones go, IPv6 ones forget it."""
    ip = gone.address.partition("/")[0]
    if any(one.address.partition("/")[0] == ip for one in space.addresses):
        return
    if family_of(ip) == AF_INET:
        space.routes = [one for one in space.routes if one.source != ip]
    else:
        space.routes = [dataclasses.replace(one, source="") if one.source == ip else one for one in space.routes]


def drop_routes(space: Space, index: int, family: int, whole: bool = False) -> None:
    """Routes by a link go; of several ways one that is lost leaves the others, unless the link itself goes."""
    space.routes = [one for one in space.routes if one.family != family or not _lost(one, index, whole)]
    if family == AF_INET6:
        space.routes = [_without(one, index) if one.family == AF_INET6 else one for one in space.routes]


def _lost(route: RouteRow, index: int, whole: bool) -> bool:
    on = [hop.oif == index for hop in route.hops]
    return any(on) if whole and route.family == AF_INET else bool(on) and all(on)


def _without(route: RouteRow, index: int) -> RouteRow:
    left = tuple(hop for hop in route.hops if hop.oif != index)
    return route if left == route.hops else dataclasses.replace(route, hops=left)


def drop(space: Space, index: int, family: int, keep: bool = False) -> None:
    """All addresses of one family, and all routes by the link; ``keep``: only the routes."""
    if not keep:
        gone = of(space, index, family)
        space.addresses = [row for row in space.addresses if row not in gone]
        for row in gone:
            _sources(space, row)
    drop_routes(space, index, family)


def drop_neighbours(
    space: Space, index: int, families: tuple[int, ...] = (AF_INET, AF_INET6), proxies: bool = True
) -> None:
    """Permanent neighbours of a link that goes down or changes its MAC; a proxy entry outlives a new MAC."""
    space.neighbours = [
        row
        for row in space.neighbours
        if row.index != index or family_of(row.address) not in families or (row.proxy and not proxies)
    ]
