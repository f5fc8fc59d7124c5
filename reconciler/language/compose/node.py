"""A value of a Compose file that knows the place where it was written, whatever it was merged with since."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.language.document import Document
from reconciler.model.data import dataclass
from reconciler.model.keys import Origin
from reconciler.model.quoting import Path

Tags = Mapping[tuple[int, str | int], str]  # (id(dict or list), key or index) -> !reset or !override


@dataclass(frozen=True, slots=True)
class Node:
    """A mapping or a list of nodes, or a scalar.

    ``origin`` is the place of its key in a mapping, or of its first character; its path is that in its own file.
    """

    value: Any
    origin: Origin
    tag: str = ""

    @property
    def entries(self) -> dict[str, Node]:
        """The entries of a mapping; {} for anything else."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def items(self) -> list[Node]:
        """The items of a list; [] for anything else."""
        return self.value if isinstance(self.value, list) else []

    def get(self, word: str) -> Node | None:
        """The value of a key, None where it is absent or this is no mapping."""
        return self.entries.get(word)

    def of(self, value: Any) -> Node:
        """Another value, written at the same place."""
        return Node(value, self.origin, self.tag)

    def place(self, path: Path) -> Origin:
        """The place of ``path``; for one that does not exist, that of its deepest parent that does."""
        node = self
        for part in path:
            inner = node.value.get(part) if isinstance(node.value, dict) else _item(node.items, part)
            if inner is None:
                break
            node = inner
        return node.origin._replace(path=path)


def _item(items: list[Node], part: str | int) -> Node | None:
    return items[part] if isinstance(part, int) and part < len(items) else None


def tree(document: Document, tags: Tags) -> Node:
    """The nodes of a file."""

    def node(value: Any, path: Path, tag: str) -> Node:
        at = id(value)
        if isinstance(value, dict):
            held: Any = {key: node(item, (*path, key), tags.get((at, key), "")) for key, item in value.items()}
        elif isinstance(value, list):
            held = [node(item, (*path, index), tags.get((at, index), "")) for index, item in enumerate(value)]
        else:
            held = value
        return Node(held, document.place(path), tag)

    return node(document.data, (), "")


def plain(node: Node) -> Any:
    """The value without places."""
    if isinstance(node.value, dict):
        return {key: plain(item) for key, item in node.value.items()}
    if isinstance(node.value, list):
        return [plain(item) for item in node.value]
    return node.value
