"""The lines of problems: of equal mistakes the first fifty, and how many more there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from reconciler.language.schema import SAME
from reconciler.model.errors import Problem
from reconciler.model.patterns import pattern

TOLD = 50  # of a kind
_VARYING = pattern(rf'{SAME} \d+: |"(?:[^"\\]|\\.)*"|[0-9a-fA-F.:/]*\d[0-9a-fA-F.:/]*')  # lines, values, addresses


def lines(problems: Iterable[Problem]) -> Iterator[str]:
    """A line for each problem.  Problems of a file are of one kind where their messages differ in values only."""
    kinds: dict[tuple[str, str], list[Problem]] = {}
    for problem in problems:
        alike = kinds.setdefault((problem.origin.file, _VARYING.sub("", problem.message)), [])
        alike.append(problem)
        if len(alike) <= TOLD:
            yield str(problem)
    for (file, _), alike in kinds.items():
        if len(alike) > TOLD:
            where = f"the last at line {alike[-1].origin.line}; " if file else ""
            yield f"{file or 'netrecon'}: {len(alike) - TOLD:,} more, {where}--json lists all: {alike[0].message}"
