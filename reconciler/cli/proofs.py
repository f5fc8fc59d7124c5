"""Prints the expectations of verify with their results, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from reconciler.cli import proofs_folding
from reconciler.cli.consoles import console
from reconciler.cli.style import clean
from reconciler.planning.intent import Proof

if TYPE_CHECKING:
    from rich.table import Table

    from reconciler.run.verify import Proved


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
