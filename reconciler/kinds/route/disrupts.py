"""The packets that a change of a route sends elsewhere: those that take another way after the plan."""

from __future__ import annotations

from reconciler.kinds.around import Around
from reconciler.kinds.route.form import NextHop, Route
from reconciler.model.changes import Change


def disrupts(change: Change, around: Around) -> str:
    """Packets that had no route before lose nothing; a narrower route, or a better metric, may hide the change."""
    route: Route = change.after or change.before
    now = around.way(route.scope, route.table, route.to, False)
    if now is None or not around.is_asked(route.scope, route.table):
        return ""
    then = around.way(route.scope, route.table, route.to, True)
    if now != change.before and then != change.after:
        return ""  # another route of the prefix is better
    to = "default" if route.to in ("0.0.0.0/0", "::/0") else route.to
    if then is None:
        return f"packets to {to} have no route" if now.type == "unicast" else ""
    if not _same(now, then):
        return f"packets to {to} go {_told(then)}, now {_told(now)}" if now.type == "unicast" else ""
    if now.source != then.source and then.source:
        return f"new flows to {to} leave with the source {then.source}"
    return ""


def _same(one: Route, other: Route) -> bool:
    if one.type != other.type or len(one.hops) != len(other.hops):
        return False
    return all(_alike(*pair) for pair in zip(sorted(one.hops, key=_by), sorted(other.hops, key=_by), strict=True))


def _by(hop: NextHop) -> tuple[str, int]:
    return hop.via, hop.weight


def _alike(one: NextHop, other: NextHop) -> bool:
    """A link of None is the one that the kernel chooses for the gateway."""
    return (one.via, one.weight) == (other.via, other.weight) and (one.dev == other.dev or None in (one.dev, other.dev))


def _told(route: Route) -> str:
    if not route.hops:
        return f"nowhere ({route.type})"
    return " and ".join(f"via {hop.via}" if hop.via else f"over {hop.dev}" for hop in route.hops[:3])
