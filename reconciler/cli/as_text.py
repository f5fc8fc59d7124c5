"""Prints problems, and notes about a run, on stderr."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence

from reconciler.cli import problem_lines
from reconciler.cli.style import clean
from reconciler.model.errors import Problem


def print_problems(problems: Sequence[Problem]) -> None:
    for line in problem_lines.lines(problems):
        sys.stderr.write(clean(line) + "\n")


def note(text: str) -> None:
    """Print a line about the run, nothing for ""; errors of writing are ignored: the terminal may be gone."""
    if text:
        with contextlib.suppress(OSError):
            sys.stderr.write(f"netrecon: {text}\n")
            sys.stderr.flush()
