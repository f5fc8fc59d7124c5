"""Port maps in a row, which people read as one line."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from reconciler.kinds.nat.port_map_syntax import ANY
from reconciler.model.changes import Change

FEWEST = 5  # what is shorter is told one by one

Run = list[Change]


def grouped(changes: Iterable[Change]) -> Iterator[Run]:
    """The changes in their order; port maps whose ports follow each other come as one run, all else alone.

    Port maps that stand together are sorted by port first: none of them waits for another.
    """
    for maps, block in itertools.groupby(changes, lambda change: change.key.kind == "port_map"):
        together = list(block)
        yield from _runs(sorted(together, key=_place)) if maps else ([change] for change in together)


def _place(change: Change) -> tuple[str, str, str, str, int]:
    mapped = change.after or change.before
    return change.action, mapped.scope, mapped.protocol, mapped.listen, mapped.port


def _runs(changes: Iterable[Change]) -> Iterator[Run]:
    run: Run = []
    for change in changes:
        if run and not _follows(run, change):
            yield from _told(run)
            run = []
        run.append(change)
    yield from _told(run)


def _told(run: Run) -> Iterator[Run]:
    if len(run) < FEWEST:
        yield from ([change] for change in run)
    else:
        yield run


def _follows(run: Run, change: Change) -> bool:
    before = run[-1]
    if (change.action, change.impact, change.key.scope) != (before.action, before.impact, before.key.scope):
        return False
    steps = [_step(_sides(before)[at], _sides(change)[at]) for at in (0, 1)]
    if len(run) > 1:
        return steps == [_step(_sides(run[-2])[at], _sides(before)[at]) for at in (0, 1)] and None not in steps
    return None not in steps


def _sides(change: Change) -> tuple[Any, Any]:
    return change.before, change.after


def _step(one: Any, other: Any) -> int | None:
    """How far the target port moves to the next, 0 or 1; -1 where this side is missing; None: no neighbours."""
    if one is None or other is None:
        return -1 if one is other else None
    same = (one.protocol, one.listen, one.target) == (other.protocol, other.listen, other.target)
    step: int = other.target_port - one.target_port
    whole = not one.damage and not other.damage
    return step if same and whole and other.port == one.port + 1 and step in (0, 1) else None


def told(run: Run) -> str:
    """``1,000 port maps tcp 8000-8999 → 172.16.0.2``, with what is not the usual."""
    first, last = (change.after or change.before for change in (run[0], run[-1]))
    words = [f"{len(run):,} port maps"]
    if run[0].key.scope != "host":
        words.append(f"in {run[0].key.scope}")
    listen = "" if first.listen in ANY.values() else f"{_host(first.listen)}:"
    words += [first.protocol, f"{listen}{first.port}-{last.port}", "→", _targets(first, last)]
    if run[0].action == "update":
        words.append(f"(was {_targets(run[0].before, run[-1].before)})")
    return " ".join(words)


def _targets(first: Any, last: Any) -> str:
    if (first.port, last.port) == (first.target_port, last.target_port):
        return _host(first.target)
    ports = f"{first.target_port}-{last.target_port}" if first.target_port != last.target_port else first.target_port
    return f"{_host(first.target)}:{ports}"


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address
