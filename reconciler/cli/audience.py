"""Prints the plan, progress and result of a run that changes the kernel."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager

from reconciler.cli import as_json, as_text, consoles, results
from reconciler.cli.plans import printing
from reconciler.cli.style import clean
from reconciler.planning.doctor import shut
from reconciler.planning.intent import Planned, Result


class Audience:
    """Implements session.Audience: prints as --json, --quiet, --verbose and --color say."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._loud = not (options.json or options.quiet)

    def note(self, text: str) -> None:
        as_text.note(text)

    def planned(self, planned: Planned) -> None:
        if self._loud and planned.changes:
            printing.print_plan(planned, self._options.color, self._options.verbose)

    def progress(self, planned: Planned) -> AbstractContextManager[Callable[[int], None]]:
        return consoles.progress(planned, self._options.color, self._loud)

    def ended(self, planned: Planned, result: Result) -> None:
        options = self._options
        if options.json:
            as_json.write(as_json.plan(options.command, planned, result))
        elif planned.changes:
            results.print_result(result, planned, options.color, options.quiet)
        elif not options.quiet:
            printing.print_plan(planned, options.color)
        if options.quiet and not options.json and options.command == "apply" and result.verified:
            as_text.note(shut.sentence(planned.warnings))


class Renaming(Audience):
    """As Audience, for a rename: all its changes are alike, so that --verbose has the keys, and no plan is printed."""

    def planned(self, planned: Planned) -> None:
        if self._loud and self._options.verbose:
            sys.stdout.writelines(f"= {clean(change.key)}\n" for change in planned.changes)

    def ended(self, planned: Planned, result: Result) -> None:
        options = self._options
        if options.json or not result.verified:
            super().ended(planned, result)
        elif not options.quiet:
            objects = f"{result.applied} object{'' if result.applied == 1 else 's'}"
            sys.stdout.write(f"{options.old} is {options.new} now: {objects}, verified in {result.seconds:.2f} s. ")
            sys.stdout.write(f"Write name: {options.new} in its file.\n")
