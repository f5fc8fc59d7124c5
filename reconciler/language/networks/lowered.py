"""What lowering makes: a document of level one that knows where everything in it was written.

It stands apart from the lowering, which a file without networks and sandboxes never imports: that would take a fifth of
the check of a small topology.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from reconciler.language.schema import Document
from reconciler.model.data import dataclass
from reconciler.model.errors import Problem
from reconciler.model.keys import Origin
from reconciler.model.quoting import Path

LEVEL_TWO = ("networks", "sandboxes")


def has_level_two(data: Mapping[str, Any]) -> bool:
    """Whether there is anything to lower."""
    return any(word in data for word in LEVEL_TWO)


@dataclass(frozen=True, slots=True)
class Lowered:
    """A document of level one that was made from one of level two, and knows the place of everything in it.

    ``sources``: path here -> path there, of what was added; the rest is where it was.  ``subnets`` and ``ports``
    (protocol, port) are what it takes of the host.
    """

    document: Document
    data: Any
    sources: Mapping[Path, Path]
    problems: tuple[Problem, ...] = ()
    subnets: tuple[str, ...] = ()
    ports: frozenset[tuple[str, int]] = field(default_factory=frozenset)

    @property
    def file(self) -> str:
        return self.document.file

    def place(self, path: Path) -> Origin:
        """Where what stands at ``path`` was written, in the words of the file."""
        for length in range(len(path), 0, -1):
            source = self.sources.get(path[:length])
            if source is not None:
                return self.document.place(self._followed(source, path[length:]))
        return self.document.place(path)

    def _followed(self, source: Path, rest: Path) -> Path:
        """The source, and as much of the rest as is written there."""
        node: Any = self.document.data
        for count, part in enumerate((*source, *rest)):
            there = part in node if isinstance(node, dict) else isinstance(part, int) and isinstance(node, list)
            if not there or (isinstance(node, list) and not 0 <= int(part) < len(node)):
                return (*source, *rest)[:count]
            node = node[part]
        return (*source, *rest)
