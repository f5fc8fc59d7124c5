"""Changes in the order in which they run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from reconciler.kinds import BY_NAME, NFT, RANK, address
from reconciler.kinds.kind import Names
from reconciler.model.changes import Change, Live
from reconciler.model.data import dataclass
from reconciler.model.keys import HOST, Key
from reconciler.model.requests import Request
from reconciler.planning.ordering import levels


@dataclass(frozen=True, slots=True)
class Step:
    """Part of a change that runs at once: a replace is two steps.  ``needs`` are keys that must not have failed."""

    change: Change
    requests: tuple[Request, ...]
    needs: tuple[Key, ...]
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """``stages`` run one after the other; the steps of one stage do not depend on each other."""

    changes: tuple[Change, ...]
    stages: tuple[tuple[Step, ...], ...]


def order(changes: Iterable[Change], names: Iterable[Names], live: Mapping[Key, Live], restoring: bool = False) -> Plan:
    """The plan of the changes: what goes, what goes back to an earlier value, what comes, and last what gave way.

    ``restoring``: what is only stamped gets the stamp that its ``after`` bears, not the owner's.
    """
    listed = list(changes)
    late = _giving_way(listed, live)
    tables = {change.key.scope for change in listed if change.action == "delete" and change.key.kind == "nft_table"}
    back = [c for c in listed if c.action == "delete" and BY_NAME[c.key.kind].restores]
    going = [
        c
        for c in listed
        if c.action in ("delete", "replace")
        and not BY_NAME[c.key.kind].restores
        and c.key not in late
        and not _in_nft(c, tables)
    ]
    coming = [c for c in listed if c.action != "delete" or (c.key.kind in NFT and c.key.scope not in tables)]
    last = [c for c in listed if c.key in late or (c.key.kind in NFT and c.key.scope in tables)]
    there = live_names(live) if going or back or last else Names()
    stages = [
        *_stages(going, there, True, restoring),
        *_stages(back, there, False, restoring),
        *_stages(coming, _joined(names), False, restoring),
        *_stages(last, there, True, restoring),
    ]
    return Plan(tuple(_as_they_run(stages)), tuple(stages))


def _in_nft(change: Change, tables: set[str]) -> bool:
    """What a table holds goes with the table, last of all: until then it isolates what is being taken down."""
    return change.key.kind in NFT and (change.key.scope in tables or change.action == "delete")


def _giving_way(changes: list[Change], live: Mapping[Key, Live]) -> set[Key]:
    """The addresses that go last, for the sake of others on their link (see address.gives_way and address.leads)."""
    going = {c.key: c.before for c in changes if c.action == "delete" and c.key.kind == "address"}
    if not going:
        return set()
    coming = [c.after for c in changes if c.action == "create" and c.key.kind == "address"]
    staying = [held.object for key, held in live.items() if key.kind == "address" and key not in going]
    return {key for key, old in going.items() if address.gives_way(old, coming) or address.leads(old, staying, coming)}


def _joined(names: Iterable[Names]) -> Names:
    listed = list(names)
    if len(listed) == 1:
        return listed[0]
    joined = Names({})
    objects: dict[Key, Any] = {}
    for one in listed:
        objects.update(one.objects)
        joined.links.update(one.links)
        for where, keys in one.by_scope.items():
            joined.by_scope.setdefault(where, []).extend(keys)
        joined.exclusive |= one.exclusive
    joined.objects = objects
    return joined


def live_names(live: Mapping[Key, Live]) -> Names:
    """Who is who among live objects."""
    names = Names({key: held.object for key, held in live.items()})
    for key, held in live.items():
        names.by_scope.setdefault((key.scope, key.kind), []).append(key)
        for where in BY_NAME[key.kind].links(held.object):
            names.links.setdefault(where, key)
    return names


def _stages(changes: list[Change], names: Names, deleting: bool, restoring: bool) -> Iterator[tuple[Step, ...]]:
    """Levels of steps; deletions run against the direction of need."""
    place = {change.key: number for number, change in enumerate(changes)}
    by_key = {change.key: change for change in changes}
    needs = {key: _needs(change, names, deleting) for key, change in by_key.items()}
    for level in _directed(levels(needs, lambda key: (RANK[key.kind], place[key])), deleting):
        yield tuple(_step(by_key[key], tuple(needs[key]), deleting, restoring) for key in level)


def _directed(found: list[list[Key]], deleting: bool) -> Iterable[list[Key]]:
    return (list(reversed(level)) for level in reversed(found)) if deleting else found


def _needs(change: Change, names: Names, deleting: bool) -> list[Key]:
    kind = BY_NAME[change.key.kind]
    if change.key.kind in NFT:  # all of one scope is one transaction: only the namespace comes before it
        return [Key("namespace", HOST, change.key.scope)] if change.key.scope != HOST else []
    held = change.before if deleting or change.after is None else change.after
    return list(dict.fromkeys(kind.needs(held, names)))


def _step(change: Change, needs: tuple[Key, ...], deleting: bool, restoring: bool) -> Step:
    kind = BY_NAME[change.key.kind]
    if deleting or change.action == "delete":
        return Step(change, tuple(kind.delete(change.before)), () if deleting else needs, True)
    if change.action in ("create", "replace"):
        return Step(change, tuple(kind.create(change.after, change.owner)), needs)
    requests: list[Request] = []
    if change.action == "adopt" or "owner" in change.differs:
        requests += kind.restamp(change.after) if restoring else kind.adopt(change.before, change.owner)
    if change.action == "update":
        requests += kind.update(kind.mask(change.after, change.before), change.after, change.owner)
    return Step(change, tuple(requests), needs)


def _as_they_run(stages: list[tuple[Step, ...]]) -> Iterator[Change]:
    """Each change once, where its last part runs."""
    last = {step.change.key: number for number, stage in enumerate(stages) for step in stage}
    for number, stage in enumerate(stages):
        for step in stage:
            if last[step.change.key] == number:
                yield step.change
