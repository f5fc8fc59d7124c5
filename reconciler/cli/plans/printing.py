"""Prints a plan: its topologies one after the other, what others lose, why apply refuses it, warnings, a summary."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from reconciler.cli import differences, findings, style
from reconciler.cli.plans import disrupted, grouping, pager, rows, summary
from reconciler.cli.plans.rows import Row
from reconciler.cli.shown import GLYPHS, losses, sides, value_text
from reconciler.cli.style import Paint, clean
from reconciler.kinds import BY_NAME
from reconciler.model.changes import KERNEL, NOBODY, UNKNOWN, Change
from reconciler.model.keys import NO_ORIGIN, Key, Origin
from reconciler.planning.intent import Planned

COLOURS = {"create": "green", "update": "yellow", "replace": "magenta", "delete": "red", "adopt": "cyan"}
_WARNING = "bold yellow"
_EMPTY: tuple[object, ...] = (None, "", (), [])
_LABEL, _TEXT = 34, 84  # the widest columns; what is longer only moves its own line


def text(planned: Planned, paint: Paint, verbose: bool = False) -> str:
    """All lines.  With ``verbose`` each object has its own, with all attributes and its place in the file."""
    return "\n".join(lines(planned, paint, verbose)) + "\n"


def lines(planned: Planned, paint: Paint, verbose: bool) -> Iterator[str]:
    owners = sorted(planned.intent.names | {change.owner for change in planned.changes})
    groups = grouping.grouped(planned)
    for owner in owners:
        own = [group for group in groups if group.entry.owner == owner]
        yield from _block(own, paint, verbose)
        if len(owners) > 1 and own:
            yield counted(owner, [change for group in own for change in group.changes]) + "\n"
    for key, cause, restored in losses(planned):
        end = "is put back" if restored else "is gone then"
        yield paint(f"! {clean(key)} {_whose(planned, key)}: it goes with {clean(cause)} and {end}", _WARNING)
    for problem in planned.refusals:
        yield paint(f"! apply refuses this: {clean(problem)}", _WARNING)
    yield from findings.lines(planned.warnings, paint)
    yield conclusion(planned)


def _whose(planned: Planned, key: Key) -> str:
    owner = planned.live[key].owner if key in planned.live else NOBODY
    return "is not netrecon's" if owner in (NOBODY, KERNEL, UNKNOWN) else f"belongs to topology {owner}"


# ------------------------------------------------------------------------------------------------ rows


def _block(groups: Sequence[grouping.Group], paint: Paint, verbose: bool) -> Iterator[str]:
    if verbose:
        for group in groups:
            yield from _laid_out(rows.of(group), paint)
            yield from (line for change in group.changes for line in _object(change, paint))
            yield from (f"    {paint('-', COLOURS['delete'])} {clean(key)}  goes along" for key, _ in group.along)
        return
    yield from _laid_out(summary.shortened(groups), paint)


def _laid_out(listed_rows: Sequence[Row], paint: Paint) -> Iterator[str]:
    cells = [(row, indent, indent + clean(row.label), clean(row.text)) for row, indent in _flat(listed_rows)]
    wide = max((len(label) for _, indent, label, _ in cells if not indent and len(label) <= _LABEL), default=0)
    far = max((len(text) for *_, text in cells if len(text) <= _TEXT), default=0)
    above = NO_ORIGIN
    for row, indent, label, text in cells:
        tail = "  ".join(filter(None, _tail(row, paint, above if indent else NO_ORIGIN)))
        above = above if indent else row.origin
        glyph = paint(GLYPHS[row.action], COLOURS[row.action])
        if indent:
            yield f"{indent}{glyph} {text}  {tail}".rstrip()
        else:
            yield f"{glyph} {paint(label, 'bold')}{' ' * (wide - len(label))}  {text:{far}}  {tail}".rstrip()


def _flat(listed_rows: Iterable[Row]) -> Iterator[tuple[Row, str]]:
    for row in listed_rows:
        yield row, ""
        yield from ((part, "    ") for part in row.below)


def _tail(row: Row, paint: Paint, above: Origin) -> Iterator[str]:
    if row.objects > 1:
        yield paint(f"{row.objects:,} objects", "dim")
    yield _impact(row.changes, paint)
    if row.origin.file and row.origin[:2] != above[:2]:
        last = f"-{row.last}" if row.last > row.origin.line else ""
        yield paint(clean(f"{row.origin}{last}"), "dim")


def _impact(changes: Sequence[Change], paint: Paint) -> str:
    """The worst impact of the changes, and what is disrupted."""
    found = {change.impact for change in changes}
    if "disruptive" in found:
        what = clean(disrupted.told(change.disrupts for change in changes))
        return paint(f"disruptive: {what}" if what else "disruptive", "bold red")
    return paint("in place", "dim") if "in-place" in found else ""


def _object(change: Change, paint: Paint) -> Iterator[str]:
    """One object with its attributes, below its entry."""
    glyph = paint(GLYPHS[change.action], COLOURS[change.action])
    tail = [_impact([change], paint), paint(clean(change.origin), "dim") if change.origin.file else ""]
    yield "  ".join(filter(None, [f"    {glyph} {change.action:8}{clean(change.key)}", *tail]))
    yield from (f"        {clean(line)}" for line in _attributes(change))


def _attributes(change: Change) -> Iterator[str]:
    before, after = sides(change)
    if change.action in ("create", "delete") and not BY_NAME[change.key.kind].brief:
        words = [
            f"{name}: {value_text(value)}" for name, value in (after or before or {}).items() if value not in _EMPTY
        ]
        yield from [", ".join(words)] if words else []
    elif change.action in ("update", "replace", "adopt"):
        yield from differences.lines(before or {}, after or {})


# ------------------------------------------------------------------------------------------------ summary


def conclusion(planned: Planned) -> str:
    """One line: the number of changes by action, how many are disruptive, and whether apply would refuse them."""
    names = ", ".join(sorted(planned.intent.names))
    if planned.in_sync:
        return f"{names}: in sync, nothing to do."
    refused = "; apply refuses this" if planned.refusals else ""
    return counted(names, planned.changes, refused)


def counted(names: str, changes: Sequence[Change], ending: str = "") -> str:
    if not changes:
        return f"{names}: no changes{ending}."
    counts = Counter(change.action for change in changes)
    parts = [f"{counts[action]} to {action}" for action in GLYPHS if counts[action]]
    stops = sum(change.impact == "disruptive" for change in changes)
    return f"{names}: {', '.join(parts)}; {stops or 'none'} disruptive{ending}."


def print_plan(planned: Planned, colour: str, verbose: bool = False) -> None:
    """Print a plan to stdout."""
    sys.stdout.write(text(planned, style.paint(colour), verbose))


def show(planned: Planned, colour: str, verbose: bool) -> None:
    """Print a plan to stdout; where that is a terminal and too small for it, by a pager."""
    written = text(planned, style.paint(colour), verbose)
    if not (sys.stdout.isatty() and pager.shown(written)):
        sys.stdout.write(written)
