"""Shortens the rows of a large plan: entries of one section share a row, with their number and the first few names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from reconciler.cli.plans import rows
from reconciler.cli.plans.entry import FOLDED
from reconciler.cli.plans.facts import listed
from reconciler.cli.plans.grouping import Group
from reconciler.cli.plans.rows import BOUND, Row
from reconciler.model.changes import Action, Change
from reconciler.model.keys import NO_ORIGIN

_APART = 10  # entries of one section that have rows of their own even then
_ALIKE = 3  # rows that say the same become one
_NAMES = 3


def shortened(groups: Sequence[Group]) -> list[Row]:
    """The rows of all groups; where they are more than BOUND, at most a few for each section."""
    if len(groups) <= BOUND:
        listed_rows = alike([(group, row) for group in groups for row in rows.of(group)])
        if sum(1 + len(row.below) for row in listed_rows) <= BOUND:
            return listed_rows
    return list(_by_section(groups))


def alike(pairs: Iterable[tuple[Group, Row]]) -> list[Row]:
    """The rows; those of one section that say the same of several entries are one."""
    found: dict[tuple[object, ...], list[tuple[Group, Row]]] = {}
    for number, (group, row) in enumerate(pairs):
        foldable = row.text and not row.below and group.entry.path[0] not in FOLDED
        same = (group.entry.path[0], row.action, row.text, _impact(row)) if foldable else number
        found.setdefault((group.entry.owner, same), []).append((group, row))
    return [row for members in found.values() for row in _told(members)]


def _told(members: Sequence[tuple[Group, Row]]) -> list[Row]:
    return [row for _, row in members] if len(members) < _ALIKE else [_together(members)]


def _impact(row: Row) -> tuple[str, ...]:
    return tuple(sorted({change.impact for change in row.changes}))


def _together(members: Sequence[tuple[Group, Row]]) -> Row:
    first, last = members[0], members[-1]
    changes = [change for _, row in members for change in row.changes]
    names = listed([group.name for group, _ in members], most=_NAMES)
    label = f"{len(members):,} {first[0].entry.section} {names}"
    along = sum(row.along for _, row in members)
    return Row(first[1].action, label, first[1].text, changes, along, first[1].origin, last[1].origin.line)


def _by_section(groups: Iterable[Group]) -> Iterator[Row]:
    classes: dict[tuple[object, ...], list[Group]] = {}
    for group in groups:
        way = "create" if group.new else "delete" if group.gone else group.impact
        classes.setdefault((group.entry.owner, group.entry.path[0], way), []).append(group)
    for members in classes.values():
        if len(members) == 1:
            yield from rows.of(members[0], _APART)
        elif len(members) > _APART and (members[0].new or members[0].gone):
            yield _counted(members)
        else:
            yield from _few(members)


def _counted(members: Sequence[Group]) -> Row:
    """The number of entries that come or go, and the names of the first."""
    first, last = members[0], members[-1]
    changes: list[Change] = [change for group in members for change in group.changes]
    action: Action = "create" if first.new else "delete"
    label = f"{len(members):,} {first.entry.section}"
    names = listed([group.name for group in members[: _NAMES + 1]], most=_NAMES).partition(" and ")[0]
    more = f" and {len(members) - _NAMES:,} more"
    along = sum(len(group.along) for group in members)
    return Row(action, label, names + more, changes, along, first.origin, last.origin.line)


def _few(members: Sequence[Group]) -> Iterator[Row]:
    """The rows of a few entries, or the first of many and how many more there are."""
    listed_rows = alike([(group, row) for group in members for row in rows.of(group)])
    by_action: dict[Action, list[Row]] = {}
    for row in listed_rows:
        by_action.setdefault(row.action, []).append(row)
    for action, few in by_action.items():
        yield from few[: _APART if len(few) > _APART else None]
        if len(few) > _APART:
            rest = few[_APART:]
            changes = [change for row in rest for part in (row, *row.below) for change in part.changes]
            label = f"{len(rest):,} more {members[0].entry.section}"
            yield Row(action, label, "", changes, sum(row.along for row in rest), NO_ORIGIN)
