"""Orders changes into a plan: stages of steps with their requests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from reconciler.kinds import BY_NAME, KINDS, RANK
from reconciler.kinds.context import Names
from reconciler.kinds.grounds import Place
from reconciler.kinds.kind import PROTOCOL
from reconciler.model import data as dataclasses
from reconciler.model.changes import NOBODY, Change, Live
from reconciler.model.data import dataclass
from reconciler.model.keys import HOST, Key
from reconciler.model.requests import Request, WriteSysctl
from reconciler.planning.consequences import NO_MEASURES, Measures, goes_last
from reconciler.planning.ordering import levels

_IN_TABLES = frozenset(kind.name for kind in KINDS if kind.transaction)
_TABLES = frozenset(kind.name for kind in KINDS if kind.transaction and kind.carrier is None)


@dataclass(frozen=True, slots=True)
class Step:
    """A change, or one half of a replace; ``needs`` are the keys of changes that must not have failed before it."""

    change: Change
    requests: tuple[Request, ...]
    needs: tuple[Key, ...]
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """``stages`` run one after the other; the steps of one stage do not depend on each other.

    The changes that ``measures`` restores are in the stages, but not in ``changes``.
    """

    changes: tuple[Change, ...]
    stages: tuple[tuple[Step, ...], ...]
    measures: Measures = NO_MEASURES


def order(
    changes: Iterable[Change],
    names: Iterable[Names],
    live: Mapping[Key, Live],
    measures: Measures = NO_MEASURES,
    restoring: bool = False,
) -> Plan:
    """The plan: early updates, deletions, sysctls that get an old value back, creations, late deletions, restorations.

    What only lets more packets pass (Kind.loosens) runs after the creations and updates.

    ``names`` are those of the topologies.  ``restoring`` (a rollback): an adopted object gets the stamp of its
    ``after``, not the owner's.
    """
    listed = list(changes)
    late = goes_last(listed, live)
    tables = {c.key.scope for c in listed if c.action == "delete" and c.key.kind in _TABLES}
    back = [c for c in listed if c.action == "delete" and BY_NAME[c.key.kind].restores]
    going = [
        c
        for c in listed
        if c.action in ("delete", "replace")
        and not BY_NAME[c.key.kind].restores
        and c.key not in late
        and not _in_nft(c, tables)
    ]
    early = [c for c in listed if c.action == "update" and BY_NAME[c.key.kind].early & {*c.differs}]
    first = {c.key for c in early}
    looser = {c.key for c in listed if _loosens(c)}
    gone = {c.key for c in listed if c.action == "delete" and c.key.kind in _IN_TABLES}
    ends = {key for key in gone if key.scope in tables or key in looser}
    apart = looser | first
    with_table = gone - ends
    coming = [c for c in listed if c.key not in apart and (c.action != "delete" or c.key in with_table)]
    opening = [c for c in listed if c.key in looser and c.action != "delete"]
    last = [c for c in listed if c.key in late or c.key in ends]
    there = live_names(live) if going or back or last else Names()
    stages = [
        *_stages(early, Names(), False, restoring),
        *_stages(going, there, True, restoring),
        *_stages(back, there, False, restoring),
        *_stages(coming, _joined(names), False, restoring),
        *_stages(opening, _joined(names), False, restoring),
        *_stages(last, there, True, restoring),
    ]
    if measures.settings:
        stages = [tuple(_meanwhile(step, measures) for step in stage) for stage in stages]
    restored = tuple(tuple(_put_back(change, measures) for change in level) for level in _by_rank(measures.restored))
    return Plan(tuple(_as_they_run(stages)), (*stages, *restored), measures)


def _meanwhile(step: Step, measures: Measures) -> Step:
    """The step with requests before and after it for the sysctls to hold; of a replace only the deletion has them."""
    settings = measures.settings.get(step.change.key, ()) if step.deleting or step.change.action != "replace" else ()
    if not settings:
        return step
    first = (WriteSysctl(setting.scope, setting.key, setting.meanwhile) for setting in settings)
    then = (WriteSysctl(setting.scope, setting.key, setting.before) for setting in settings)
    return dataclasses.replace(step, requests=(*first, *step.requests, *then))


def _by_rank(changes: Sequence[Change]) -> Iterator[Iterator[Change]]:
    return (level for _, level in groupby(changes, key=lambda change: RANK[change.key.kind]))


def _put_back(change: Change, measures: Measures) -> Step:
    kind = BY_NAME[change.key.kind]
    anew = any(place in measures.anew for place in kind.lies_on(change.after))
    requests = kind.put_back(change.after, anew) if kind.put_back is not None else ()
    return Step(change, tuple(requests), (measures.loss(change.key).cause,))


def _loosens(change: Change) -> bool:
    loosens = BY_NAME[change.key.kind].loosens
    return loosens is not None and change.action != "adopt" and loosens(change)


def _in_nft(change: Change, tables: set[str]) -> bool:
    """Whether a deletion runs in the nft transaction, and not first: until then a table isolates what is deleted."""
    return change.key.kind in _IN_TABLES and (change.key.scope in tables or change.action == "delete")


def _joined(names: Iterable[Names]) -> Names:
    listed = list(names)
    if len(listed) == 1:
        return listed[0]
    joined = Names({})
    objects: dict[Key, Any] = {}
    for part in listed:
        objects.update(part.objects)
        for place, key in part.links.items():
            _lead(joined.links, place, key)
        for where, keys in part.by_scope.items():
            joined.by_scope.setdefault(where, []).extend(keys)
        joined.exclusive |= part.exclusive
    joined.objects = objects
    return joined


def live_names(live: Mapping[Key, Live]) -> Names:
    """The Names of live objects."""
    names = Names({key: entry.object for key, entry in live.items()})
    for key, entry in live.items():
        names.by_scope.setdefault((key.scope, key.kind), []).append(key)
        for where in BY_NAME[key.kind].links(entry.object):
            _lead(names.links, where, key)
    return names


def _lead(links: dict[Place, Key], place: Place, key: Key) -> None:
    """Name the object that makes a link; one that only configures it where there is no other."""
    if place not in links or BY_NAME[links[place].kind].existing:
        links[place] = key


def _stages(changes: list[Change], names: Names, deleting: bool, restoring: bool) -> Iterator[tuple[Step, ...]]:
    """The steps in levels; deletions run in the reverse order of their needs."""
    place = {change.key: number for number, change in enumerate(changes)}
    by_key = {change.key: change for change in changes}
    needs = {key: _needs(change, names, deleting) for key, change in by_key.items()}
    for level in _directed(levels(needs, lambda key: (RANK[key.kind], place[key])), deleting):
        yield tuple(_step(by_key[key], tuple(needs[key]), deleting, restoring) for key in level)


def _directed(ordered: list[list[Key]], deleting: bool) -> Iterable[list[Key]]:
    return (list(reversed(level)) for level in reversed(ordered)) if deleting else ordered


def _needs(change: Change, names: Names, deleting: bool) -> list[Key]:
    kind = BY_NAME[change.key.kind]
    if change.key.kind in _IN_TABLES:  # all of one scope is one transaction, which needs only the namespace
        return [Key("namespace", HOST, change.key.scope)] if change.key.scope != HOST else []
    value = change.before if deleting or change.after is None else change.after
    return list(dict.fromkeys(kind.needs(value, names)))


def _step(change: Change, needs: tuple[Key, ...], deleting: bool, restoring: bool) -> Step:
    kind = BY_NAME[change.key.kind]
    if deleting or change.action == "delete":
        return Step(change, tuple(kind.delete(change.before)), () if deleting else needs, True)
    if change.action in ("create", "replace"):
        return Step(change, tuple(kind.create(change.after, change.owner)), needs)
    requests: list[Request] = []
    if _stamps(change, restoring):
        stamp = (change.before, change.after)
        requests += kind.restamp(*stamp) if restoring else kind.adopt(*stamp, change.owner)
    if change.action == "update":
        before = change.before if change.left is None else change.left
        requests += kind.update(kind.mask(change.after, before), change.after, change.owner)
    return Step(change, tuple(requests), needs)


def _stamps(change: Change, restoring: bool) -> bool:
    """Whether the change has requests that stamp the object."""
    if "owner" in change.differs and BY_NAME[change.key.kind].transaction:
        return False  # the update moves it into its table
    if change.action != "adopt" and "owner" not in change.differs:
        return False
    # our protocol number on it names no topology, the record does
    return restoring or change.owner_before == NOBODY or BY_NAME[change.key.kind].ownership != PROTOCOL


def _as_they_run(stages: list[tuple[Step, ...]]) -> Iterator[Change]:
    """Each change once, at the place of its last step."""
    last = {step.change.key: number for number, stage in enumerate(stages) for step in stage}
    for number, stage in enumerate(stages):
        for step in stage:
            if last[step.change.key] == number:
                yield step.change
