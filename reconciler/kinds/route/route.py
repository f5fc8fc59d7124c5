"""A static route: unicast by one or several next hops, or of a type such as blackhole."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from reconciler.kinds import kind
from reconciler.kinds.context import Noting
from reconciler.kinds.grounds import After, Ground
from reconciler.kinds.kind import Kind
from reconciler.kinds.links import link
from reconciler.kinds.route import check, disrupts, kernel_form, parse, refused
from reconciler.kinds.route.form import (
    AF_INET,
    AF_INET6,
    KERNELS,
    OF_ADDRESSES,
    RTPROT_RA,
    SCOPES,
    TABLES,
    NextHop,
    Route,
    is_link_route,
    key_of,
)
from reconciler.model.keys import HOST, Key


def lies_on(route: Route) -> Iterator[tuple[str, str]]:
    return ((route.scope, hop.dev) for hop in route.hops if hop.dev)


def stands_on(route: Route) -> Iterator[Ground]:
    family = "ipv6" if route.family == AF_INET6 else "ipv4"
    for place in lies_on(route):
        yield Ground(family, *place)
        if route.protocol == RTPROT_RA:
            yield Ground("learned", *place)
    if route.source:
        yield Ground("source", route.scope, route.source)
    if family == "ipv6" and route.metric <= OF_ADDRESSES and is_link_route(route) and route.table == TABLES["main"]:
        yield Ground("prefix", route.scope, f"{route.hops[0].dev} {route.to}")


def returns(route: Route, after: After) -> bool:
    """Whether its links are up, its gateways reachable and its source address there after the plan."""
    if any(ground in after.lasting and ground.what != "ipv4" for ground in stands_on(route)):
        return False
    return all(_leads(route, hop, after) for hop in route.hops)


def _leads(route: Route, hop: NextHop, after: After) -> bool:
    if hop.dev is None:
        return True
    under = after.links.get((route.scope, hop.dev))
    up = under is not None and all(
        end.up is not False for end in link.ends(under) if (end.scope, end.name) == (route.scope, hop.dev)
    )
    return up and (not hop.via or hop.onlink or hop.via.startswith("fe80:") or _near_after(route, hop, after))


def _near_after(route: Route, hop: NextHop, after: After) -> bool:
    via = ipaddress.ip_address(hop.via)
    addresses = (one.address for one in after.of(route.scope, "address") if one.link == hop.dev)
    routes = (one.to for one in after.of(route.scope, "route") if is_link_route(one) and one.hops[0].dev == hop.dev)
    return any(via in ipaddress.ip_interface(prefix).network for prefix in (*addresses, *routes))


def comes_back(route: Route) -> bool:
    """Whether the kernel adds the route again by itself; a DHCP client, for example, does not."""
    return route.protocol in KERNELS


def leads(route: Route) -> Route:
    return route


def record(_key: Key, wanted: Route, noting: Noting) -> bool | None:
    """True for a route of the host with a link that we did not create: nothing in the kernel shows its owner."""
    if wanted.scope != HOST:
        return None
    made = [noting.names.links.get((HOST, hop.dev or "")) for hop in wanted.hops] or [None]
    return True if any(link is None or link.kind == "interface" for link in made) else None


def shown(route: Route) -> dict[str, Any]:
    """Its attributes as a topology writes them."""
    words: dict[str, Any] = {} if route.type == "unicast" else {"type": route.type}
    if len(route.hops) == 1:
        words |= _shown_hop(route.hops[0])
    elif route.hops:
        words["nexthops"] = [_shown_hop(hop) | {"weight": hop.weight} for hop in route.hops]
    words |= {"source": route.source} if route.source else {}
    words |= {"mtu": route.mtu} if route.mtu else {}
    implied = SCOPES["global"] if any(hop.via for hop in route.hops) else SCOPES["link"]
    if route.family == AF_INET and route.type == "unicast" and route.reach != implied:
        words["scope"] = next((name for name, number in SCOPES.items() if number == route.reach), route.reach)
    return words


def _shown_hop(hop: NextHop) -> dict[str, Any]:
    words = {"via": hop.via, "dev": hop.dev, "onlink": hop.onlink}
    return {word: value for word, value in words.items() if value}


def told(route: Route, _written: bool) -> Iterator[tuple[str, str]]:
    """The route as ip(8) writes it; default routes share their first words."""
    key = key_of(route).name.partition("/")
    is_default = key[2] in ("default", "::/0") and route.type == "unicast" and route.table == TABLES["main"]
    if is_default and len(route.hops) == 1 and route.hops[0].via:
        yield "default via", route.hops[0].via
        return
    words = [] if route.type == "unicast" else [route.type]
    words += [key[2].replace("::/0", "default"), *([] if route.table == TABLES["main"] else ["table", key[0]])]
    yield "", " ".join([*words, *" and ".join(_way(hop) for hop in route.hops).split()])


def _way(hop: NextHop) -> str:
    return f"via {hop.via}" if hop.via else f"dev {hop.dev}"


KIND = Kind(
    name="route",
    features={":": "CONFIG_IPV6", "nexthops": "CONFIG_IP_ROUTE_MULTIPATH"},
    form=Route,
    schema="route",
    parse=parse.parse,
    imply=check.imply,
    check=check.check,
    read=kernel_form.read,
    mask=kernel_form.mask,
    needs=check.needs,
    asks=refused.asks,
    refused=refused.refused,
    way_out=refused.way_out,
    create=kernel_form.create,
    update=kernel_form.update,
    delete=kernel_form.delete,
    adopt=kernel_form.adopt,
    stamp=kernel_form.stamp,
    restamp=kernel_form.restamp,
    lies_on=lies_on,
    stands_on=stands_on,
    returns=returns,
    comes_back=comes_back,
    leads=leads,
    put_back=kernel_form.put_back,
    shown=shown,
    told=told,
    replace_on=frozenset({"type"}),
    disrupts=disrupts.disrupts,
    section="routes",
    ownership=kind.PROTOCOL,
    dumps=("routes",),
    record=record,
)
