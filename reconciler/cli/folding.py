"""Folds changes of one kind that follow each other in a plan into one line, where the kind can."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from reconciler.kinds import having
from reconciler.model.changes import Change

_FOLDED = having(lambda kind: kind.folded)


def grouped(changes: Iterable[Change]) -> Iterator[tuple[list[Change], str]]:
    """The changes in their order: ([change], "") for a single one, (changes, text) for several shown as one line."""
    for kind, block in itertools.groupby(changes, lambda change: change.key.kind):
        yield from _FOLDED.get(kind, _each)(block)


def _each(changes: Iterable[Change]) -> Iterator[tuple[list[Change], str]]:
    return (([change], "") for change in changes)
