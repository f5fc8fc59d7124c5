"""Changes in the order of a plan, those in a row folded into one line where their kind can tell them so."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from reconciler.kinds import having
from reconciler.model.changes import Change

_FOLDED = having(lambda kind: kind.folded)


def grouped(changes: Iterable[Change]) -> Iterator[tuple[list[Change], str]]:
    """The changes in their order, each by itself or several with the line that tells them."""
    for kind, block in itertools.groupby(changes, lambda change: change.key.kind):
        yield from _FOLDED.get(kind, _each)(block)


def _each(changes: Iterable[Change]) -> Iterator[tuple[list[Change], str]]:
    return (([change], "") for change in changes)
