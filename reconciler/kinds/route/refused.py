"""What the kernel will refuse of a route on this host, and what else the file could say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from reconciler.kinds import ipv6
from reconciler.kinds.route.form import AF_INET6, METRIC, Route
from reconciler.model.changes import Change

if TYPE_CHECKING:
    from reconciler.kinds.ahead import Ahead


def asks(change: Change) -> Iterator[tuple[str, str]]:
    route: Route = change.after
    for hop in route.hops if route.family == AF_INET6 else ():
        if hop.dev is not None:
            yield from ipv6.asks(route.scope, hop.dev)


def refused(change: Change, ahead: Ahead) -> str:
    """Why the kernel will refuse it: a link without IPv6, or a source that the scope will not have."""
    route: Route = change.after
    for hop in route.hops if route.family == AF_INET6 else ():
        off = ipv6.off_on_host(route.scope, hop.dev, ahead) if hop.dev is not None else ""
        if off:
            return off
    return _no_source(route, ahead) if route.source else ""


def _no_source(route: Route, ahead: Ahead) -> str:
    """IPv4 takes each address for which there is a route of type local, IPv6 only those of links.

    fib_valid_prefsrc in net/ipv4/fib_semantics.c, ip6_route_info_create in net/ipv6/route.c.
    """
    source, scope = route.source, route.scope
    if source.startswith(("127.", "fe80:")) or source in ahead.addresses(scope):
        return ""
    if ahead.deletes(scope, source):
        return f"source {source}: {scope} loses this address by the same plan; keep it, or name another source"
    if route.family != AF_INET6 and ahead.is_local(scope, source):
        return ""
    return f"source {source} is no address of {scope}; give it to a link there, or name another source"


def way_out(route: Route) -> str:
    """Another metric: the kernel keeps routes to one destination apart by it."""
    metric = route.metric // 2 if route.metric > 1 else METRIC[AF_INET6]
    to = "default" if route.to in ("0.0.0.0/0", "::/0") else route.to
    ways = {"via": route.hops[0].via, "dev": route.hops[0].dev} if len(route.hops) == 1 else {}
    words = {"to": to, **{word: text for word, text in ways.items() if text}}
    pairs = ", ".join(f'{word}: "{text}"' if ":" in text else f"{word}: {text}" for word, text in words.items())
    return f"with another metric both stand, such as {{{pairs}, metric: {metric}}}; the lowest metric wins"
