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


def way_to(planned: Planned, one: Protected) -> tuple[str, str]:
    """The link of the present route to the peer, "" for none, and the neighbour on it: the gateway or the peer."""
    found = _lookup(_now(planned), one.address)
    hop = found.hops[0] if found is not None and found.hops else None
    return (one.dev or (hop.dev or "" if hop else ""), hop.via or one.peer if hop else one.peer)


def dangers(planned: Planned, protected: Iterable[tuple[Protected, str]]) -> list[Problem]:
    """The reasons why the plan must not run without confirmation, each with the line of the file that causes it.

    ``protected`` are (peer, the bridge port by which it is reached or "").  Only the host scope is checked.
    """
    now = _now(planned)
    then = _then(planned)
    found = [problem for one, port in protected for problem in _cut(planned, now, then, one, port)]
    found += _default_routes(now, then)
    hint = "give --confirm-within, so that the host goes back by itself, or --force"
    return [Problem(origin, f"{text}; {hint}") for origin, text in dict.fromkeys(found)]


_Danger = tuple[Origin, str]


def _cut(planned: Planned, now: Objects, then: Objects, one: Protected, port: str) -> Iterator[_Danger]:
    if one.address.is_loopback or _holds(now, one.peer):
        return
    dev, _via = way_to(planned, one)
    links = {link for link in (dev, port) if link}
    for change in planned.changes:
        for link in links & {name for scope, name in _links(change) if scope == HOST}:
            if change.impact == "disruptive":
                yield (
                    change.origin,
                    f"to {change.action} {change.key} would cut {one.peer} off, which is behind {link}",
                )
        if _captures(change, one):
            yield change.origin, f"{change.key} would take new connections of {one.peer} to port {one.port} elsewhere"
    before, after = _lookup(now, one.address), _lookup(then, one.address)
    if before is not None and (after is None or after.type != "unicast"):
        yield NO_ORIGIN, f"no route to {one.peer} would be left (now {_told(before)})"
    elif before is not None and after is not None and _path(before) != _path(after):
        yield NO_ORIGIN, f"the route to {one.peer} would change from {_told(before)} to {_told(after)}"
    if one.local and _holds(now, one.local) and not _holds(then, one.local):
        yield NO_ORIGIN, f"the address {one.local} would go, over which {one.peer} is connected"


def _default_routes(now: Objects, then: Objects) -> Iterator[_Danger]:
    for family, prefix in DEFAULTS.items():
        had, has = ([one for one in _routes(objects) if one.to == prefix] for objects in (now, then))
        if had and not has:
            yield NO_ORIGIN, f"the host's only IPv{family} default route ({_told(had[0])}) would go"


# ------------------------------------------------------------------------------------------------ now and then


def _now(planned: Planned) -> dict[Key, Any]:
    return _of_host({key: held.object for key, held in planned.live.items()})


def _of_host(objects: Objects) -> dict[Key, Any]:
    return {key: held for key, held in objects.items() if key.scope == HOST and key.kind in _LEADING}


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
    subnets = {_CONNECTS[key.kind](held) for key, held in left.items() if key.kind in _CONNECTS}
    gone = {_CONNECTS[c.key.kind](c.before) for c in moved if c.action == "delete"} - subnets
    kept = {key: held for key, held in left.items() if not (key.kind in _LEADS and _is_of(held, gone))}
    for change in moved:
        if change.after is not None:
            to, link = _CONNECTS[change.key.kind](change.after)
            made = route.connected(HOST, to, link)
            kept[route.key_of(made)._replace(name=f"{to} {link}")] = made
    return kept


def _is_of(held: route.Route, subnets: set[tuple[str, str]]) -> bool:
    return held.protocol == route.RTPROT_KERNEL and any((held.to, hop.dev) in subnets for hop in held.hops)


def _before(change: Change) -> Iterable[tuple[str, str]]:
    return () if change.before is None else BY_NAME[change.key.kind].links(change.before)


def _links(change: Change) -> set[tuple[str, str]]:
    after = () if change.after is None else BY_NAME[change.key.kind].links(change.after)
    return {*_before(change), *after}


def _routes(objects: Objects) -> Iterator[Any]:
    found = (_LEADS[key.kind](held) for key, held in objects.items() if key.kind in _LEADS)
    return (one for one in found if one.table == route.TABLES["main"])


def _lookup(objects: Objects, peer: Address) -> Any:
    """The route to the peer in table main: the longest prefix, then the lowest metric."""
    fitting = [one for one in _routes(objects) if peer in ipaddress.ip_network(one.to)]
    return min(fitting, key=lambda one: (-int(one.to.partition("/")[2]), one.metric), default=None)


def _holds(objects: Objects, address: str) -> bool:
    return any(key.kind in _HOLDS and _HOLDS[key.kind](held)[1] == address for key, held in objects.items())


def _path(held: Any) -> list[tuple[str, str]]:
    return [(hop.via, hop.dev) for hop in held.hops]


def _told(held: Any) -> str:
    hops = [" ".join(filter(None, [hop.via and f"via {hop.via}", hop.dev and f"dev {hop.dev}"])) for hop in held.hops]
    return f"{held.to} {', '.join(hops) or held.type}"


def _captures(change: Change, one: Protected) -> bool:
    """Whether the change publishes the local port of the session, so that new connections to it end elsewhere."""
    if change.key.kind not in _CAPTURES or change.after is None or change.key.scope != HOST or not one.port:
        return False
    return _CAPTURES[change.key.kind](change.after, one.local, one.port)
