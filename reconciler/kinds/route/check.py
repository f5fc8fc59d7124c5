"""Checks the references of routes: their links, and the addresses and link routes that make gateways reachable."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from reconciler.kinds import ipv6, sysctl
from reconciler.kinds.address.declared import broadcasts, holders
from reconciler.kinds.address.form import key_of
from reconciler.kinds.context import Names, Parsed
from reconciler.kinds.links import link
from reconciler.kinds.namespace import home
from reconciler.kinds.route.form import AF_INET6, SCOPES, NextHop, Route, is_link_route, order
from reconciler.model import data as dataclasses
from reconciler.model.addresses import ip_address, ip_interface
from reconciler.model.keys import Key
from reconciler.model.quoting import Path

# (IP version, prefix length) -> first address of a network -> (link, key of the address or link route)
Near = dict[tuple[int, int], dict[int, list[tuple[str | None, Key]]]]


def imply(names: Names) -> Iterator[Parsed]:
    """The routes with the link of each gateway filled in: the one with the longest declared prefix that contains it.

    Otherwise a route would stay on its old link when the gateway's subnet moves to another link.
    """
    for key in [key for key in names.objects if key.kind == "route"]:
        route = names.objects[key]
        hops = tuple(sorted((_placed(route, hop, names) for hop in route.hops), key=order))
        if hops != route.hops:
            yield key, dataclasses.replace(route, hops=hops), names.origins[key]


def _placed(route: Route, hop: NextHop, names: Names) -> NextHop:
    if hop.dev is not None or not hop.via:
        return hop
    by_length: dict[int, set[str]] = {}
    for key in _connecting(route, hop, names):
        item = names.objects[key]
        prefix, dev = (item.address, item.link) if key.kind == "address" else (item.to, item.hops[0].dev)
        by_length.setdefault(int(prefix.partition("/")[2]), set()).add(dev)
    nearest = by_length[max(by_length)] if by_length else set()
    return dataclasses.replace(hop, dev=nearest.pop()) if len(nearest) == 1 else hop


def check(route: Route, names: Names) -> Iterator[tuple[Path, str]]:
    for hop in route.hops:
        at: Path = ("nexthops",) if len(route.hops) > 1 else ()
        if hop.dev is not None and (route.scope, hop.dev) not in names.links:
            hint = link.nearest(hop.dev, route.scope, names)
            yield at or ("dev",), f'no link "{hop.dev}" in {route.scope}{hint}'
        elif hop.dev is not None and getattr(link.declared_end(route.scope, hop.dev, names), "up", None) is False:
            yield at or ("dev",), f"{hop.dev} is declared down; the kernel takes routes only over links that are up"
        elif hop.dev is not None and route.family == AF_INET6 and (text := ipv6.off(route.scope, hop.dev, names)):
            yield at, text
        elif text := _no_gateway(route, hop, names) if hop.via else "":
            yield at or ("via",), text
        elif hop.via and not hop.onlink:
            yield from ((at or ("via",), text) for text in _unreachable(route, hop, names))
    if route.source and _closed(route.scope, None, names) and not list(_carrying(route, names)):
        yield ("source",), f"{route.source} is no address of {route.scope}; give it to a link there"


def _no_gateway(route: Route, hop: NextHop, names: Names) -> str:
    """Why the kernel does not take the gateway: it is a broadcast address, or (in IPv6, or onlink) the scope's own."""
    prefix = broadcasts(route.scope, names).get(hop.via)
    if prefix is not None:
        return f"{hop.via} is the broadcast address of {prefix}; a gateway is one host"
    own = [one for one in holders(route.scope, names).get(hop.via, ()) if _is_near(hop, one.link)]
    if own and (route.family == AF_INET6 or hop.onlink):
        return f"{hop.via} is the address of {own[0].link} itself; a gateway is another host"
    if route.reach == SCOPES["link"] and not own and not hop.via.startswith("127."):
        return f"a route of scope link has no gateway on the way, and {hop.via} is one; leave scope out"
    return ""


def _is_near(hop: NextHop, link: str) -> bool:
    """Whether an address of the link counts for the gateway: a link-local one only on its own link."""
    return hop.dev in (None, link) or not hop.via.startswith("fe80:")


def _unreachable(route: Route, hop: NextHop, names: Names) -> Iterator[str]:
    if hop.via.startswith("fe80:"):
        if hop.dev is None:
            yield "a link-local gateway needs dev: the address alone does not tell the link"
        return
    if not _closed(route.scope, hop.dev, names) or list(_connecting(route, hop, names)):
        return
    known = [f"{address.address} on {address.link}" for address in names.of(route.scope, "address")]
    listed = ", ".join(known[:6]) or "no address at all"
    where = f" through {hop.dev}" if hop.dev else ""
    yield f"no connected prefix of {route.scope} reaches {hop.via}{where}; it has {listed}"


def _closed(scope: str, dev: str | None, names: Names) -> bool:
    """Whether the topology declares all addresses there: on links that it creates, and in exclusive namespaces."""
    if dev is not None:
        key = names.links.get((scope, dev))
        return key is not None and (key.kind != "interface" or dev == "lo")
    outside = any(end.name != "lo" for end in names.of(scope, "interface"))
    return scope in names.exclusive and not outside


def _connecting(route: Route, hop: NextHop, names: Names) -> Iterator[Key]:
    """The addresses and link routes that make a gateway reachable."""
    via = ip_address(hop.via)
    for (version, length), by_start in _near(route.scope, names).items():
        if version == via.version:
            rest = via.max_prefixlen - length
            for dev, key in by_start.get(int(via) >> rest << rest, ()):
                if hop.dev in (None, dev):
                    yield key


def _near(scope: str, names: Names) -> Near:
    """The connected prefixes of a scope, computed once: else each of 10,000 routes would search all others."""
    near: Near | None = names.near.get(scope)
    if near is None:
        near = names.near[scope] = {}
        for key in names.by_scope.get((scope, "address"), ()):
            address = names.objects[key]
            _add(near, ip_interface(address.address).network, address.link, key)
        for key in names.by_scope.get((scope, "route"), ()):
            route = names.objects[key]
            if is_link_route(route):
                _add(near, ipaddress.ip_network(route.to), route.hops[0].dev, key)
    return near


def _add(near: Near, network: ipaddress.IPv4Network | ipaddress.IPv6Network, dev: str | None, key: Key) -> None:
    by_start = near.setdefault((network.version, network.prefixlen), {})
    by_start.setdefault(int(network.network_address), []).append((dev, key))


def _carrying(route: Route, names: Names) -> Iterator[Key]:
    for address in holders(route.scope, names).get(route.source, ()):
        yield key_of(route.scope, address.link, address.address)


def needs(route: Route, names: Names) -> Iterator[Key]:
    yield from home(route.scope)
    for hop in route.hops:
        if (route.scope, hop.dev) in names.links:
            yield names.links[route.scope, str(hop.dev)]
        if ":" in route.to:
            yield from sysctl.ipv6_switches(route.scope, hop.dev or "all", names)
        if hop.via and not hop.via.startswith("fe80:"):
            yield from _connecting(route, hop, names)
    if route.source:
        yield from _carrying(route, names)
