"""Blocks in the host's own files that have no effect where they stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from reconciler.kinds import BY_NAME, having
from reconciler.planning.finding import Finding, Objects

_IDLE = having(lambda kind: kind.idle)


def idle(objects: Objects, text_of: Callable[[str], str | None], applied: bool) -> Iterator[Finding]:
    """Blocks that have no effect where they stand; ``text_of`` reads one of the host's own files by its name.

    Without ``applied``, blocks that are not yet there count as written: apply refuses them.
    """
    for key, value in objects.items():
        kind = BY_NAME[key.kind] if key.kind in _IDLE else None
        name = kind.edits(value) if kind is not None and kind.edits is not None else ""
        if name:
            message, hint = _IDLE[key.kind](value, text_of(name) or "", not applied)
            if message:
                yield Finding(key.scope, "resolver", key, message, hint)
