"""Colours of a terminal, and the escaping of what it must not get."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TextIO

CODES = {
    "bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "magenta": "35", "cyan": "36",
    "bold red": "1;31", "bold yellow": "1;33",
}  # fmt: skip

Paint = Callable[[str, str], str]  # (text, one of CODES) -> the text in that colour


def clean(text: object) -> str:
    """The text with unprintable characters escaped: a name from the kernel may have control characters."""
    text = str(text)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def paint(colour: str, stream: TextIO | None = None) -> Paint:
    """How text is coloured on a stream: as --color says; for "auto" on a terminal, if NO_COLOR is not set."""
    return _coloured if is_coloured(colour, stream or sys.stdout) else _plain


def is_coloured(colour: str, stream: TextIO) -> bool:
    if colour != "auto":
        return colour == "always"
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") not in ("dumb", "unknown") and stream.isatty()


def _coloured(text: str, style: str) -> str:
    return f"\x1b[{CODES[style]}m{text}\x1b[0m"


def _plain(text: str, _style: str) -> str:
    return text
