"""Prints the findings of the doctor, and what its probes showed."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from reconciler.cli import style
from reconciler.cli.style import Paint, clean
from reconciler.planning.finding import Finding

if TYPE_CHECKING:
    from reconciler.run.trace import Trace


def print_findings(findings: Sequence[Finding], topologies: Sequence[str], colour: str) -> None:
    """Print a line for each finding, or one line if there are none."""
    sys.stdout.writelines(f"{line}\n" for line in lines(findings, style.paint(colour)))
    if not findings:
        names = ", ".join(map(clean, topologies)) or "The kernel holds no topology of netrecon's"
        sys.stdout.write(f"{names}: nothing found that keeps packets from where they are sent.\n")


def lines(findings: Iterable[Finding], paint: Paint) -> Iterator[str]:
    """A line for each finding, and below it the commands that remove it, each on a line to copy."""
    for finding in findings:
        yield paint(f"! {clean(finding)}", "bold yellow")
        yield from (f"    {clean(command)}" for command in finding.commands)


def print_trace(traced: Trace, colour: str, verbose: bool) -> None:
    """Print a line for each probe, with ``verbose`` also its steps; and what was not traced."""
    sys.stdout.writelines(f"{line}\n" for line in _trace_lines(traced, style.paint(colour), verbose))


def _trace_lines(traced: Trace, paint: Paint, verbose: bool) -> Iterator[str]:
    for trail in traced.trails:
        yield paint(f"traced: {clean(trail.ask.words)}: {clean(trail.shows)}", "green" if trail.arrived else "red")
        for back, line, rule in trail.steps if verbose else ():
            by = f"{clean(rule)} (handle {line.handle})" if line.by_rule else line.what
            answer = "answer, " if back else ""
            place = f"{line.scope}: {line.family} {line.table} {line.chain}"
            yield paint(f"    {answer}{clean(place)}: {by}: {line.verdict}", "dim")
    for (scope, why), alike in itertools.groupby(sorted(traced.untraced), lambda one: (one.scope, one.why)):
        yield clean(f"not traced in {scope}: {', '.join(one.what for one in alike)}: {why}")
