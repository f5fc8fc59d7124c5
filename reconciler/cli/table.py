"""Prints tables: columns in line on a terminal; in a pipe a tab between the values, for cut, grep and awk."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from reconciler.cli.style import clean

NONE = "-"  # an empty value, so that the columns can be counted


def write(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print one table on stdout; a value may be a list."""
    lines = [[word.upper() for word in head], *([_cell(value) for value in row] for row in rows)]
    if not sys.stdout.isatty():
        sys.stdout.writelines("\t".join(line) + "\n" for line in lines)
        return
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        text = "  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True))
        sys.stdout.write(text.rstrip() + "\n")


def _cell(value: Any) -> str:
    if isinstance(value, list | tuple):
        value = ", ".join(map(str, value))
    return NONE if value is None or value == "" else clean(value)
