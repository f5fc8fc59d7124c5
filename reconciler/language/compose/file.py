"""Reads one Compose file into nodes: YAML with the tags !reset and !override, and its variables replaced."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from reconciler.language import document
from reconciler.language.compose.casts import cast
from reconciler.language.compose.interpolation import Refused, Variables, substitute
from reconciler.language.compose.node import OVERRIDE, RESET, Node, node_of, plain
from reconciler.language.sources import STDIN, fail
from reconciler.language.sources import read as read_bytes
from reconciler.language.yaml_events import Builder, Mark
from reconciler.model.errors import Problem
from reconciler.model.keys import Origin
from reconciler.model.quoting import Path, quoted

_NUMBER = re.compile(
    r"(?P<sign>[-+]?)(?:0[xX](?P<hex>[0-9A-Fa-f][0-9A-Fa-f_]{0,15})|0[oO]?(?P<octal>[0-7][0-7_]{0,20})"
    r"|(?P<decimal>[1-9][0-9_]{0,17}))"
)


class _Builder(Builder):
    """Takes several documents in a file, which Compose merges, and keeps Compose's two tags."""

    def __init__(self, file: str) -> None:
        super().__init__(file)
        self.tags: dict[tuple[int, str | int], str] = {}

    def documents(self) -> list[Node]:
        """What was built."""
        marks = self._frame.marks
        return [node_of(root, self, Origin(self.file, *marks[at])) for at, root in enumerate(self.roots)]

    def _document(self, event: Any) -> None:
        pass

    def _unknown_tag(self, tag: str, place: Mark) -> None:
        if tag not in (RESET, OVERRIDE):
            super()._unknown_tag(tag, place)
            return
        frame = self._frame
        key = frame.key if frame.mapping else len(frame.container)
        if key is not None:
            self.tags[id(frame.container), key] = tag

    def _value(self, event: Any, place: Mark) -> Any:
        value = super()._value(event, place)
        unquoted = event.tag is None and event.implicit[0]
        return _number(value) if unquoted and isinstance(value, str) else value

    def _merge(self, frame: Any) -> None:
        """!override comes along with what << brings in; what is reset does not, as for Compose."""
        own = set(frame.container)
        super()._merge(frame)
        sources = [one for value, _ in frame.merges for one in (value if isinstance(value, list) else [value])]
        for key in [key for key in frame.container if key not in own]:
            source = next(one for one in sources if isinstance(one, dict) and key in one)
            tag = self.tags.get((id(source), key), "")
            if tag == RESET:
                del frame.container[key]
            self.tags[id(frame.container), key] = tag


def _number(text: str) -> str | int:
    """What Compose's YAML takes for a number, and this program's for a text: 0x1F, 0o17, 017, 1_000."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return text
    base = 16 if match["hex"] else 8 if match["octal"] else 10
    digits = (match["hex"] or match["octal"] or match["decimal"]).replace("_", "")
    return int(match["sign"] + digits, base)


def shown(path: str) -> str:
    """The name of a file in messages."""
    return "<stdin>" if path == STDIN else path


def load(path: str) -> list[Node]:
    """The documents of a file, ``-`` for standard input.  Raises InputError with all problems."""
    builder = _Builder(shown(path))
    document.fill(builder, read_bytes(path))
    nodes = [node for node in builder.documents() if node.value is not None]
    if not nodes:
        fail(builder.file, "the file is empty; a Compose file has services")
    for node in nodes:
        if not isinstance(node.value, dict):
            message = f"the top level is {quoted(plain(node))}, not a mapping; a Compose file has services"
            fail(builder.file, message, *node.mark)
    return nodes


class Interpolation:
    """Replaces the variables of nodes, and collects what is wrong with them and which are not set."""

    def __init__(self, value: Callable[[str], str | None], warn: Callable[[Problem], None]) -> None:
        self._value, self._warn = value, warn
        self.problems: list[Problem] = []

    def __call__(self, node: Node, path: Path = ()) -> Node:
        """The node with the values of its variables, as Compose types them; keys, and what is reset, as they are."""
        if node.tag == RESET:
            return node
        if isinstance(node.value, dict):
            self._keys(node)
            return node.of({key: self(item, (*path, key)) for key, item in node.value.items()})
        if isinstance(node.value, list):
            return node.of([self(item, (*path, index)) for index, item in enumerate(node.value)])
        if not isinstance(node.value, str):
            return node
        try:
            return node.of(cast(self._text(node), path))
        except Refused as error:
            self.problems.append(Problem(node.origin, str(error)))
            return node.of(None)

    def _keys(self, node: Node) -> None:
        for key, item in node.entries.items():
            if "${" in key:
                self._warn(Problem(item.origin, "variables in a key are not replaced, neither by Compose"))

    def _text(self, node: Node) -> str:
        def unset(name: str) -> None:
            self._warn(Problem(node.origin, unset_text(name)))

        return substitute(node.value, Variables(self._value, unset))


def unset_text(name: str) -> str:
    """What is said of a variable that is used without a default and not set."""
    return f"the variable {name} is not set; it is taken as an empty text"


def strings(node: Node | None) -> Iterator[Node]:
    """A text, or the texts of a list."""
    if node is not None:
        for item in node.items if isinstance(node.value, list) else [node]:
            if isinstance(item.value, str):
                yield item
