"""Compares desired and live objects by key: the changes needed, and the problems that forbid them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from reconciler.kinds import BY_NAME, having
from reconciler.kinds.context import Claim, Names
from reconciler.kinds.grounds import Ground, Place
from reconciler.kinds.kind import PROTOCOL, Kind
from reconciler.model import data as dataclasses
from reconciler.model.changes import KERNEL, NOBODY, UNKNOWN, Action, Change, Desired, Live
from reconciler.model.data import NamedTuple
from reconciler.model.errors import Problem
from reconciler.model.keys import HOST, STAMP, Key, Origin
from reconciler.model.keys import PROTOCOL as PROTOCOL_NUMBER
from reconciler.planning.consequences import Consequences, LiveObjects, Standing
from reconciler.planning.state import coming, makers

DesiredObjects = Mapping[Key, Desired]

_AS_MADE = having(lambda kind: kind.as_made)
_CLASHES = having(lambda kind: kind.clashes)
_IMPOSSIBLE = having(lambda kind: kind.impossible)
_SETTLE = having(lambda kind: kind.settle)


class Difference(NamedTuple):
    """The changes that turn live into desired, the problems that forbid them, and the consequences of the changes.

    ``taken`` is None where changes were added because of the consequences.
    """

    changes: list[Change]
    problems: list[Problem]
    taken: Consequences | None


class Takes(NamedTuple):
    """Whose objects a run may take over: those of its topologies, and with ``adopt`` what bears no stamp."""

    topologies: frozenset[str]
    adopt: bool


def diff(desired: DesiredObjects, standing: Standing, topologies: frozenset[str], adopt: bool = False) -> Difference:
    """The difference between desired and live; the impact of the changes is told later (see disruption.py).

    Only objects of ``topologies`` are changed or deleted; with ``adopt`` also desired objects without a stamp.
    """
    live, takes = standing.live, Takes(topologies, adopt)
    desired = _settled(desired, live)
    results = {key: _compare(key, wanted, live.get(key), takes) for key, wanted in desired.items()}
    deletions = list(_deletions(desired, live, topologies))
    changes = [change for change in results.values() if isinstance(change, Change)]
    taken = Consequences([*changes, *deletions], standing)
    again: Mapping[Key, Change | Problem | None] = {}
    if taken.taken:
        again = _made_again(desired, live, results, taken, takes)
        results |= again
        changes = [change for change in results.values() if isinstance(change, Change)]
        deletions = [change for change in deletions if not _goes_along(change, taken)]
    changes += deletions
    upset = list(_upset(changes, desired, live))
    changes += upset
    problems = [*_once_an_entry(results), *_of_adopted(changes, live)]
    problems += _in_the_way(changes, desired, live)
    problems += _clashing(desired, live, topologies)
    problems += _impossible(changes, desired)
    return Difference(changes, problems, None if again or upset else taken)


def _once_an_entry(results: Mapping[Key, Change | Problem | None]) -> Iterator[Problem]:
    """The problems; for a range of ports, which is one entry, only the first."""
    reported: set[tuple[str, Origin]] = set()
    for key, result in results.items():
        if isinstance(result, Problem):
            if key.kind not in _CLASHES or (key.kind, result.origin) not in reported:
                yield result
            reported.add((key.kind, result.origin))


def _made_again(
    desired: DesiredObjects,
    live: LiveObjects,
    results: Mapping[Key, Change | Problem | None],
    taken: Consequences,
    takes: Takes,
) -> dict[Key, Change | Problem | None]:
    """New results for desired objects that the kernel deletes because of another change, and for ports of bridges."""
    again: dict[Key, Change | Problem | None] = {}
    gone = taken.gone
    made = makers(desired) if gone else {}
    for key, wanted in desired.items() if taken.losses or gone else ():
        entry, before = live.get(key), results[key]
        if entry is None or isinstance(before, Problem):
            continue
        loss, kind = taken.losses.get(key), BY_NAME[key.kind]
        places = frozenset(kind.links(entry.object)) & gone if key.kind in _AS_MADE else ()
        if places and (loss is None or not loss.late):
            again[key] = _without_maker(key, wanted, made, taken, takes)
        elif loss is not None and not loss.late:
            again[key] = _lost_for_good(key, wanted, loss.cause) if kind.existing else _create(key, wanted)
        elif loss is None and not (before is not None and before.action == "replace"):
            left = kind.without(entry.object, gone)
            if left is not entry.object:
                left_so = _compare(key, wanted, dataclasses.replace(entry, object=left), takes)
                again[key] = _from_live(left_so, entry)
    return again


def _goes_along(change: Change, taken: Consequences) -> bool:
    """Whether a deletion, or what a link that is only configured gets back, needs no request: its link is deleted."""
    places = frozenset(BY_NAME[change.key.kind].links(change.before))
    return bool(places) and places <= taken.gone if change.action == "update" else taken.absorbs(change)


def _from_live(result: Change | Problem | None, entry: Live) -> Change | Problem | None:
    """The change with the live object as ``before``; what the kernel leaves of it is ``left``."""
    if not isinstance(result, Change) or result.before is None:
        return result
    return dataclasses.replace(result, before=entry.object, left=result.before)


def _create(key: Key, wanted: Desired) -> Change:
    return _change("create", key, None, wanted, ())


def _without_maker(
    key: Key, wanted: Desired, made: Mapping[Place, Desired], taken: Consequences, takes: Takes
) -> Change | Problem | None:
    """The result for a link that is only configured here, and that goes: it may be made again."""
    (place,) = BY_NAME[key.kind].links(wanted.object)
    if place in made:
        return _compare(key, wanted, coming(key, wanted, made[place]), takes)
    return _lost_for_good(key, wanted, taken.taken[Ground("device", *place)])


def _lost_for_good(key: Key, wanted: Desired, cause: Key) -> Problem | None:
    if cause.kind == "namespace" and key.scope == cause.name:
        return None  # a namespace's own links: they are not needed without it
    where = f"{cause}, on which it lies or where its other end is; declare that too, or move it away"
    if (key.scope, key.name) == (cause.scope, cause.name):
        where = f"{cause}, which its topology no longer has; declare it, or leave {key.name} out here"
    text = f"{key.name} would go with {where}"
    return _problem(key, wanted, text)


def by_line(changes: Sequence[Change], lines: Mapping[tuple[Key, str], Origin]) -> list[Change]:
    """The changes; where all attributes that differ are implied by one other line, that line is the origin."""
    keys = {key for key, _ in lines}
    return [_implied_by(change, lines) if change.key in keys else change for change in changes]


def _implied_by(change: Change, lines: Mapping[tuple[Key, str], Origin]) -> Change:
    origins = {lines.get((change.key, word), change.origin) for word in change.differs}
    return dataclasses.replace(change, origin=origins.pop()) if len(origins) == 1 else change


def _settled(desired: DesiredObjects, live: LiveObjects) -> DesiredObjects:
    """The desired objects, completed with values that only the kernel knows (Kind.settle)."""
    settled: dict[Key, Desired] = {}
    for key, wanted in desired.items():
        settle = _SETTLE.get(key.kind)
        entry = live.get(key) if settle is not None else None
        if settle is not None and entry is not None:
            completed = settle(wanted.object, entry.object)
            if completed is not wanted.object:
                settled[key] = dataclasses.replace(wanted, object=completed)
    return {**desired, **settled} if settled else desired


# ------------------------------------------------------------------------------------------------ one object


def _compare(key: Key, wanted: Desired, entry: Live | None, takes: Takes) -> Change | Problem | None:
    kind = BY_NAME[key.kind]
    if entry is None:
        if kind.existing:
            text = f"{key.name} does not exist in {key.scope}; netrecon configures it but cannot make it"
            return _problem(key, wanted, text)
        return _create(key, wanted)
    # equality first: of 10,000 port maps most do not differ
    differs = () if wanted.object == entry.object else differences(kind, wanted.object, entry.object)
    if entry.owner in (wanted.owner, UNKNOWN) or (entry.owner == KERNEL and not differs):
        stamped = (entry.whole and entry.owner == wanted.owner) or entry.owner == KERNEL
        return _own(key, wanted, entry, differs, stamped)
    if kind.existing and not differs:
        return None
    if entry.owner in takes.topologies:
        return _handed_over(key, wanted, entry)
    return _foreign(key, wanted, entry, differs, takes.adopt)


def _handed_over(key: Key, wanted: Desired, entry: Live) -> Change:
    """The change of an object that another topology of this run has and does not declare any more."""
    kind = BY_NAME[key.kind]
    as_ours = kind.of_owner(entry.object, wanted.owner) if kind.of_owner is not None else entry.object
    differs = differences(kind, wanted.object, as_ours)
    action = way(kind, differs) if differs else "adopt"
    change = _change(action, key, entry.object, wanted, differs + (("owner",) if differs else ()))
    return dataclasses.replace(change, owner_before=entry.owner)


def _own(key: Key, wanted: Desired, entry: Live, differs: tuple[str, ...], stamped: bool) -> Change | None:
    if differs:
        return _change(way(BY_NAME[key.kind], differs), key, entry.object, wanted, differs)
    # A route or an address of ours whose record was lost only gets a new record.
    claimed = stamped or BY_NAME[key.kind].ownership == PROTOCOL
    return None if claimed else _change("adopt", key, entry.object, wanted, ())


def _foreign(key: Key, wanted: Desired, entry: Live, differs: tuple[str, ...], adopt: bool) -> Change | Problem:
    if entry.owner == KERNEL:
        text = f"{key} is the kernel's (or a daemon's) own and differs in {', '.join(differs)}"
        return _problem(key, wanted, text + _way_out(key, wanted))
    if entry.owner != NOBODY:
        return _problem(key, wanted, _belongs(key, entry, wanted.owner, differs))
    if not adopt:
        same = f"differs in {', '.join(differs)}" if differs else "matches"
        return _problem(
            key,
            wanted,
            f"{key} exists already, bears no stamp of netrecon and {same}; --adopt would take it over"
            + (_way_out(key, wanted) if differs else ""),
        )
    action = way(BY_NAME[key.kind], differs) if differs else "adopt"
    if action == "replace":
        text = f"{key} cannot be adopted: {', '.join(differs)} cannot change in place; remove it or declare it as it is"
        return _problem(key, wanted, text)
    return _change(action, key, entry.object, wanted, differs + (("owner",) if differs else ()))


def _belongs(key: Key, entry: Live, name: str, differs: tuple[str, ...]) -> str:
    if not BY_NAME[key.kind].existing:
        if BY_NAME[key.kind].shareable:
            return f"{key} is set otherwise by topology {entry.owner}; two topologies must set it alike"
        way_out = (
            f"a run with the files of both can move it; of a topology's new name netrecon rename {entry.owner} {name}"
        )
        return f"{key} belongs to topology {entry.owner}; {way_out}"
    return f"{key} belongs to topology {entry.owner}, which sets its {', '.join(differs)}; leave that out here"


def _way_out(key: Key, wanted: Desired) -> str:
    way_out = BY_NAME[key.kind].way_out
    return f"; {way_out(wanted.object)}" if way_out is not None else ""


def way(kind: Kind, differs: tuple[str, ...]) -> Action:
    """ "replace" or "update": whether the attributes that differ can change in place."""
    return "replace" if kind.replace_on & set(differs) else "update"


def differences(kind: Kind, wanted: Any, value: Any) -> tuple[str, ...]:
    """The names of the attributes that differ; () exactly where the masked objects are equal."""
    masked = kind.mask(wanted, value)
    if masked == wanted:
        return ()
    ours, theirs = kind.shown(wanted), kind.shown(masked)
    names = [*ours, *(name for name in theirs if name not in ours)]
    return tuple(name for name in names if ours.get(name) != theirs.get(name)) or ("value",)


def _change(action: Action, key: Key, before: Any, wanted: Desired, differs: tuple[str, ...]) -> Change:
    return Change(action, key, before, wanted.object, differs, "none", wanted.owner, wanted.origin)


def _problem(key: Key, wanted: Desired, text: str) -> Problem:
    return Problem(wanted.origin, text, key)


# ------------------------------------------------------------------------------------------------ deletions


def _deletions(desired: DesiredObjects, live: LiveObjects, topologies: frozenset[str]) -> Iterator[Change]:
    gone = [key for key, entry in live.items() if key not in desired and _may_go(key, entry, topologies)]
    for key in sorted(gone):
        entry, kind = live[key], BY_NAME[key.kind]
        if kind.release is not None:
            yield from _released(key, entry, kind.release)
        elif not kind.existing:
            yield Change("delete", key, entry.object, None, (), "none", entry.owner)


def _released(key: Key, entry: Live, release: Callable[[Any], Any]) -> Iterator[Change]:
    """The update that restores an object that netrecon only configured."""
    after = release(entry.object)
    differs = differences(BY_NAME[key.kind], after, entry.object)
    if differs:
        yield Change("update", key, entry.object, after, differs, "none", entry.owner)


def _may_go(key: Key, entry: Live, topologies: frozenset[str]) -> bool:
    """Whether an object may be deleted: it is this run's, or a link that a killed run created and did not stamp."""
    return entry.owner in topologies or (entry.owner == UNKNOWN and any(BY_NAME[key.kind].links(entry.object)))


def _of_adopted(changes: list[Change], live: LiveObjects) -> Iterator[Problem]:
    """Objects in an adopted namespace that have no stamp and are not declared: they must not be deleted."""
    adopted = (c for c in changes if c.action == "adopt" and c.owner_before == NOBODY)
    taken = {c.key.name: c for c in adopted if c.key.kind == "namespace"}
    for change in (change for change in changes if taken and change.action == "delete"):
        scopes = {change.key.scope, *(scope for scope, _ in BY_NAME[change.key.kind].links(change.before))}
        for scope in sorted(taken.keys() & scopes)[:1]:
            if not _bears_stamp(change, live[change.key].owner):
                text = f"{change.key} is in namespace {scope}, and the file does not name it"
                text += "; declare it, remove it, or write exclusive: false"
                yield Problem(taken[scope].origin, text, change.key)


def _bears_stamp(change: Change, owner: str) -> bool:
    stamp = BY_NAME[change.key.kind].stamp(change.before)
    listed = stamp if isinstance(stamp, tuple) else (stamp,)
    return bool({STAMP + owner, PROTOCOL_NUMBER} & set(listed))


def _upset(changes: list[Change], desired: DesiredObjects, live: LiveObjects) -> Iterator[Change]:
    """Updates for objects that do not differ now, but will once the kernel has made other changes of their kind."""
    by_kind: dict[str, dict[Key, Change]] = {}
    for change in changes:
        if BY_NAME[change.key.kind].upset is not None:
            by_kind.setdefault(change.key.kind, {})[change.key] = change
    for key, wanted in desired.items() if by_kind else ():
        upset, others = BY_NAME[key.kind].upset, by_kind.get(key.kind, {})
        left = upset(wanted.object, others) if upset is not None and others and key not in others else wanted.object
        if left != wanted.object:
            change = _change("update", key, left, wanted, differences(BY_NAME[key.kind], wanted.object, left))
            yield dataclasses.replace(change, before=live[key].object, left=left) if key in live else change


def _in_the_way(changes: list[Change], desired: DesiredObjects, live: LiveObjects) -> Iterator[Problem]:
    """Links to be created whose name is taken by a link that does not leave, of any kind."""
    taken: dict[Place, Key] = {}
    for one, entry in live.items():
        for where in () if entry.coming else BY_NAME[one.kind].links(entry.object):
            if where not in taken or not BY_NAME[one.kind].existing:
                taken[where] = one
    leaving = {change.key for change in changes if change.action in ("delete", "replace")}
    gone = {change.key.name for change in changes if change.action == "delete" and change.key.kind == "namespace"}
    leaving |= {key for key in taken.values() if key.scope != HOST and key.scope in gone}
    for change in changes:
        if change.action not in ("create", "replace"):
            continue
        for where in BY_NAME[change.key.kind].links(change.after):
            key = taken.get(where)
            if key is None or key == change.key or key in leaving:
                continue
            owner = live[key].owner
            whose = f"belongs to topology {owner}" if owner not in (NOBODY, KERNEL, UNKNOWN) else "is not netrecon's"
            text = f"{where[1]} in {where[0]} exists as a {key.kind} that {whose}; remove or rename it"
            yield _problem(change.key, desired[change.key], text)


def _clashing(desired: DesiredObjects, live: LiveObjects, topologies: frozenset[str]) -> Iterator[Problem]:
    """Objects whose place is taken by a topology outside this run, under another key: ports that overlap."""
    claims: dict[tuple[str, str], list[Claim]] = {}
    for key, entry in live.items() if _CLASHES else ():
        if key.kind in _CLASHES and entry.owner not in topologies and key not in desired:
            claims.setdefault((key.scope, key.kind), []).append(Claim(entry.object, entry.owner, None))
    keys: dict[Origin, Key] = {}
    reported: set[Origin] = set()
    for key, wanted in desired.items() if claims else ():
        if (key.scope, key.kind) in claims:
            keys.setdefault(wanted.origin, key)
            claims[key.scope, key.kind].append(Claim(wanted.object, wanted.owner, wanted.origin))
    for (_, kind), listed in claims.items():
        for claim, text in _CLASHES[kind](listed):
            if claim.origin is not None and claim.origin not in reported:
                reported.add(claim.origin)  # once for a range
                yield Problem(claim.origin, text, keys[claim.origin])


def _impossible(changes: list[Change], desired: DesiredObjects) -> Iterator[Problem]:
    """Objects that the kernel cannot have, even after all creations of the plan."""
    made = [change for change in changes if change.action in ("create", "replace")]
    asked = [change for change in made if change.key.kind in _IMPOSSIBLE]
    if not asked:
        return
    names = Names({change.key: change.after for change in made})
    for change in changes:  # an update too: with a larger MTU the kernel gives a link its IPv6 settings
        if change.after is not None:
            names.links.update((place, change.key) for place in BY_NAME[change.key.kind].links(change.after))
    for change in sorted(asked, key=lambda change: change.key):
        text = _IMPOSSIBLE[change.key.kind](change.after, names)
        if text:
            yield _problem(change.key, desired[change.key], text)
