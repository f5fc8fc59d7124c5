"""The result of lowering: a document of level one, with the place in the file of everything in it.

It is a module of its own because a file without networks and sandboxes needs it, and does not import the rest of
networks/, which would take a fifth of the time of a small check.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.language.schema import Document
from reconciler.model.data import NamedTuple, dataclass, field
from reconciler.model.errors import Problem
from reconciler.model.keys import Origin
from reconciler.model.quoting import Path

LEVEL_TWO = ("networks", "sandboxes")


def has_level_two(data: Mapping[str, Any]) -> bool:
    """Whether a document has networks or sandboxes."""
    return any(word in data for word in LEVEL_TWO)


class Overlap(NamedTuple):
    """A warning: the subnet of a network that stands overlaps routes of the host; ``bridge`` is the network's."""

    bridge: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Lowered:
    """A document of level one, made from ``document``, which may have networks and sandboxes.

    ``sources`` maps the path of each added part in ``data`` to the path in ``document`` that it was made from; all
    else has the same path in both.  ``subnets`` and ``ports`` (protocol, port) are those that its networks use.
    ``overlaps`` are warnings.  ``held`` are the addresses of its endpoints (model.Held).
    """

    document: Document
    data: Any
    sources: Mapping[Path, Path]
    problems: tuple[Problem, ...] = ()
    subnets: tuple[str, ...] = ()
    ports: frozenset[tuple[str, int]] = field(default_factory=frozenset)
    overlaps: tuple[Overlap, ...] = ()
    held: tuple[Any, ...] = ()

    @property
    def file(self) -> str:
        return self.document.file

    def place(self, path: Path) -> Origin:
        """The place in the file from which the value at ``path`` was made."""
        for length in range(len(path), 0, -1):
            source = self.sources.get(path[:length])
            if source is not None:
                return self.document.place(self._followed(source, path[length:]))
        return self.document.place(path)

    def _followed(self, source: Path, rest: Path) -> Path:
        """The source, extended by as much of ``rest`` as the file has there."""
        node: Any = self.document.data
        for count, part in enumerate((*source, *rest)):
            there = part in node if isinstance(node, dict) else isinstance(part, int) and isinstance(node, list)
            if not there or (isinstance(node, list) and not 0 <= int(part) < len(node)):
                return (*source, *rest)[:count]
            node = node[part]
        return (*source, *rest)
