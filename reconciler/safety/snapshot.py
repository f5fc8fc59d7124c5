"""The snapshot: the objects that a run may change or delete, as before the run, and the changes back to them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from reconciler.kinds import BY_NAME, having, sysctl
from reconciler.kinds.grounds import Ground
from reconciler.model import data as dataclasses
from reconciler.model.changes import KERNEL, NOBODY, Change, Desired, Live
from reconciler.model.data import dataclass
from reconciler.model.keys import HOST, NO_ORIGIN, Key
from reconciler.model.rows import LiveState
from reconciler.planning.consequences import Consequences, LiveObjects, Standing
from reconciler.planning.diff import differences, way
from reconciler.planning.intent import Planned
from reconciler.safety import codec

_UPSETS = having(lambda kind: kind.upsets)


@dataclass(frozen=True, slots=True)
class Kept:
    """One object before the run; ``held`` None: it did not exist, and ``made`` is the object that the run creates."""

    held: Live | None
    made: Any
    owner: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The objects that a plan changes or that the kernel may delete with it, and how to read them (see state.View)."""

    topologies: frozenset[str]
    relaxed: frozenset[str]
    entries: Mapping[Key, Kept]

    @property
    def scopes(self) -> frozenset[str]:
        """The namespaces of its entries, without the host."""
        named = {key.name for key in self.entries if key.kind == "namespace"}
        return frozenset(named | {key.scope for key in self.entries if key.scope != HOST})

    @property
    def wanted(self) -> dict[Key, Desired]:
        """The entries as desired objects, so that reading returns the same objects under the same keys."""
        listed = ((key, entry, entry.held.object if entry.held else entry.made) for key, entry in self.entries.items())
        return {key: Desired(value, self._owner(entry), NO_ORIGIN) for key, entry, value in listed if value is not None}

    def _owner(self, entry: Kept) -> str:
        """The topology that is to have the object again: of one that moves, the one before."""
        moves = entry.held is not None and entry.held.owner in self.topologies
        return entry.held.owner if moves and entry.held is not None else entry.owner


# ------------------------------------------------------------------------------------------------ take


def take(planned: Planned) -> Snapshot:
    """The snapshot of a plan.

    Of a scope where links or addresses change it has every object except nftables and files, since the kernel may
    delete routes with an address and ports with a bridge.  A namespace that the plan creates has nothing to lose, and
    a rollback deletes all that was created in it with the namespace.
    """
    born = {c.key.name for c in planned.changes if c.key.kind == "namespace" and c.action == "create"}
    entries = {change.key: _entry(change, planned) for change in planned.changes if not _goes_with(change, born)}
    stirred = {scope for change in planned.changes for scope in _stirred(change)}
    stirred = (stirred | {ground.scope for ground in _taken(planned)}) - born
    for key, entry in planned.live.items() if stirred else ():
        kind = BY_NAME[key.kind]
        if key not in entries and key.scope in stirred and not (kind.transaction or kind.outlives):
            entries[key] = Kept(entry, None, entry.owner)
    return Snapshot(planned.intent.names, planned.intent.relaxed, entries)


def _entry(change: Change, planned: Planned) -> Kept:
    before = planned.live.get(change.key) if was_read(change.key, planned.found) else None
    if before is None or before.coming:
        return Kept(None, None if BY_NAME[change.key.kind].transaction else change.after, change.owner)
    if change.action == "delete" and change.key.kind == "namespace":
        before = dataclasses.replace(before, object=dataclasses.replace(before.object, parked=True))
    return Kept(before, None, change.owner)


def _goes_with(change: Change, born: Collection[str]) -> bool:
    """Whether the object that the change makes is deleted with one of the new namespaces."""
    kind = BY_NAME[change.key.kind]
    if change.key.scope not in born or kind.outlives:
        return False
    return all(scope in born for scope, _ in kind.links(change.after))


def was_read(key: Key, rows: LiveState) -> bool:
    """Whether the object could be read: of a namespace that does not exist only files are read."""
    return key.scope == HOST or key.scope in rows.scopes or (key.scope, key.name) in rows.files


def _stirred(change: Change) -> Iterator[str]:
    """Scopes where the kernel may delete other objects because of this change, such as a route with its address."""
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
    """The links, as (scope, name), that lose their sysctls: they are deleted, or get an MTU too small for IPv6."""
    for change in planned.changes:
        if change.action in ("delete", "replace") and change.before is not None:
            yield from BY_NAME[change.key.kind].links(change.before)
    yield from ((ground.scope, ground.name) for ground in _taken(planned) if ground.what == "narrow")


def upset(planned: Planned) -> dict[str, set[str]]:
    """By scope, the sysctls that the kernel may change because of those that the plan writes."""
    names: dict[str, set[str]] = {}
    for change in planned.changes:
        scope = planned.found.scopes.get(change.key.scope)
        if change.key.kind not in _UPSETS or scope is None:  # None: the plan creates it
            continue
        links = [row.name for row in scope.links.values()]
        for key in _UPSETS[change.key.kind](change.before or change.after, links):
            names.setdefault(key.scope, set()).add(key.name)
    return names


def held_meanwhile(planned: Planned) -> dict[tuple[str, str], str]:
    """(scope, sysctl) -> value before, of the sysctls that have another value while a change runs."""
    settings = planned.plan.measures.settings.values()
    return {(setting.scope, setting.key): setting.before for listed in settings for setting in listed}


def sets(key: Key, settings: Collection[tuple[str, str]]) -> bool:
    """Whether the object is one of the sysctls, (scope, sysctl)."""
    return any(key == sysctl.key_of(*pair) for pair in settings)


def upset_before(snapshot: Snapshot, planned: Planned) -> dict[Key, str]:
    """The values before the run of the sysctls that the kernel may change by itself."""
    keys = [sysctl.key_of(scope, name) for scope, names in upset(planned).items() for name in names]
    kept = ((key, entry.held) for key in keys if (entry := snapshot.entries.get(key)) is not None)
    return {key: str(before.object.value) for key, before in kept if before is not None}


def edited_tables(planned: Planned) -> Iterator[Key]:
    """The nftables tables that the plan changes: a rollback restores them from their listing."""
    for change in planned.changes:
        if BY_NAME[change.key.kind].listed and change.before is not None:
            yield change.key


def with_settings(snapshot: Snapshot, settings: Mapping[tuple[str, str], str]) -> Snapshot:
    """The snapshot with an entry for each sysctl of ``settings``: (scope, sysctl) -> value."""
    entries = dict(snapshot.entries)
    for (scope, name), value in settings.items():
        entries.setdefault(sysctl.key_of(scope, name), Kept(Live(sysctl.Sysctl(scope, name, value), ""), None, ""))
    return dataclasses.replace(snapshot, entries=entries)


def with_tables(snapshot: Snapshot, tables: Mapping[Key, str]) -> Snapshot:
    """The snapshot with the listings of tables, by key."""
    entries = dict(snapshot.entries)
    for key, text in tables.items():
        entry = entries[key]
        if entry.held is not None:
            held = dataclasses.replace(entry.held, object=dataclasses.replace(entry.held.object, text=text))
            entries[key] = dataclasses.replace(entry, held=held)
    return dataclasses.replace(snapshot, entries=entries)


# ------------------------------------------------------------------------------------------------ go back


def undo(snapshot: Snapshot, live: LiveObjects) -> list[Change]:
    """The changes that turn live back into the snapshot.

    A restored namespace has its content again, so while one is missing only namespaces are restored.
    """
    spaces = [key for key in snapshot.entries if key.kind == "namespace"]
    returning = [key for key in spaces if snapshot.entries[key].held and key not in live]
    keys = returning or list(snapshot.entries)
    changes = [change for key in keys for change in _back(key, snapshot.entries[key], live.get(key))]
    return list(_without_followers(changes, live))


def _back(key: Key, entry: Kept, now: Live | None) -> Iterator[Change]:
    kind, before = BY_NAME[key.kind], entry.held
    if before is None:
        # An object without a stamp was created by others meanwhile; a sysctl of a kernel module cannot be deleted.
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
    """The changes without those that another one includes: a deleted namespace or link, a table from its listing."""
    taken = Consequences([change for change in changes if change.action == "delete"], Standing(dict(live)))
    listed = (change for change in changes if BY_NAME[change.key.kind].listed and change.after is not None)
    whole = {change.key for change in listed if change.after.text}
    for change in changes:
        carrier = BY_NAME[change.key.kind].carrier
        if carrier is not None:
            back = carrier(change.before if change.after is None else change.after)
            moved = change.before is not None and carrier(change.before) not in whole  # to another topology's table
            if back in whole and not moved:
                continue
        elif change.action == "delete" and taken.absorbs(change):
            continue
        yield change


# ------------------------------------------------------------------------------------------------ as data


def to_plain(snapshot: Snapshot) -> dict[str, Any]:
    """The snapshot as data for json.dumps."""
    entries = []
    for key, entry in snapshot.entries.items():
        stored = entry.held and [codec.encode(entry.held.object), entry.held.owner, entry.held.whole]
        entries.append([*key, stored, entry.made and codec.encode(entry.made), entry.owner])
    return {"topologies": sorted(snapshot.topologies), "relaxed": sorted(snapshot.relaxed), "entries": entries}


def from_plain(data: Mapping[str, Any]) -> Snapshot:
    """The snapshot from the data that ``to_plain`` made.

    Raises ValueError, TypeError, KeyError or IndexError for other data.
    """
    entries = {}
    for kind, scope, name, stored, made, owner in data["entries"]:
        form = BY_NAME[kind].form
        before = stored and Live(codec.decode(form, stored[0]), stored[1], stored[2])
        entries[Key(kind, scope, name)] = Kept(before or None, made and codec.decode(form, made), owner)
    return Snapshot(frozenset(data["topologies"]), frozenset(data["relaxed"]), entries)
