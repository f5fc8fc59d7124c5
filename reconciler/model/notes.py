"""Notes for the user that are told once, at the end of a command: a file of netrecon's own that counts as lost."""

from __future__ import annotations

_listed: dict[str, None] = {}


def note(text: str) -> None:
    """Tell the text at the end; equal ones count once."""
    _listed[text] = None


def taken() -> list[str]:
    """The notes so far, in their order; they are told only once."""
    texts = list(_listed)
    _listed.clear()
    return texts
