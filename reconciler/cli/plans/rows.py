"""Makes the rows of a printed plan: one for each entry, and below it one for each change of what is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from reconciler.cli import folding
from reconciler.cli.plans import changed, facts
from reconciler.cli.plans.entry import FOLDED
from reconciler.cli.plans.grouping import Group
from reconciler.cli.shown import GLYPHS, value_text
from reconciler.kinds import BY_NAME
from reconciler.model.changes import Action, Change
from reconciler.model.data import NamedTuple
from reconciler.model.keys import NO_ORIGIN, Key, Origin

BOUND = 200  # rows of a plan; of more, entries share rows


class Row(NamedTuple):
    """One line; ``changes`` are those that it tells, ``along`` the number of objects that go with them."""

    action: Action
    label: str
    text: str
    changes: Sequence[Change] = ()
    along: int = 0
    origin: Origin = NO_ORIGIN
    last: int = 0  # the last line of the file that it tells, where it tells several entries
    below: tuple[Row, ...] = ()

    @property
    def objects(self) -> int:
        return len(self.changes) + self.along


def of(group: Group, most: int = BOUND) -> list[Row]:
    """The rows of an entry: one with those of its changes below it, or one for each of ``most`` items of a list."""
    if group.entry.path and group.entry.path[0] in FOLDED:
        return list(_items(group, most))
    label = f"{group.entry.what} {group.name}".strip()
    if group.is_item and not group.name:  # what is made with the item, and not the item itself
        label = group.entry.section
    if group.new or group.gone:
        head, rest = _whole(group, label)
        return [head if not rest else _with(head, list(_parts(group, rest)))]
    parts = list(_parts(group, group.changes))
    if len(parts) == 1:
        (part,) = parts
        return [_merged(label, part)]
    return [Row("update", label, "", (), 0, group.origin, below=tuple(parts))]


def _whole(group: Group, label: str) -> tuple[Row, list[Change]]:
    """The row of an entry that comes or goes as a whole, and the changes that it does not tell."""
    action: Action = "create" if group.new else "delete"
    told = [change for change in group.changes if change.action == action and not changed.back(group, change)]
    rest = [change for change in group.changes if change.action != action or changed.back(group, change)]
    text = facts.line(group.entry, _objects(told, group.along))
    if text and group.is_item:
        label = group.entry.what
    text = text.removeprefix(f"{group.entry.section} {'' if group.is_item else group.name}").strip()
    return Row(action, label, text, told, len(group.along), group.origin), rest


def _with(head: Row, parts: list[Row]) -> Row:
    if not head.changes and len(parts) == 1:
        return parts[0]._replace(label=head.label)
    return Row(head.action, head.label, head.text, head.changes, head.along, head.origin, below=tuple(parts))


def _merged(label: str, part: Row) -> Row:
    """The one change of an entry that stays, on the entry's line."""
    if part.action in ("create", "delete"):
        part = part._replace(action="update", text=f"{GLYPHS[part.action]} {part.text}")
    return part._replace(label=label)


# ------------------------------------------------------------------------------------------------ changes of an entry


def _parts(group: Group, changes: Sequence[Change]) -> Iterator[Row]:
    """What is made anew, what goes, what comes, what gets an earlier value back, what changes."""
    settings = {change.key: text for change in changes if (text := changed.back(group, change))}
    coming = [change for change in changes if change.action == "create"]
    going = [change for change in changes if change.action == "delete" and change.key not in settings]
    exchanged = list(changed.exchanged(group, going, coming, changes))
    for together, _ in exchanged:
        changes = [change for change in changes if change not in together]
        coming = [change for change in coming if change not in together]
        going = [change for change in going if change not in together]
    for together, text in exchanged:
        yield Row("update", "", text, together, 0, together[1].origin)
    yield from _changed(group, [change for change in changes if change.action == "replace"])
    if going or group.along:
        yield _part(group, "delete", going, group.along)
    if coming:
        yield _part(group, "create", coming, ())
    for change in changes:
        if change.key in settings:
            yield Row("delete", "", settings[change.key], (change,))
    yield from _changed(group, [change for change in changes if change.action not in ("create", "delete", "replace")])


def _changed(group: Group, changes: Sequence[Change]) -> Iterator[Row]:
    for listed, text in changed.lines(group, changes):
        yield Row(listed[0].action, "", text, listed, 0, listed[0].origin)


def _part(group: Group, action: Action, changes: Sequence[Change], along: Sequence[tuple[Key, Any]]) -> Row:
    text = facts.line(group.entry, _objects(changes, along))
    text = text or facts.listed([changed.name_of(change.key) for change in changes], most=3)
    return Row(action, "", text, changes, len(along), changes[0].origin if changes else NO_ORIGIN)


def _objects(changes: Iterable[Change], along: Iterable[tuple[Key, Any]]) -> Iterator[facts.Told]:
    for change in changes:
        yield change.key, change.after if change.after is not None else change.before, change.origin
    yield from ((key, value, NO_ORIGIN) for key, value in along)


# ------------------------------------------------------------------------------------------------ items of a list


def _items(group: Group, most: int) -> Iterator[Row]:
    """The items of a list such as port_maps, those that follow each other on one line; then what changes with them.

    After ``most`` rows with one action only the number of the others.
    """
    if group.runs is None:
        group.runs = list(folding.grouped(change for change in group.changes if change.key.kind == _kind(group)))
    rest = [change for change in group.changes if change.key.kind != _kind(group)]
    with_first = [change for change in rest if change.action == "create"]
    for action in GLYPHS:
        runs = [one for one in group.runs if one[0][0].action == action]
        for run, text in runs[:most]:
            row = _run(group, run, text) if text else _item(group, run[0])
            if action == "create":
                row, with_first = row._replace(changes=[*run, *with_first]), []
            yield row
        if len(runs) > most:
            more = [change for run, _ in runs[most:] for change in run]
            yield Row(
                action, f"{len(more):,} more {group.entry.section}", "", more, 0, more[0].origin, more[-1].origin.line
            )
    for part in _parts(group, [*with_first, *(change for change in rest if change.action != "create")]):
        yield _merged(group.entry.section, part)


def _kind(group: Group) -> str:
    return FOLDED[str(group.entry.path[0])]


def _run(group: Group, run: Sequence[Change], text: str) -> Row:
    label = f"{len(run):,} {group.entry.section}"
    return Row(run[0].action, label, text, run, 0, run[0].origin, run[-1].origin.line)


def _item(group: Group, change: Change) -> Row:
    """One item: what it leads to, or what changes of that."""
    label = f"{group.entry.what} {change.key.name}"
    if change.action in ("create", "delete"):
        words = BY_NAME[change.key.kind].shown(change.after or change.before)
        return Row(change.action, label, f"→ {value_text(next(iter(words.values())))}", (change,), 0, change.origin)
    ((_, text),) = changed.lines(group, [change])
    return Row(
        change.action, label, text.removeprefix(changed.name_of(change.key)).strip(), (change,), 0, change.origin
    )
