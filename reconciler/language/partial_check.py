"""What else is wrong with a document that breaks the schema, judged by the parts of it that keep it.

All mistakes are to be told at once, and only a whole document can be built.  So a misspelt key is taken for
what it was meant to be, what cannot be understood is left out, and the rest is built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from reconciler.kinds import KINDS, LINK_SECTIONS
from reconciler.language.schema import Document, Fault, faults
from reconciler.model.data import dataclass
from reconciler.model.errors import Problem
from reconciler.model.keys import Origin
from reconciler.model.quoting import Path

ROUNDS = 8  # what a misspelt key holds can be misspelt too, and so on
ALONE = frozenset(section for kind in KINDS if kind.alone for section in kind.sections)  # nothing refers to these
_SECTIONS = frozenset(section for kind in KINDS for section in kind.sections)
NAMING = ("addresses", "master", "peer", "name", "namespace", "link")  # of a link: what others find it by, or it them
MISSED = ("required", "minItems")  # that something is not there may be our own doing

Build = Callable[[Document, bool], list[Problem]]  # a document, and whether its references can be judged


class Part(NamedTuple):
    """A container of what is kept, and the user's own key or index of each thing in it."""

    container: Any
    written: Mapping[str | int, str | int]


@dataclass(frozen=True, slots=True)
class Kept:
    """The parts of ``whole`` that are understood, under the keys that were meant, with the places as written."""

    whole: Document
    data: Any
    parts: Mapping[int, Part]  # by id of the container

    @property
    def file(self) -> str:
        return self.whole.file

    def place(self, path: Path) -> Origin:
        return self.whole.place(self.as_written(path))

    def as_written(self, path: Path) -> Path:
        """A path into ``data`` as a path into the whole."""
        found: list[str | int] = []
        node = self.data
        for part in path:
            known = self.parts.get(id(node))
            found.append(known.written.get(part, part) if known else part)
            inside = isinstance(node, dict) and part in node
            inside = inside or (isinstance(node, list) and isinstance(part, int) and part < len(node))
            node = node[part] if inside else None
        return tuple(found)


def problems(document: Document, build: Build) -> list[Problem]:
    """What ``build`` finds wrong with what is left, and what the schema does with the keys that were misspelt."""
    found: list[Problem] = []
    whole = True  # so that what is not there is truly not there
    kept = Kept(document, document.data, {})
    guessed: set[Path] = set()  # a value that its new key cannot hold was meant for another one: not worth a word
    for number in range(ROUNDS):
        wrong = list(faults(kept))
        if not wrong:
            return found + build(kept, whole)
        if number:  # the first ones are told already
            told = (one for one in wrong if one.keyword not in MISSED)
            told = (one for one in told if one.keyword != "type" or one.path not in guessed)
            found += [Problem(kept.place(one.path), one.message) for one in told]
        drop = {_left_out(one) for one in wrong if not one.meant}
        whole = whole and all(map(_harmless, drop))
        guessed = {(*one.path[:-1], one.meant) for one in wrong if one.meant}
        kept = _without(kept, drop, {one.path: one.meant for one in wrong if one.meant})
    return found


def _left_out(fault: Fault) -> Path:
    """What goes for a fault: the value; of a list of mappings the whole item, which means nothing without it."""
    start = 2 if fault.path[:1] == ("namespaces",) else 0
    item = fault.path[: start + 2]
    listed = isinstance(item[-1], int) and item[start] in _SECTIONS if item else False
    return item if listed and fault.keyword != "unknown" else fault.path


def _harmless(path: Path) -> bool:
    """Whether nothing that refers to something is in doubt without what was at this place."""
    if path in ((), ("name",), ("version",)):  # of the whole these two alone can be missing
        return True
    inner = path[2:] if path[:1] == ("namespaces",) else path
    section = inner[0] if inner else ""
    if section in ALONE:
        return True
    return section in LINK_SECTIONS and len(inner) > 2 and not any(part in NAMING for part in inner[2:])


def _without(kept: Kept, drop: set[Path], meant: Mapping[Path, str]) -> Kept:
    parts: dict[int, Part] = {}

    def copied(node: Any, path: Path) -> Any:
        if not isinstance(node, dict | list):
            return node
        before = kept.parts.get(id(node))
        entries = node.items() if isinstance(node, dict) else enumerate(node)
        left = [(key, copied(value, (*path, key))) for key, value in entries if (*path, key) not in drop]
        named = [(meant.get((*path, key), key), key, value) for key, value in left]
        if isinstance(node, list):
            named = [(place, key, value) for place, (_, key, value) in enumerate(named)]
        container = {new: value for new, _, value in named} if isinstance(node, dict) else [one[2] for one in named]
        written = {new: before.written.get(old, old) if before else old for new, old, _ in named}
        parts[id(container)] = Part(container, written)
        return container

    data = copied(kept.data, ())
    for word, value in (("version", 1), ("name", "unnamed")):
        data.setdefault(word, value)
    return Kept(kept.whole, data, parts)
