"""Prints plans, problems and results as text."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from reconciler.cli import differences, failures, folding, proofs_folding
from reconciler.cli.shown import GLYPHS, losses, sides, value_text
from reconciler.kinds import BY_NAME
from reconciler.model.changes import Change
from reconciler.model.errors import Problem
from reconciler.planning.apply import Failed
from reconciler.planning.finding import Finding
from reconciler.planning.intent import Planned, Proof, Result

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from reconciler.run.trace import Trace
    from reconciler.run.verify import Proved

COLOURS = {"create": "green", "update": "yellow", "replace": "magenta", "delete": "red", "adopt": "cyan"}

_WARNING = "bold yellow"
_EMPTY: tuple[Any, ...] = (None, "", (), [])


def clean(text: object) -> str:
    """The text with unprintable characters escaped: a name from the kernel may have control characters."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def console(colour: str, stream: TextIO | None = None) -> Console:
    from rich.console import Console

    forced = {"always": True, "never": False}.get(colour)
    out = Console(
        file=stream or sys.stdout,
        force_terminal=forced,
        no_color=forced is False or None,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=True,
    )
    if forced:
        out.no_color = False
    return out


def print_plan(planned: Planned, colour: str, verbose: bool = False, reasons: bool = True) -> None:
    """Print each change with its attributes, in the order of execution, then losses, warnings and a summary.

    With ``verbose``, each change has its own line and its place in the file; else equal ones in a row share a line.
    ``reasons``: print why apply would refuse the plan.
    """
    if planned.in_sync and not planned.warnings:
        sys.stdout.write(summary(planned) + "\n")
        return
    from rich.text import Text

    out = console(colour)
    for run, line in (([change], "") for change in planned.changes) if verbose else folding.grouped(planned.changes):
        head = Text(f"{GLYPHS[run[0].action]} ", style=COLOURS[run[0].action])
        if line:
            out.print(_with_impact(head.append(clean(line), style="bold"), run[0], verbose))
            continue
        head.append(f"{run[0].action:8}").append(clean(run[0].key), style="bold")
        out.print(_with_impact(head, run[0], verbose))
        for line in _attribute_lines(run[0]):
            out.print(Text(f"    {clean(line)}"))
    for key, cause, restored in losses(planned):
        end = "is put back" if restored else "is gone then"
        out.print(Text(f"! {clean(key)} is not netrecon's: it goes with {clean(cause)} and {end}", style=_WARNING))
    for problem in planned.refusals if reasons else ():
        out.print(Text(f"! apply refuses this: {clean(problem)}", style=_WARNING))
    _print_each(out, planned.warnings)
    out.print(summary(planned, reasons))


def _with_impact(head: Text, change: Change, verbose: bool) -> Text:
    if change.impact != "none":
        impact = "in place" if change.impact == "in-place" else change.impact
        head.append(f"  {impact}", style="bold red" if change.impact == "disruptive" else "dim")
    if change.origin.file and (verbose or change.action in ("update", "replace")):
        head.append(f"  {clean(change.origin)}", style="dim")
    return head


def _attribute_lines(change: Change) -> Iterator[str]:
    before, after = sides(change)
    if change.action in ("create", "delete") and not BY_NAME[change.key.kind].brief:
        words = [
            f"{name}: {value_text(value)}" for name, value in (after or before or {}).items() if value not in _EMPTY
        ]
        yield from [", ".join(words)] if words else []
    elif change.action in ("update", "replace", "adopt"):
        yield from differences.lines(before or {}, after or {})


def summary(planned: Planned, reasons: bool = True) -> str:
    """One line: the number of changes by action, how many are disruptive, and whether apply would refuse them."""
    names = ", ".join(sorted(planned.intent.names))
    if planned.in_sync:
        return f"{names}: in sync, nothing to do."
    refused = "; apply refuses this" + ("" if reasons else ", -v says why") if planned.refusals else ""
    if not planned.changes:
        return f"{names}: no changes{refused}."
    counts = Counter(change.action for change in planned.changes)
    parts = [f"{counts[action]} to {action}" for action in GLYPHS if counts[action]]
    stops = sum(change.impact == "disruptive" for change in planned.changes)
    impact = f"; {stops} disruptive" if stops else "; none disruptive"
    return f"{names}: {', '.join(parts)}{impact}{refused}."


def print_result(result: Result, planned: Planned, colour: str, quiet: bool) -> None:
    """Print what was done; on stderr failures with the kernel's text and a hint, what was undone, and the ending."""
    names = ", ".join(sorted(planned.intent.names))
    if result.verified and not quiet:
        sys.stdout.write(f"{names}: {result.applied} changes applied and verified in {result.seconds:.2f} s.\n")
    if result.verified and not (result.failed or result.blocked or result.trouble or result.notes):
        return
    from rich.text import Text

    errors = console(colour, sys.stderr)
    for line in failures.failed_lines(result.failed):
        errors.print(Text(clean(line), style="red"))
    for line in failures.blocked_lines(result.blocked):
        errors.print(Text(clean(line), style="yellow"))
    for line in failures.remaining_lines([] if result.failed or result.trouble else result.remaining):
        errors.print(Text(clean(line), style="red"))
    for trouble in filter(None, [result.trouble, *result.notes]):
        errors.print(Text(clean(trouble), style="red"))
    if not result.verified:
        for line in _rollback_lines(result.undone, result.left):
            errors.print(Text(clean(line), style="yellow"))
        errors.print(f"{names}: {_ending(result)}")


def print_undone(undone: Sequence[Change], left: Sequence[Failed], colour: str, quiet: bool) -> None:
    """Print what netrecon rollback did: changes undone, and changes that failed to be undone."""
    from rich.text import Text

    for line in _rollback_lines(undone, left):
        if left or not quiet:
            console(colour, sys.stderr).print(Text(clean(line), style="yellow"))
    if not (left or quiet):
        console(colour).print("rolled back: the host is as it was.")


def _rollback_lines(undone: Sequence[Change], left: Sequence[Failed]) -> Iterator[str]:
    if undone:
        keys = [str(change.key) for change in undone]
        yield f"taken back: {', '.join(keys[:10])}" + (f" and {len(keys) - 10} more" if len(keys) > 10 else "")
    yield from (f"not taken back: {failed.change.action} {failed.change.key}: {failed.failure}" for failed in left)


def _ending(result: Result) -> str:
    if result.rolled_back:
        return "failed and rolled back: the host is as it was. Mend the cause and apply again."
    if result.undone or result.left:
        return "failed, and not all of it could be taken back; netrecon rollback tries again."
    counts = f"{result.applied} applied, {len(result.failed)} failed, {len(result.blocked)} blocked"
    return f"not whole: {counts}; what was applied stays. Mend the cause and apply again."


def print_findings(findings: Sequence[Finding], topologies: Sequence[str], colour: str) -> None:
    """Print a line for each finding, or one line if there are none."""

    out = console(colour)
    _print_each(out, findings)
    if not findings:
        names = ", ".join(map(clean, topologies)) or "The kernel holds no topology of netrecon's"
        out.print(f"{names}: nothing found that keeps packets from where they are sent.")


def _print_each(out: Console, findings: Sequence[Finding]) -> None:
    """A line for each finding, and below it the commands that remove it, each on a line to copy."""
    from rich.text import Text

    for finding in findings:
        out.print(Text(f"! {clean(finding)}", style=_WARNING))
        for command in finding.commands:
            out.print(Text(f"    {clean(command)}"), soft_wrap=True)


def print_trace(traced: Trace, colour: str, verbose: bool) -> None:
    """Print a line for each probe, with ``verbose`` also its steps; and what was not traced."""
    from rich.text import Text

    out = console(colour)
    for trail in traced.trails:
        style = "green" if trail.arrived else "red"
        out.print(Text(f"traced: {clean(trail.ask.words)}: {clean(trail.shows)}", style=style))
        for back, line, rule in trail.steps if verbose else ():
            by = f"{clean(rule)} (handle {line.handle})" if line.by_rule else line.what
            answer = "answer, " if back else ""
            place = f"{line.scope}: {line.family} {line.table} {line.chain}"
            out.print(Text(f"    {answer}{clean(place)}: {by}: {line.verdict}", style="dim"))
    for (scope, why), alike in itertools.groupby(sorted(traced.untraced), lambda one: (one.scope, one.why)):
        out.print(Text(clean(f"not traced in {scope}: {', '.join(one.what for one in alike)}: {why}")))


def print_proofs(proved: Proved, topologies: Sequence[str], colour: str) -> None:
    """Print a table of the expectations with the result of each, and what was not probed."""
    out = console(colour)
    if not out.is_terminal:
        out.width = 1000  # no line is broken for who reads it by a program
    if proved.proofs:
        out.print(_proofs_table(proved.proofs))
    for line in proofs_folding.unprobed_lines(proved.unprobed):
        out.print(clean(line))
    if not (proved.proofs or proved.unprobed):
        nothing = "no port is published, no namespace has a default route, and nothing is isolated or expected"
        out.print(f"{', '.join(map(clean, topologies))}: nothing to probe: {nothing}.")


def _proofs_table(proofs: Sequence[Proof]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    why = any(one.expectation.because for one in proofs)
    for name in ("from", "to", "expected", "found", *(["because of"] if why else []), ""):
        table.add_column(name, overflow="fold")
    for proof, to in proofs_folding.folded(proofs):
        wanted = proof.expectation
        place = f" at {wanted.origin}" if wanted.origin.file else ""
        words = [wanted.scope, to, "reached" if wanted.reach else "not reached", proof.shows]
        words += [f"{wanted.because or 'expect'}{place}"] if why else []
        told = "NOT SO" if why else f"NOT SO  {wanted.origin}"
        ending = Text("ok", style="green") if proof.holds else Text(told, style="red")
        table.add_row(*map(clean, words), ending)
    return table


@contextmanager
def progress(planned: Planned, colour: str, wanted: bool) -> Iterator[Callable[[int], None]]:
    """Show a bar on stderr, if it is a terminal, for a plan of 100 steps or more; yields the function to advance it."""
    steps = sum(len(stage) for stage in planned.plan.stages)
    if not wanted or steps < 100 or not sys.stderr.isatty():
        yield lambda _done: None
        return
    from rich.progress import Progress

    with Progress(console=console(colour, sys.stderr), transient=True) as bar:
        task = bar.add_task("applying", total=steps)
        yield lambda done: bar.update(task, completed=done)


def print_problems(problems: Sequence[Problem]) -> None:
    for problem in problems:
        sys.stderr.write(clean(problem) + "\n")


def note(text: str) -> None:
    """Print a line about the run, nothing for ""; errors of writing are ignored: the terminal may be gone."""
    if text:
        with contextlib.suppress(OSError):
            sys.stderr.write(f"netrecon: {text}\n")
            sys.stderr.flush()
