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
    """Changes with consecutive ports together with a text for them; every other change alone with "".

    They are sorted by port first: port maps do not depend on each other.
    """
    for run in _runs(sorted(changes, key=_place)):
        if len(run) < FEWEST:
            yield from (([change], "") for change in run)
        else:
            yield run, _text(run)


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
    steps = _steps(run[-1], change)
    if None in steps or (len(run) > 1 and steps != _steps(run[-2], run[-1])):
        return False
    first = run[-1]
    return (change.action, change.impact, change.key.scope) == (first.action, first.impact, first.key.scope)


def _steps(first: Change, second: Change) -> tuple[int | None, int | None]:
    return _step(first.before, second.before), _step(first.after, second.after)


def _step(first: Any, second: Any) -> int | None:
    """The step from one target port to the next: 0 or 1; -1 where both are missing; None where they cannot fold."""
    if first is None or second is None:
        return -1 if first is second else None
    if second.port != first.port + 1 or second.target != first.target:
        return None
    same = (first.protocol, first.listen) == (second.protocol, second.listen)
    step: int = second.target_port - first.target_port
    return step if same and not first.damage and not second.damage and step in (0, 1) else None


def _text(run: Run) -> str:
    """A text such as ``tcp 8000-8999 → 172.16.0.2``, with scope and listen where they are not the default."""
    first, last = (change.after or change.before for change in (run[0], run[-1]))
    words = [f"in {run[0].key.scope}"] if run[0].key.scope != HOST else []
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
