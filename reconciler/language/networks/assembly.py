"""Adds generated parts to a copy of a document's level one, and records the source of each part."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from reconciler.language.networks.lowered import LEVEL_TWO
from reconciler.language.networks.model import Part
from reconciler.language.schema import Document
from reconciler.model.errors import Problem
from reconciler.model.keys import Origin
from reconciler.model.quoting import Path, dotted


class Assembly:
    """A document that is being assembled: ``data`` is the result, ``sources`` maps its paths to those in the file.

    A container of the original document is copied before it is changed.
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        self._own: set[int] = set()
        self.data = {word: value for word, value in document.data.items() if word not in LEVEL_TWO}
        self.sources: dict[Path, Path] = {}
        self.problems: list[Problem] = []

    def take(self, parts: Iterable[Part]) -> None:
        for part in parts:
            self._put(part)

    def _put(self, part: Part) -> None:
        *above, last = part.path
        node: Any = self.data
        for depth, step in enumerate(above):
            node = self._owned(node, step, {})
            self.sources.setdefault(part.path[: depth + 1], part.source) if depth else None
        if part.item:
            items = self._owned(node, last, [])
            path = (*part.path, len(items))
            items.append(part.value)
        else:
            path = part.path
            self._set(node, last, part)
        self.sources.setdefault(path, part.source)
        for inner, source in part.inner.items():
            self.sources[(*path, *inner)] = source

    def _owned(self, node: Any, step: str | int, empty: Any) -> Any:
        """The container at ``step``, copied once so that it may be changed."""
        inner = node.get(step)
        if id(inner) not in self._own:
            inner = node[step] = empty if inner is None else inner.copy()
            self._own.add(id(inner))
        return inner

    def _set(self, node: Any, last: str | int, part: Part) -> None:
        there = node.get(last)
        if there is None:
            node[last] = part.value
        elif part.path[-1] == "hosts" or part.path[:-1] == ("namespaces",):
            node[last] = {**part.value, **there}  # what the file has at level one wins
        elif part.path[0] == "interfaces":  # only a reference to the link
            return
        elif there != part.value:
            place = self._first(part.path)
            text = f"{dotted(part.path)} is given at {place} too, as something else; leave one of them out"
            self.problems.append(Problem(self._document.place(part.source), text))

    def _first(self, path: Path) -> Origin:
        return self._document.place(self.sources.get(path, path))
