"""Sorts the changes of a plan by the entries of the files that they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.cli.plans.entry import Entry, Identity, entry_at
from reconciler.cli.plans.homes import Homes
from reconciler.kinds import BY_NAME, KINDS, having
from reconciler.kinds.grounds import Place
from reconciler.model.changes import Change
from reconciler.model.keys import NO_ORIGIN, Key, Origin
from reconciler.planning.intent import Planned

_PORTS, _CARRIERS = having(lambda kind: kind.ports), having(lambda kind: kind.carrier)
_TABLES = frozenset(kind.name for kind in KINDS if kind.transaction and kind.carrier is None)


class Group:
    """The changes of one entry; ``along`` are the live objects that go without a request, because of its deletions."""

    __slots__ = ("along", "changes", "entry", "new", "runs")

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.changes: list[Change] = []
        self.along: list[tuple[Key, Any]] = []
        self.new = False  # nothing of it is there
        self.runs: list[tuple[list[Change], str]] | None = None  # of a list: its items folded

    @property
    def name(self) -> str:
        """The name that the user gave it; of an item of a list the object's."""
        path = self.entry.path
        if len(path) < 2 or isinstance(path[1], str):
            return str(path[1]) if len(path) > 1 else ""
        keys = (change.key for change in self.changes)
        return next((key.name for key in keys if path[0] in BY_NAME[key.kind].sections), "")

    @property
    def is_item(self) -> bool:
        """Whether it is an item of a list, without a name of its own."""
        return isinstance(self.entry.path[-1], int)

    @property
    def gone(self) -> bool:
        """Whether it is in no file any more, and all of it is deleted."""
        return not self.entry.file and all(change.action == "delete" for change in self.changes)

    @property
    def origin(self) -> Origin:
        """Its first line among those of its changes."""
        places = [change.origin for change in self.changes if change.origin.file]
        return min(places, key=lambda origin: origin.line, default=NO_ORIGIN)

    @property
    def impact(self) -> str:
        found = {change.impact for change in self.changes}
        return next((one for one in ("disruptive", "in-place") if one in found), "none")


def grouped(planned: Planned) -> list[Group]:
    """The groups in the order of the files, then what is in no file any more."""
    homes = Homes(planned)
    groups: dict[Identity, Group] = {}
    for change in planned.changes:
        entry = entry_at(change.origin, change.owner) if change.origin.file else homes.of(change)
        group = groups.get(entry)
        if group is None:
            group = groups[entry] = Group(Entry(*entry))
        group.changes.append(change)
    _follow_their_bridges(groups)
    _join_tables(groups)
    _mark_new(groups, planned)
    _add_along(groups, planned)
    return sorted(groups.values(), key=_place)


def _join_tables(groups: dict[Identity, Group]) -> None:
    """A table that goes is told with the first of its elements: nobody wrote it."""
    for entry, group in list(groups.items()):
        if not group.entry.file and group.changes[0].key.kind in _TABLES:
            table = group.changes[0].key
            own = (other for other in groups.values() if other.entry.owner == group.entry.owner)
            first = next((other for other in own if _is_in(other, table)), None)
            if first is not None:
                first.changes += group.changes
                del groups[entry]


def _is_in(group: Group, table: Key) -> bool:
    return any(
        _CARRIERS[change.key.kind](change.before or change.after) == table
        for change in group.changes
        if change.key.kind in _CARRIERS
    )


def _place(group: Group) -> tuple[bool, str, int, str, str]:
    origin = group.origin
    gone = () if origin.file else (group.entry.section, group.name)
    return not origin.file, origin.file, origin.line, *(gone or ("", ""))


def _mark_new(groups: Mapping[Identity, Group], planned: Planned) -> None:
    """An entry is new where each of its objects that a line can tell is created, or its namespace."""
    changed = {change.key for change in planned.changes}
    there: set[Identity] = set()
    if len(changed) < len(planned.intent.desired) + len(planned.live):
        for key, wanted in planned.intent.desired.items():
            if key not in changed and wanted.origin.file and _is_told(key):
                there.add(entry_at(wanted.origin, wanted.owner))
    for entry, group in groups.items():
        rest = [one for one in group.changes if one.action != "create" and _is_told(one.key)]
        coming = [one for one in group.changes if one.action == "create"]
        home = any(one.key.kind == "namespace" and one.key.name == group.entry.home for one in coming)
        group.new = home or (entry not in there and not rest and bool(coming))


def _is_told(key: Key) -> bool:
    kind = BY_NAME[key.kind]
    return kind.told is not None and not kind.shareable


def _add_along(groups: Mapping[Identity, Group], planned: Planned) -> None:
    """What the kernel deletes with something of ours, and is ours too."""
    taken = planned.plan.measures.taken
    if taken is None or not taken.losses:
        return
    by_key = {change.key: group for group in groups.values() for change in group.changes}
    for key, loss in taken.losses.items():
        if key not in by_key and loss.live.owner in planned.intent.names:
            cause = loss.cause
            while cause not in by_key and cause in taken.losses:  # a route goes with its address, that with its link
                cause = taken.losses[cause].cause
            if cause in by_key:
                by_key[cause].along.append((key, loss.live.object))


# ------------------------------------------------------------------------------------------------ ports


def _follow_their_bridges(groups: dict[Identity, Group]) -> None:
    """The ports whose change is that of their bridge are told with the bridge: an MTU of a network."""
    bridges = {
        place: (group, differences)
        for group in groups.values()
        for change in group.changes
        if change.action == "update" and change.key.kind not in _PORTS and (differences := plain(change))
        for place in BY_NAME[change.key.kind].links(change.after)
    }
    for group in list(groups.values()) if bridges else ():
        for change in list(group.changes):
            if change.action == "update" and change.key.kind in _PORTS:
                _follow(change, group, bridges)
        if not group.changes:
            del groups[group.entry]


def _follow(change: Change, group: Group, bridges: Mapping[Place, tuple[Group, Mapping[str, Any]]]) -> None:
    for (scope, _name), bridge in _PORTS[change.key.kind](change.after):
        target, differences = bridges.get((scope, bridge), (group, {}))
        if target is not group and plain(change) == differences:
            group.changes.remove(change)
            target.changes.append(change)
            return


def plain(change: Change) -> dict[str, tuple[Any, Any]]:
    """Attribute -> (old, new) of what an update changes; of a pair both of whose ends change alike, once."""
    shown = BY_NAME[change.key.kind].shown
    before, after = shown(change.before), shown(change.after)
    pairs = {word: (before.get(word), after.get(word)) for word in change.differs}
    return {word: pair for word, pair in pairs.items() if not (word[:5] == "peer." and pairs.get(word[5:]) == pair)}
