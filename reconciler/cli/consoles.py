"""The consoles of rich: for tables and the progress bar."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from reconciler.planning.intent import Planned

if TYPE_CHECKING:
    from rich.console import Console


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
