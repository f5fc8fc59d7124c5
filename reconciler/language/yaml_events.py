"""Builds plain data from YAML parser events, and records the line and column of each value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from reconciler import startup
from reconciler.model.data import NamedTuple, dataclass
from reconciler.model.errors import InputError, Problem
from reconciler.model.keys import Origin
from reconciler.model.quoting import Path, quoted, shortened

yaml = startup.yaml()

MAX_DEPTH = 64  # containers within containers
TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep; a topology needs fewer than ten"
MAX_EXPANDED = 1_000_000  # nodes that aliases stand for, counted as if written out
MAX_NODES = 2_000_000  # keys and values; about 16 MiB of port maps, which take 1 GB of memory
MAX_PROBLEMS = 1_000  # nobody reads more, and a hostile file could have millions

Mark = tuple[int, int]  # line and column, from 1
Marks = Mapping[int, Mapping[str | int, Mark]]  # id(dict or list) -> key or index -> place

_CORE = "tag:yaml.org,2002:"
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_TAGGED: dict[str, type] = {_CORE + "bool": bool, _CORE + "int": int, _CORE + "null": type(None)}
# YAML 1.1 reads 22:22 as 1342, 010 as 8 and `no` as false; here these stay text, as in YAML 1.2's core schema.
_MOST_DIGITS = 100  # int() refuses more than 4300


def plain(text: str) -> str | int | bool | None:
    """The value of an unquoted scalar: true, false, null or a decimal integer; else its text."""
    if text in _WORDS:
        return _WORDS[text]
    digits = text.removeprefix("-")
    if not digits.isdecimal() or not digits.isascii() or len(digits) > _MOST_DIGITS:
        return text
    return text if digits[0] == "0" and digits != "0" else int(text)


class _Anchor(NamedTuple):
    """The value of an anchor; ``nodes`` counts the values in it, ``height`` its levels of containers."""

    value: Any
    text: str | None = None  # of a scalar: its text in the file
    nodes: int = 1
    height: int = 0
    finished: bool = True


@dataclass(slots=True)
class _Frame:
    """A container that is being filled."""

    container: Any
    marks: dict[str | int, Mark]
    mapping: bool
    anchor: str | None = None
    before: int = 0  # nodes counted when it was opened
    height: int = 1
    is_key: bool = False  # it is in the place of a key, which is a mistake
    key: str | None = None  # of a mapping: the key whose value comes next
    merging: bool = False  # whether ``key`` is <<
    merges: tuple[tuple[Any, Mark], ...] = ()


class Builder:
    """Takes parser events one by one, with a stack of its own, so that a deep file cannot exhaust Python's.

    Afterwards ``roots`` has the document (nothing for an empty file), ``marks`` the places of all
    values in it, ``start`` its own place, and ``problems`` the mistakes.  ``take`` raises
    InputError for a mistake after which the rest cannot be read.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.roots: list[Any] = []
        self.marks: dict[int, dict[str | int, Mark]] = {}
        self.start: Mark = (1, 1)
        self._anchors: dict[str, _Anchor] = {}
        self._frame = _Frame(self.roots, {}, mapping=False)  # the document is its only item
        self._stack: list[_Frame] = []  # the frames around it
        self._nodes = self._aliased = 0
        self._takes: dict[type, Callable[[Any], None]] = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._open_mapping,
            yaml.SequenceStartEvent: self._open_list,
            yaml.MappingEndEvent: self._close,
            yaml.SequenceEndEvent: self._close,
            yaml.AliasEvent: self._alias,
            yaml.DocumentStartEvent: self._document,
        }

    def take(self, event: Any) -> None:
        """Take one event of yaml.parse; raises InputError."""
        take = self._takes.get(type(event))
        if take is not None:
            take(event)

    # ------------------------------------------------------------------ problems

    def _path(self) -> Path:
        path: list[str | int] = []
        for frame in [*self._stack, self._frame][1:]:
            if not frame.mapping:  # an open container is already an item of the list around it
                path.append(len(frame.container) - (frame is not self._frame))
            elif frame.key is not None:
                path.append(frame.key)
        return tuple(path)

    def _problem(self, mark: Mark, message: str, path: Path | None = None) -> None:
        origin = Origin(self.file, *mark, self._path() if path is None else path)
        self.problems.append(Problem(origin, message))
        if len(self.problems) >= MAX_PROBLEMS:
            more = f"more than {MAX_PROBLEMS} problems; mend these first"
            raise InputError([*self.problems, Problem(Origin(self.file), more)])

    def _fail(self, mark: Mark, message: str) -> NoReturn:
        raise InputError([*self.problems, Problem(Origin(self.file, *mark, self._path()[:4]), message)])

    def _too_many(self, mark: Mark) -> NoReturn:
        self._fail(mark, f"more than {MAX_NODES} keys and values; split the topology into several files")

    # ------------------------------------------------------------------ events

    def _document(self, event: Any) -> None:
        if self.roots:
            self._fail(_mark(event), "a second document starts here; one topology per file")

    def _scalar(self, event: Any) -> None:
        frame = self._frame
        mark = event.start_mark
        place = (mark.line + 1, mark.column + 1)
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._too_many(place)
        if frame.mapping and frame.key is None:
            self._key(event.value, place, merging=event.value == "<<" and event.implicit[0])
            value: Any = event.value
        else:
            value = self._value(event, place)
            self._attach(value, place)
            frame.key = None
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchor(value, event.value)

    def _value(self, event: Any, place: Mark) -> Any:
        tag, text = event.tag, event.value
        if tag is None:
            return plain(text) if event.implicit[0] else text
        if tag in ("!", _CORE + "str"):
            return text
        if tag not in _TAGGED:
            self._unknown_tag(tag, place)
            return text
        value = plain(text)
        if type(value) is not _TAGGED[tag]:
            self._problem(place, f"{quoted(text)} is no {_short(tag)}; remove the tag or mend the value")
        return value

    def _unknown_tag(self, tag: str, place: Mark) -> None:
        self._problem(place, f"the tag {quoted(_short(tag))} is not known here; remove it")

    def _key(self, text: str, place: Mark, *, merging: bool = False) -> None:
        frame = self._frame
        frame.key, frame.merging = text, merging
        first = frame.marks.setdefault(text, place)
        if first is not place:
            self._problem(place, f"duplicate key {quoted(text)}; first written at line {first[0]}")

    def _no_key(self, container: Any, place: Mark) -> None:
        self._problem(place, f"{quoted(container)} cannot be a key; write a plain word")
        self._frame.key = ""
        self._frame.marks.setdefault("", place)

    def _attach(self, value: Any, place: Mark) -> None:
        """Add a value to the open container."""
        frame = self._frame
        if not frame.mapping:
            frame.marks[len(frame.container)] = place
            frame.container.append(value)
        elif frame.merging:
            frame.merges += ((value, place),)
        else:
            frame.container[frame.key] = value
        if not self._stack:
            self.start = place

    def _open_mapping(self, event: Any) -> None:
        self._open(event, {}, _CORE + "map")

    def _open_list(self, event: Any) -> None:
        self._open(event, [], _CORE + "seq")

    def _open(self, event: Any, container: Any, tag: str) -> None:
        place, parent = _mark(event), self._frame
        if event.tag not in (None, "!", tag):
            self._unknown_tag(event.tag, place)
        if self._nodes >= MAX_NODES:
            self._too_many(place)
        if len(self._stack) >= MAX_DEPTH:
            self._fail(place, TOO_DEEP)
        is_key = parent.mapping and parent.key is None
        if is_key:
            self._no_key(container, place)
        else:
            self._attach(container, place)
        marks = self.marks[id(container)] = {}
        frame = _Frame(container, marks, tag == _CORE + "map", event.anchor, self._nodes, is_key=is_key)
        self._nodes += 1
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchor(container, finished=False)
        self._stack.append(parent)
        self._frame = frame

    def _close(self, _event: Any) -> None:
        frame = self._frame
        if frame.merges:
            self._merge(frame)
        if frame.anchor is not None:
            nodes = self._nodes - frame.before
            self._anchors[frame.anchor] = _Anchor(frame.container, None, nodes, frame.height)
        parent = self._frame = self._stack.pop()
        parent.height = max(parent.height, frame.height + 1)
        if not frame.is_key:
            parent.key = None

    # ------------------------------------------------------------------ aliases

    def _alias(self, event: Any) -> None:
        place, frame = _mark(event), self._frame
        anchor = self._resolve(event.anchor, place)
        if frame.mapping and frame.key is None:
            if anchor.text is None:
                self._no_key(anchor.value, place)
            else:
                self._key(anchor.text, place)
            return
        self._count(anchor, event.anchor, place)
        self._attach(anchor.value, place)
        frame.key = None
        frame.height = max(frame.height, anchor.height + 1)

    def _resolve(self, name: str, place: Mark) -> _Anchor:
        anchor = self._anchors.get(name)
        if anchor is None:
            self._problem(place, f"no anchor &{shortened(name)} stands before this alias; define it above")
        elif not anchor.finished:
            self._problem(place, f"the alias *{shortened(name)} stands within its own anchor; write it out")
        else:
            return anchor
        return _Anchor(None, "")

    def _count(self, anchor: _Anchor, name: str, place: Mark) -> None:
        """Count the nodes that an alias stands for: nine lines of aliases of aliases can be a billion nodes."""
        self._nodes += anchor.nodes
        self._aliased += anchor.nodes
        if self._aliased > MAX_EXPANDED:
            self._fail(place, f"aliases expand to more than {MAX_EXPANDED} nodes; write less by alias")
        if len(self._stack) + anchor.height > MAX_DEPTH:
            self._fail(place, f"*{shortened(name)} makes this more than {MAX_DEPTH} levels deep; write less by alias")

    def _merge(self, frame: _Frame) -> None:
        for value, place in frame.merges:
            for source in value if isinstance(value, list) else [value]:
                if not isinstance(source, dict):
                    message = f"<< takes a mapping or a list of mappings, not {quoted(source)}"
                    self._problem(place, message, (*self._path(), "<<"))
                    continue
                marks = self.marks[id(source)]
                for key in source:
                    if key not in frame.container:
                        frame.container[key] = source[key]
                        frame.marks[key] = marks[key]


def _mark(event: Any) -> Mark:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _short(tag: str) -> str:
    return "!!" + tag.removeprefix(_CORE) if tag.startswith(_CORE) else tag
