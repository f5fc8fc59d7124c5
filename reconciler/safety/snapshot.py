"""What a run could destroy, as it was before, and the changes that lead back to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from reconciler.kinds import BY_NAME, sysctl
from reconciler.kinds.grounds import Ground
from reconciler.model.changes import KERNEL, NOBODY, Change, Desired, Live
from reconciler.model.data import dataclass
from reconciler.model.keys import HOST, NO_ORIGIN, Key
from reconciler.model.rows import LiveState
from reconciler.planning.consequences import Consequences, LiveObjects
from reconciler.planning.diff import differences, way
from reconciler.planning.intent import Planned
from reconciler.safety import codec


@dataclass(frozen=True, slots=True)
class Kept:
    """One object before the run: ``held`` None where there was none; then ``made`` is what the run makes there."""

    held: Live | None
    made: Any
    owner: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a plan touches or may take along, and through whose eyes it was read (see state.View)."""

    topologies: frozenset[str]
    relaxed: frozenset[str]
    entries: Mapping[Key, Kept]

    @property
    def scopes(self) -> frozenset[str]:
        """The namespaces that it speaks of, without the host."""
        named = {key.name for key in self.entries if key.kind == "namespace"}
        return frozenset(named | {key.scope for key in self.entries if key.scope != HOST})

    @property
    def wanted(self) -> dict[Key, Desired]:
        """The entries as a reading wants them, so that it finds the same objects under the same keys."""
        found = ((key, entry, entry.held.object if entry.held else entry.made) for key, entry in self.entries.items())
        return {key: Desired(held, entry.owner, NO_ORIGIN) for key, entry, held in found if held is not None}


# ------------------------------------------------------------------------------------------------ take


def take(planned: Planned) -> Snapshot:
    """The snapshot of a plan.

    Where links or addresses change, all that is in the scope belongs to it but for nftables and files: a route
    goes with its address, a port with its bridge.  What is only made has nothing to lose.
    """
    born = {c.key.name for c in planned.changes if c.key.kind == "namespace" and c.action == "create"}
    entries = {change.key: _entry(change, planned) for change in planned.changes}
    stirred = {scope for change in planned.changes for scope in _stirred(change)}
    stirred = (stirred | {ground.scope for ground in _taken(planned)}) - born
    for key, held in planned.live.items() if stirred else ():
        kind = BY_NAME[key.kind]
        if key not in entries and key.scope in stirred and not (kind.transaction or kind.outlives):
            entries[key] = Kept(held, None, held.owner)
    return Snapshot(planned.intent.names, planned.intent.relaxed, entries)


def _entry(change: Change, planned: Planned) -> Kept:
    held = planned.live.get(change.key) if was_read(change.key, planned.found) else None
    if held is None:
        return Kept(None, None if BY_NAME[change.key.kind].transaction else change.after, change.owner)
    if change.action == "delete" and change.key.kind == "namespace":
        held = dataclasses.replace(held, object=dataclasses.replace(held.object, parked=True))
    return Kept(held, None, change.owner)


def was_read(key: Key, found: LiveState) -> bool:
    """Whether the object was there to be read: a namespace that is not there holds nothing but its files."""
    return key.scope == HOST or key.scope in found.scopes or (key.scope, key.name) in found.files


def _stirred(change: Change) -> Iterator[str]:
    """The scopes where the kernel may delete other objects because of this change: a route with its address, say."""
    if change.action in ("create", "adopt") or change.before is None:
        return
    kind = BY_NAME[change.key.kind]
    places = list(kind.links(change.before))
    if places or kind.goes_last is not None:
        yield change.key.scope
        yield from (scope for scope, _ in places)


def _taken(planned: Planned) -> Iterable[Ground]:
    taken = planned.plan.measures.taken
    return taken.taken if taken is not None else ()


def lost_links(planned: Planned) -> Iterator[tuple[str, str]]:
    """The links, as (scope, name), that the plan takes away: their settings under /proc/sys go with them."""
    for change in planned.changes:
        if change.action in ("delete", "replace") and change.before is not None:
            yield from BY_NAME[change.key.kind].links(change.before)


def upset(planned: Planned) -> dict[str, set[str]]:
    """By scope, the settings that the kernel may write by itself with those that the plan writes."""
    found: dict[str, set[str]] = {}
    for change in planned.changes:
        scope = planned.found.scopes.get(change.key.scope)
        if scope is None:  # it is made by the plan
            continue
        links = [row.name for row in scope.links.values()]
        for key in BY_NAME[change.key.kind].upsets(change.before or change.after, links):
            found.setdefault(key.scope, set()).add(key.name)
    return found


def held_meanwhile(planned: Planned) -> dict[tuple[str, str], str]:
    """(scope, sysctl) -> value before, of the settings that hold while some change is made."""
    settings = planned.plan.measures.settings.values()
    return {(one.scope, one.key): one.before for listed in settings for one in listed}


def upset_before(snapshot: Snapshot, planned: Planned) -> dict[Key, str]:
    """The settings that change by themselves, as they were."""
    keys = [sysctl.key_of(scope, name) for scope, names in upset(planned).items() for name in names]
    held = ((key, entry.held) for key in keys if (entry := snapshot.entries.get(key)) is not None)
    return {key: str(one.object.value) for key, one in held if one is not None}


def edited_tables(planned: Planned) -> Iterator[Key]:
    """The nftables tables that objects alone would not bring back to the letter."""
    for change in planned.changes:
        if BY_NAME[change.key.kind].listed and change.before is not None:
            yield change.key


def with_settings(snapshot: Snapshot, settings: Mapping[tuple[str, str], str]) -> Snapshot:
    """The snapshot with settings, (scope, sysctl) -> value, that links had."""
    entries = dict(snapshot.entries)
    for (scope, name), value in settings.items():
        entries.setdefault(sysctl.key_of(scope, name), Kept(Live(sysctl.Sysctl(scope, name, value), ""), None, ""))
    return dataclasses.replace(snapshot, entries=entries)


def with_tables(snapshot: Snapshot, tables: Mapping[Key, str]) -> Snapshot:
    """The snapshot with the text of tables."""
    entries = dict(snapshot.entries)
    for key, text in tables.items():
        entry = entries[key]
        if entry.held is not None:
            held = dataclasses.replace(entry.held, object=dataclasses.replace(entry.held.object, text=text))
            entries[key] = dataclasses.replace(entry, held=held)
    return dataclasses.replace(snapshot, entries=entries)


# ------------------------------------------------------------------------------------------------ go back


def undo(snapshot: Snapshot, live: LiveObjects) -> list[Change]:
    """The changes that lead from live back to the snapshot.

    A namespace that comes back brings its content along, so nothing else is planned before it is there.
    """
    spaces = [key for key in snapshot.entries if key.kind == "namespace"]
    returning = [key for key in spaces if snapshot.entries[key].held and key not in live]
    keys = returning or list(snapshot.entries)
    found = [change for key in keys for change in _back(key, snapshot.entries[key], live.get(key))]
    return list(_without_followers(found, live))


def _back(key: Key, entry: Kept, now: Live | None) -> Iterator[Change]:
    kind, before = BY_NAME[key.kind], entry.held
    if before is None:
        # What bears no stamp somebody else made meanwhile; a setting that a kernel module brought cannot go.
        if now is not None and now.owner not in (NOBODY, KERNEL) and not (kind.existing or kind.restores):
            yield Change("delete", key, now.object, None, (), "disruptive", entry.owner)
        return
    if now is None:
        if not (before.owner == KERNEL and kind.comes_back(before.object)):
            yield Change("create", key, None, before.object, (), "none", entry.owner)
        return
    differs = () if before.owner == KERNEL else differences(kind, before.object, now.object)
    restamped = before.owner != KERNEL and kind.stamp(before.object) != kind.stamp(now.object)
    if differs:
        action = way(kind, differs)
        named = differs + (("owner",) if restamped and action == "update" else ())
        yield Change(action, key, now.object, before.object, named, "disruptive", entry.owner)
    elif restamped:
        yield Change("adopt", key, now.object, before.object, (), "none", entry.owner)


def _without_followers(changes: list[Change], live: LiveObjects) -> Iterator[Change]:
    """Leave out what another change does: a namespace or a link that goes, or a table that comes as a whole."""
    taken = Consequences([change for change in changes if change.action == "delete"], live)
    listed = (change for change in changes if BY_NAME[change.key.kind].listed and change.after is not None)
    whole = {change.key for change in listed if change.after.text}
    for change in changes:
        carrier = BY_NAME[change.key.kind].carrier
        if carrier is not None:
            if carrier(change.before if change.after is None else change.after) in whole:
                continue
        elif change.action == "delete" and taken.absorbs(change):
            continue
        yield change


# ------------------------------------------------------------------------------------------------ as data


def to_plain(snapshot: Snapshot) -> dict[str, Any]:
    """The snapshot as what json.dumps takes."""
    entries = []
    for key, entry in snapshot.entries.items():
        held = entry.held and [codec.encode(entry.held.object), entry.held.owner, entry.held.whole]
        entries.append([*key, held, entry.made and codec.encode(entry.made), entry.owner])
    return {"topologies": sorted(snapshot.topologies), "relaxed": sorted(snapshot.relaxed), "entries": entries}


def from_plain(data: Mapping[str, Any]) -> Snapshot:
    """The snapshot that ``to_plain`` was given; ValueError, TypeError, KeyError or IndexError for anything else."""
    entries = {}
    for kind, scope, name, held, made, owner in data["entries"]:
        form = BY_NAME[kind].form
        before = held and Live(codec.decode(form, held[0]), held[1], held[2])
        entries[Key(kind, scope, name)] = Kept(before or None, made and codec.decode(form, made), owner)
    return Snapshot(frozenset(data["topologies"]), frozenset(data["relaxed"]), entries)
