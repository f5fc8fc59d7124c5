"""Finds what a plan would cut off: the remote user who runs it, protected addresses, and the only default route."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from reconciler.kinds import BY_NAME, having
from reconciler.kinds.course import Course, Passage
from reconciler.model.changes import Change
from reconciler.model.errors import Problem
from reconciler.model.keys import HOST, NO_ORIGIN, Key, Origin
from reconciler.planning import route_lookup
from reconciler.planning.intent import Planned
from reconciler.planning.route_lookup import Packet
from reconciler.safety.course import Protected

_HINT = "give --confirm-within, so that the host goes back by itself, or --force"
DEFAULTS = {4: "0.0.0.0/0", 6: "::/0"}
_HOLDS = having(lambda kind: kind.holds)
_CAPTURES = having(lambda kind: kind.captures)
_CUTS = having(lambda kind: kind.cuts)
Objects = Mapping[Key, Any]
_Danger = tuple[Origin, str]


def of_session(peer: str, local: str, port: int, peer_port: int = 0) -> Protected | None:
    """The peer of an SSH session; None where its addresses cannot be parsed."""
    peer, _, zone = peer.partition("%")
    try:
        return Protected(_plain(peer), _plain(local.partition("%")[0]), port, zone, peer_port)
    except ValueError:
        return None


def _plain(text: str) -> str:
    ip = ipaddress.ip_address(text)
    return str(getattr(ip, "ipv4_mapped", None) or ip)


def is_elsewhere(planned: Planned, user: Protected) -> bool:
    """Whether the peer is another host: packets to an address of this one pass no link."""
    return not (ipaddress.ip_address(user.peer).is_loopback or _links_with(route_lookup.now(planned), HOST, user.peer))


def dangers(planned: Planned, protected: Iterable[tuple[Protected, Course]]) -> list[Problem]:
    """The reasons why the plan must not run without confirmation, each with the line of the file that causes it.

    ``protected`` are the remote addresses, each with the present course of its packets.
    """
    protected = list(protected)
    if not protected and _only_adds(planned):
        return []
    courses = [course for _, course in protected]
    scopes = {HOST, *(place.scope for course in courses for place in (course.home, *course.passages))}
    now, then = route_lookup.now(planned), route_lookup.then(planned, scopes)
    listed = [danger for user, course in protected for danger in _cut(planned, now, then, user, course)]
    listed += _default_routes(planned, now, then)
    return [Problem(origin, f"{text}; {_HINT}") for origin, text in dict.fromkeys(listed)]


def _only_adds(planned: Planned) -> bool:
    """Whether the plan changes and deletes nothing, and nothing is lost because of it: no route can go."""
    return planned.plan.measures.taken is None and all(change.before is None for change in planned.changes)


def detour(question: tuple[str, Packet], before: Sequence[str], after: Sequence[str]) -> Problem:
    """The reason for a way that a rehearsal showed; ``before`` and ``after`` are type, link and neighbour."""
    scope, packet = question
    texts = [_seen(packet, *way) for way in (before, after)]
    where = "" if scope == HOST else f" in {scope}"
    text = f"the way to {packet.to} would change{where} from {texts[0]} to {texts[1]}, as a rehearsal shows"
    return Problem(NO_ORIGIN, f"{text}; {_HINT}")


def _seen(packet: Packet, kind: str, link: str, neighbour: str) -> str:
    """A way as the kernel tells it."""
    via = f" via {neighbour}" if neighbour != packet.to else ""
    return f"dev {link}{via}" if link else kind or "nothing"


def _cut(planned: Planned, now: Objects, then: Objects, user: Protected, course: Course) -> Iterator[_Danger]:
    for change in planned.changes:
        if reason := _CUTS[change.key.kind](change, course) if change.key.kind in _CUTS else "":
            yield change.origin, f"to {change.action} {change.key} would cut {user.peer} off, {reason}"
        if _captures(change, user, course):
            yield change.origin, f"{change.key} would take new connections of {user.peer} to port {user.port} elsewhere"
    for passage in course.passages:
        if passage.bridged or _is_gone(planned, passage.scope):
            continue
        packets = [user.packet(passage), *([user.back(passage)] if passage.into and user.local else [])]
        for packet in packets:
            yield from _rerouted(planned, now, then, passage.scope, packet)
        yield from _taken_over(planned, now, then, passage, user)
    yield from _address_goes(planned, now, then, user, course)


def _is_gone(planned: Planned, scope: str) -> bool:
    return any(
        change.key.home == scope and change.key.scope != scope and change.after is None for change in planned.changes
    )


# ------------------------------------------------------------------------------------------------ routes and addresses


def _rerouted(planned: Planned, now: Objects, then: Objects, scope: str, packet: Packet) -> Iterator[_Danger]:
    """The danger that the plan changes the way of a packet in one scope, or leaves none."""
    state = planned.found.scopes.get(scope)
    rules = state.rules if state is not None else ()
    before, after = (route_lookup.look_up(objects, scope, rules, packet) for objects in (now, then))
    if before is None or after is None or not before.hops or before.hops == after.hops:
        return
    where = "" if scope == HOST else f" in {scope}"
    origin = _origin(planned, after.key if after.key in _changed(planned) else before.key)
    if not after.hops:
        yield origin, f"no route to {packet.to} would be left{where} (now {_told(before.route)})"
    else:
        yield origin, f"the route to {packet.to} would change{where} from {_told(before.route)} to {_told(after.route)}"


def _taken_over(planned: Planned, now: Objects, then: Objects, passage: Passage, user: Protected) -> Iterator[_Danger]:
    """The danger that the scope itself would have the peer's address."""
    before, after = (_keys_with(objects, passage.scope, user.peer) for objects in (now, then))
    for key in after if not before else ():
        yield _origin(planned, key), f"{user.peer}, who is connected, would be an address of {passage.scope} itself"


def _address_goes(planned: Planned, now: Objects, then: Objects, user: Protected, course: Course) -> Iterator[_Danger]:
    """The danger that the local address goes; IPv6 answers for an address only on its own link."""
    if not user.local:
        return
    before, after = (_links_with(objects, course.home.scope, user.local) for objects in (now, then))
    origin = _origin(planned, next(iter(_keys_with(now, course.home.scope, user.local)), None))
    if before and not after:
        yield origin, f"the address {user.local} would go, over which {user.peer} is connected"
    elif before and ":" in user.local and not set(before) & set(after):
        yield (
            origin,
            f"the address {user.local} would go from {before[0]} to {after[0]}, over which {user.peer} is connected",
        )


def _default_routes(planned: Planned, now: Objects, then: Objects) -> Iterator[_Danger]:
    for family, prefix in DEFAULTS.items():
        had, has = (
            [way for way in route_lookup.main_routes(objects) if way[1].to == prefix] for objects in (now, then)
        )
        if had and not has:
            text = f"the host's only IPv{family} default route ({_told(had[0][1])}) would go"
            yield _origin(planned, had[0][0]), text


def _changed(planned: Planned) -> dict[Key, Change]:
    return {change.key: change for change in planned.changes}


def _origin(planned: Planned, key: Key | None) -> Origin:
    """The line that causes the change or the loss of an object."""
    changes, taken = _changed(planned), planned.plan.measures.taken
    if key in changes:
        return changes[key].origin if changes[key].after is not None else _entry(planned, changes[key])
    loss = taken.losses.get(key) if taken is not None and key is not None else None
    return changes[loss.cause].origin if loss is not None and loss.cause in changes else NO_ORIGIN


def _entry(planned: Planned, change: Change) -> Origin:
    """The entry of the link that a deleted object lay on: the object itself is in no file any more."""
    places = set(BY_NAME[change.key.kind].lies_on(change.before))
    wanted = planned.intent.desired.items() if places else ()
    return next((one.origin for key, one in wanted if places & set(BY_NAME[key.kind].links(one.object))), NO_ORIGIN)


# ------------------------------------------------------------------------------------------------ objects


def _keys_with(objects: Objects, scope: str, address: str) -> list[Key]:
    """The keys of the objects that give a scope the address."""
    held = (
        (key, _HOLDS[key.kind](value)) for key, value in objects.items() if key.scope == scope and key.kind in _HOLDS
    )
    return [key for key, (_link, has) in held if has == address]


def _links_with(objects: Objects, scope: str, address: str) -> list[str]:
    return [_HOLDS[key.kind](objects[key])[0] for key in _keys_with(objects, scope, address)]


def _told(way: Any) -> str:
    hops = [" ".join(filter(None, [hop.via and f"via {hop.via}", hop.dev and f"dev {hop.dev}"])) for hop in way.hops]
    return f"{way.to} {', '.join(hops) or way.type}"


def _captures(change: Change, user: Protected, course: Course) -> bool:
    """Whether the change publishes the local port of the session, so that new connections to it end elsewhere."""
    if (
        change.key.kind not in _CAPTURES
        or change.after is None
        or change.key.scope != course.home.scope
        or not user.port
    ):
        return False
    return _CAPTURES[change.key.kind](change.after, user.local, user.port)
