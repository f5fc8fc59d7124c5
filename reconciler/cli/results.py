"""Prints what an apply or a rollback did, and how it ended."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from reconciler.cli import failures, style
from reconciler.cli.style import clean
from reconciler.model.changes import Change
from reconciler.planning.apply import Failed
from reconciler.planning.intent import Planned, Result


def print_result(result: Result, planned: Planned, colour: str, quiet: bool) -> None:
    """Print what was done; on stderr failures with the kernel's text and a hint, what was undone, and the ending."""
    names = ", ".join(sorted(planned.intent.names))
    if result.verified and not quiet:
        changes = "1 change" if result.applied == 1 else f"{result.applied} changes"
        sys.stdout.write(f"{names}: {changes} applied and verified in {result.seconds:.2f} s.\n")
    if result.verified and not (result.failed or result.blocked or result.trouble or result.notes):
        return
    paint = style.paint(colour, sys.stderr)
    for line, named in _what_failed(result):
        sys.stderr.write(paint(clean(line), named) + "\n")
    if not result.verified:
        sys.stderr.write(f"{names}: {_ending(result)}\n")


def _what_failed(result: Result) -> Iterator[tuple[str, str]]:
    """Each line with its colour."""
    yield from ((line, "red") for line in failures.failed_lines(result.failed))
    yield from ((line, "yellow") for line in failures.blocked_lines(result.blocked))
    remaining = [] if result.failed or result.trouble else result.remaining
    yield from ((line, "red") for line in failures.remaining_lines(remaining))
    yield from ((trouble, "red") for trouble in filter(None, [result.trouble, *result.notes]))
    if not result.verified:
        yield from ((line, "yellow") for line in _rollback_lines(result.undone, result.left))


def print_undone(undone: Sequence[Change], left: Sequence[Failed], colour: str, quiet: bool) -> None:
    """Print what netrecon rollback did: changes undone, and changes that failed to be undone."""
    paint = style.paint(colour, sys.stderr)
    if left or not quiet:
        sys.stderr.writelines(paint(clean(line), "yellow") + "\n" for line in _rollback_lines(undone, left))
    if not (left or quiet):
        sys.stdout.write("rolled back: the host is as it was.\n")


def _rollback_lines(undone: Sequence[Change], left: Sequence[Failed]) -> Iterator[str]:
    if undone:
        keys = [str(change.key) for change in undone]
        yield f"taken back: {', '.join(keys[:10])}" + (f" and {len(keys) - 10} more" if len(keys) > 10 else "")
    yield from (f"not taken back: {failed.change.action} {failed.change.key}: {failed.failure}" for failed in left)


def _ending(result: Result) -> str:
    if result.rolled_back:
        return "failed and rolled back: the host is as it was. Mend the cause and try again."
    if result.undone or result.left:
        return "failed, and not all of it could be taken back; netrecon rollback tries again."
    counts = f"{result.applied} applied, {len(result.failed)} failed, {len(result.blocked)} blocked"
    return f"not whole: {counts}; what was applied stays. Mend the cause and try again."
