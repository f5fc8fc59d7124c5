"""Finds what a plan would cut off: the remote user who runs it, protected addresses, and the only default route."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from reconciler.kinds import BY_NAME, having
from reconciler.kinds.route import form as route
from reconciler.model.changes import Change
from reconciler.model.data import dataclass
from reconciler.model.errors import Problem
from reconciler.model.keys import HOST, NO_ORIGIN, Key, Origin
from reconciler.planning.consequences import Afterwards, Consequences, Standing
from reconciler.planning.intent import Planned

DEFAULTS = {4: "0.0.0.0/0", 6: "::/0"}
_HOLDS = having(lambda kind: kind.holds)
_LEADS = having(lambda kind: kind.leads)
_CONNECTS = having(lambda kind: kind.connects)
_CAPTURES = having(lambda kind: kind.captures)
_LEADING = {*_HOLDS, *_LEADS}  # only these live objects matter; links are checked by the changes
Objects = Mapping[Key, Any]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Protected:
    """A remote address that must stay reachable; ``local`` and ``port`` are our end of its session ("", 0: none)."""

    peer: str
    local: str = ""
    port: int = 0
    dev: str = ""  # of a link-local peer

    @property
    def address(self) -> Address:
        return ipaddress.ip_address(self.peer)


def of_session(peer: str, local: str, port: int) -> Protected | None:
    """The peer of an SSH session; None where its addresses cannot be parsed."""
    peer, _, zone = peer.partition("%")
    try:
        return Protected(_plain(peer), _plain(local.partition("%")[0]), port, zone)
    except ValueError:
        return None


def _plain(text: str) -> str:
    ip = ipaddress.ip_address(text)
    return str(getattr(ip, "ipv4_mapped", None) or ip)


def way_to(planned: Planned, user: Protected) -> tuple[str, str]:
    """The link of the present route to the peer, "" for none, and the neighbour on it: the gateway or the peer."""
    way = _lookup(_now(planned), user.address)
    hop = way.hops[0] if way is not None and way.hops else None
    return (user.dev or (hop.dev or "" if hop else ""), hop.via or user.peer if hop else user.peer)


def dangers(planned: Planned, protected: Iterable[tuple[Protected, str]]) -> list[Problem]:
    """The reasons why the plan must not run without confirmation, each with the line of the file that causes it.

    ``protected`` are (peer, the bridge port by which it is reached or "").  Only the host scope is checked.
    """
    now = _now(planned)
    then = _then(planned)
    listed = [problem for user, port in protected for problem in _cut(planned, now, then, user, port)]
    listed += _default_routes(now, then)
    hint = "give --confirm-within, so that the host goes back by itself, or --force"
    return [Problem(origin, f"{text}; {hint}") for origin, text in dict.fromkeys(listed)]


_Danger = tuple[Origin, str]


def _cut(planned: Planned, now: Objects, then: Objects, user: Protected, port: str) -> Iterator[_Danger]:
    if user.address.is_loopback or _holds(now, user.peer):
        return
    dev, _via = way_to(planned, user)
    links = {link for link in (dev, port) if link}
    for change in planned.changes:
        for link in links & {name for scope, name in _links(change) if scope == HOST}:
            if change.impact == "disruptive":
                yield (
                    change.origin,
                    f"to {change.action} {change.key} would cut {user.peer} off, which is behind {link}",
                )
        if _captures(change, user):
            yield change.origin, f"{change.key} would take new connections of {user.peer} to port {user.port} elsewhere"
    before, after = _lookup(now, user.address), _lookup(then, user.address)
    if before is not None and (after is None or after.type != "unicast"):
        yield NO_ORIGIN, f"no route to {user.peer} would be left (now {_told(before)})"
    elif before is not None and after is not None and _path(before) != _path(after):
        yield NO_ORIGIN, f"the route to {user.peer} would change from {_told(before)} to {_told(after)}"
    if user.local and _holds(now, user.local) and not _holds(then, user.local):
        yield NO_ORIGIN, f"the address {user.local} would go, over which {user.peer} is connected"


def _default_routes(now: Objects, then: Objects) -> Iterator[_Danger]:
    for family, prefix in DEFAULTS.items():
        had, has = ([way for way in _routes(objects) if way.to == prefix] for objects in (now, then))
        if had and not has:
            yield NO_ORIGIN, f"the host's only IPv{family} default route ({_told(had[0])}) would go"


# ------------------------------------------------------------------------------------------------ now and then


def _now(planned: Planned) -> dict[Key, Any]:
    return _of_host({key: entry.object for key, entry in planned.live.items()})


def _of_host(objects: Objects) -> dict[Key, Any]:
    return {key: value for key, value in objects.items() if key.scope == HOST and key.kind in _LEADING}


def _then(planned: Planned) -> dict[Key, Any]:
    """The host's addresses and routes after the plan."""
    taken = planned.plan.measures.taken or Consequences(planned.changes, Standing(planned.live))
    after = Afterwards(planned.changes, planned.live, taken)
    for change in planned.plan.measures.restored:
        after.put_back(change.key, change.after)
    return _connected(planned.changes, _of_host(after.objects))


def _connected(changes: Iterable[Change], left: dict[Key, Any]) -> dict[Key, Any]:
    """The objects with the routes that the kernel adds for new addresses, without those of deleted addresses."""
    moved = [change for change in changes if change.key.kind in _CONNECTS and change.key.scope == HOST]
    subnets = {_CONNECTS[key.kind](value) for key, value in left.items() if key.kind in _CONNECTS}
    gone = {_CONNECTS[c.key.kind](c.before) for c in moved if c.action == "delete"} - subnets
    kept = {key: value for key, value in left.items() if not (key.kind in _LEADS and _is_of(value, gone))}
    for change in moved:
        if change.after is not None:
            to, link = _CONNECTS[change.key.kind](change.after)
            made = route.connected(HOST, to, link)
            kept[route.key_of(made)._replace(name=f"{to} {link}")] = made
    return kept


def _is_of(way: route.Route, subnets: set[tuple[str, str]]) -> bool:
    return way.protocol == route.RTPROT_KERNEL and any((way.to, hop.dev) in subnets for hop in way.hops)


def _before(change: Change) -> Iterable[tuple[str, str]]:
    return () if change.before is None else BY_NAME[change.key.kind].links(change.before)


def _links(change: Change) -> set[tuple[str, str]]:
    after = () if change.after is None else BY_NAME[change.key.kind].links(change.after)
    return {*_before(change), *after}


def _routes(objects: Objects) -> Iterator[Any]:
    ways = (_LEADS[key.kind](value) for key, value in objects.items() if key.kind in _LEADS)
    return (way for way in ways if way.table == route.TABLES["main"])


def _lookup(objects: Objects, peer: Address) -> Any:
    """The route to the peer in table main: the longest prefix, then the lowest metric."""
    fitting = [way for way in _routes(objects) if peer in ipaddress.ip_network(way.to)]
    return min(fitting, key=lambda way: (-int(way.to.partition("/")[2]), way.metric), default=None)


def _holds(objects: Objects, address: str) -> bool:
    return any(key.kind in _HOLDS and _HOLDS[key.kind](value)[1] == address for key, value in objects.items())


def _path(way: Any) -> list[tuple[str, str]]:
    return [(hop.via, hop.dev) for hop in way.hops]


def _told(way: Any) -> str:
    hops = [" ".join(filter(None, [hop.via and f"via {hop.via}", hop.dev and f"dev {hop.dev}"])) for hop in way.hops]
    return f"{way.to} {', '.join(hops) or way.type}"


def _captures(change: Change, user: Protected) -> bool:
    """Whether the change publishes the local port of the session, so that new connections to it end elsewhere."""
    if change.key.kind not in _CAPTURES or change.after is None or change.key.scope != HOST or not user.port:
        return False
    return _CAPTURES[change.key.kind](change.after, user.local, user.port)
