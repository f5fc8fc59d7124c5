"""Folds changes of port maps with consecutive ports into one line of output."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from reconciler.kinds.nat.port_map_syntax import ANY
from reconciler.model.changes import Change
from reconciler.model.keys import HOST

FEWEST = 5  # changes in a row; fewer have a line each

Run = list[Change]


def folded(changes: Iterable[Change]) -> Iterator[tuple[Run, str]]:
    """Changes with consecutive ports together with one line for them; every other change alone with "".

    They are sorted by port first: port maps do not depend on each other.
    """
    for run in _runs(sorted(changes, key=_place)):
        if len(run) < FEWEST:
            yield from (([change], "") for change in run)
        else:
            yield run, _line(run)


def _place(change: Change) -> tuple[str, str, str, str, int]:
    mapped = change.after or change.before
    return change.action, mapped.scope, mapped.protocol, mapped.listen, mapped.port


def _runs(changes: Iterable[Change]) -> Iterator[Run]:
    run: Run = []
    for change in changes:
        if run and not _follows(run, change):
            yield run
            run = []
        run.append(change)
    if run:
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


def _step(first: Any, second: Any) -> int | None:
    """The step from one target port to the next: 0 or 1; -1 where both are missing; None where they cannot fold."""
    if first is None or second is None:
        return -1 if first is second else None
    same = (first.protocol, first.listen, first.target) == (second.protocol, second.listen, second.target)
    step: int = second.target_port - first.target_port
    whole = not first.damage and not second.damage
    return step if same and whole and second.port == first.port + 1 and step in (0, 1) else None


def _line(run: Run) -> str:
    """A line such as ``1,000 port maps tcp 8000-8999 → 172.16.0.2``, with scope and listen where not the default."""
    first, last = (change.after or change.before for change in (run[0], run[-1]))
    words = [f"{len(run):,} port maps"]
    if run[0].key.scope != HOST:
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
