"""Finds the other mistakes in a document that breaks the schema, by building the parts that do not.

The user gets all mistakes at once, but only a valid document can be built.  So a misspelt key is renamed to the key
that was probably meant, every other invalid value is removed, and the rest is built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from reconciler.kinds import KINDS, LINK_SECTIONS
from reconciler.language.schema import Document, Fault, faults
from reconciler.model.data import NamedTuple, dataclass
from reconciler.model.errors import Problem
from reconciler.model.keys import Origin
from reconciler.model.quoting import Path

ROUNDS = 8  # renaming a misspelt key can show that keys inside its value are misspelt too, and so on
ALONE = frozenset(section for kind in KINDS if kind.alone for section in kind.sections)  # nothing refers to these
_SECTIONS = frozenset(section for kind in KINDS for section in kind.sections)
NAMING = ("addresses", "master", "peer", "name", "namespace", "link")  # keys of a link that are part of references
TOO_LONG = "maxLength"  # a name that is too long stays: others refer to it
MISSED = ("required", "minItems")  # something is missing; we may have removed it ourselves

Build = Callable[[Document, bool], list[Problem]]  # arguments: a document, and whether its references can be checked


class Part(NamedTuple):
    """A container of the reduced document, and the key or index in the file of each value in it."""

    container: Any
    written: Mapping[str | int, str | int]


@dataclass(frozen=True, slots=True)
class Kept:
    """The reduced document: the valid parts of ``whole``, with renamed keys; places are those in the file."""

    whole: Document
    data: Any
    parts: Mapping[int, Part]  # id of a container in ``data`` -> its Part

    @property
    def file(self) -> str:
        return self.whole.file

    def place(self, path: Path) -> Origin:
        return self.whole.place(self.as_written(path))

    def as_written(self, path: Path) -> Path:
        """The path in ``whole`` of a path in ``data``."""
        written: list[str | int] = []
        node = self.data
        for part in path:
            known = self.parts.get(id(node))
            written.append(known.written.get(part, part) if known else part)
            inside = isinstance(node, dict) and part in node
            inside = inside or (isinstance(node, list) and isinstance(part, int) and part < len(node))
            node = node[part] if inside else None
        return tuple(written)


def problems(document: Document, build: Build) -> list[Problem]:
    """The problems that ``build`` finds in the reduced document, and the faults inside values of misspelt keys.

    The faults of the document as written are not among them: the caller has them from ``schema.check``.
    """
    collected: list[Problem] = []
    whole = True  # whether nothing that others refer to was removed: then a missing name is a mistake
    kept = Kept(document, document.data, {})
    guessed: set[Path] = set()  # a value of the wrong type for its new key: the guess was wrong, so no message
    for number in range(ROUNDS):
        wrong = [fault for fault in faults(kept) if fault.keyword != TOO_LONG]
        if not wrong:
            return collected + build(kept, whole)
        if number:  # the caller has those of the first round
            fresh = (fault for fault in wrong if fault.keyword not in MISSED)
            fresh = (fault for fault in fresh if fault.keyword != "type" or fault.path not in guessed)
            collected += [Problem(kept.place(fault.path), fault.message) for fault in fresh]
        drop = {_left_out(fault) for fault in wrong if not fault.meant}
        whole = whole and all(map(_harmless, drop))
        guessed = {(*fault.path[:-1], fault.meant) for fault in wrong if fault.meant}
        kept = _without(kept, drop, {fault.path: fault.meant for fault in wrong if fault.meant})
    return collected


def _left_out(fault: Fault) -> Path:
    """The path to remove for a fault: the value, or the whole item of a list such as ``routes``."""
    start = 2 if fault.path[:1] == ("namespaces",) else 0
    item = fault.path[: start + 2]
    listed = isinstance(item[-1], int) and item[start] in _SECTIONS if item else False
    return item if listed and fault.keyword != "unknown" else fault.path


def _harmless(path: Path) -> bool:
    """Whether references can still be checked after the value at this path was removed."""
    if path in ((), ("name",), ("version",)):  # (): the fault of a missing name or version has the path of the whole
        return True
    inner = path[2:] if path[:1] == ("namespaces",) else path
    section = inner[0] if inner else ""
    if section in ALONE:
        return True
    return section in LINK_SECTIONS and len(inner) > 2 and not any(part in NAMING for part in inner[2:])


def _without(kept: Kept, drop: set[Path], meant: Mapping[Path, str]) -> Kept:
    """A copy without the paths in ``drop``, and with the keys at the paths of ``meant`` renamed."""
    parts: dict[int, Part] = {}

    def copied(node: Any, path: Path) -> Any:
        if not isinstance(node, dict | list):
            return node
        before = kept.parts.get(id(node))
        entries = node.items() if isinstance(node, dict) else enumerate(node)
        remaining = [(key, copied(value, (*path, key))) for key, value in entries if (*path, key) not in drop]
        named = [(meant.get((*path, key), key), key, value) for key, value in remaining]
        if isinstance(node, list):
            named = [(place, key, value) for place, (_, key, value) in enumerate(named)]
        container = (
            {new: value for new, _, value in named} if isinstance(node, dict) else [value for *_, value in named]
        )
        written = {new: before.written.get(old, old) if before else old for new, old, _ in named}
        parts[id(container)] = Part(container, written)
        return container

    data = copied(kept.data, ())
    for word, value in (("version", 1), ("name", "unnamed")):
        data.setdefault(word, value)
    return Kept(kept.whole, data, parts)
