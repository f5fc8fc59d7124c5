"""A value of a Compose file that knows the place where it was written, whatever it was merged with since."""

from __future__ import annotations

import itertools
from typing import Any, NoReturn, Protocol

from reconciler.language.sources import fail
from reconciler.language.yaml_events import Mark, Marks
from reconciler.model.data import dataclass
from reconciler.model.errors import InputError, Problem
from reconciler.model.keys import Origin
from reconciler.model.quoting import Path

MAX_VALUES = 200_000  # of one file, what aliases stand for counted as written out
RESET = "!reset"  # what an earlier file says is gone
OVERRIDE = "!override"  # what an earlier file says is replaced


class Built(Protocol):
    """The places of values in YAML, and their tags by (id(dict or list), key or index)."""

    marks: Any
    tags: dict[tuple[int, str | int], str]


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

    @property
    def mark(self) -> Mark:
        """Line and column."""
        return self.origin.line, self.origin.column

    def get(self, *path: str) -> Node | None:
        """The value at a path of keys, None where it is absent."""
        node: Node | None = self
        for key in path:
            node = node.entries.get(key) if node is not None else None
        return node

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


def node_of(data: Any, built: Built, origin: Origin) -> Node:
    """Data of a file as nodes; ``origin`` is its own place.

    What is reset does not come along with an alias, as for Compose.
    """
    marks: Marks = built.marks
    seen: set[int] = set()
    values = itertools.count(1)

    def tag_of(container: Any, key: str | int) -> str:
        return built.tags.get((id(container), key), "")

    def node(value: Any, mark: Mark, path: Path, tag: str) -> Node:
        if next(values) > MAX_VALUES:
            fail(origin.file, f"more than {MAX_VALUES} values; write less, or less by alias", *mark)
        held: Any = value
        if isinstance(value, dict | list):
            again = id(value) in seen
            seen.add(id(value))
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            nodes = {
                key: node(item, marks[id(value)][key], (*path, key), tag_of(value, key))
                for key, item in pairs
                if not (again and tag_of(value, key) == RESET)
            }
            held = nodes if isinstance(value, dict) else list(nodes.values())
        return Node(held, Origin(origin.file, *mark, path), tag)

    return node(data, (origin.line, origin.column), origin.path, "")


def refuse(node: Node, message: str) -> NoReturn:
    """Raise an InputError with one problem at the place of the node."""
    raise InputError([Problem(node.origin, message)])


def plain(node: Node) -> Any:
    """The value without places."""
    if isinstance(node.value, dict):
        return {key: plain(item) for key, item in node.value.items()}
    if isinstance(node.value, list):
        return [plain(item) for item in node.value]
    return node.value
