"""Shows a long text on a terminal by a pager: $PAGER, or less."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

_PAGER = "less"
_LESS = "FRX"  # of less: it ends by itself where all fits, keeps the colours, and leaves the text on the terminal


def shown(text: str) -> bool:
    """Whether a pager showed it; False where it fits on the terminal, or there is no pager.

    An empty $PAGER means none.  The text is written to the pager, whose user may end it early.
    """
    if text.count("\n") < _height():
        return False
    import subprocess

    try:
        words = shlex.split(os.environ.get("PAGER", _PAGER))
        told = {"LESS": _LESS, **os.environ}
        pager = subprocess.Popen(words, stdin=subprocess.PIPE, text=True, env=told) if words else None
    except (OSError, ValueError):
        return False
    if pager is not None:
        _written(pager, text)
    return pager is not None


def _written(pager: subprocess.Popen[str], text: str) -> None:
    try:
        pager.communicate(text)
    except KeyboardInterrupt:  # it is for the pager
        pager.wait()


def _height() -> int:
    try:
        return os.get_terminal_size(1).lines
    except OSError:
        return 24
