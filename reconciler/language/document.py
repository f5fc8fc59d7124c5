"""Reads the YAML of one topology file into plain data, with the line and column of every value."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from reconciler import startup
from reconciler.language.sources import MAX_BYTES, expand, fail, read, too_big
from reconciler.language.yaml_events import MAX_DEPTH, MAX_EXPANDED, MAX_PROBLEMS, TOO_DEEP, Builder, Mark, Marks
from reconciler.model.data import dataclass
from reconciler.model.errors import InputError, Problem
from reconciler.model.keys import Origin
from reconciler.model.patterns import pattern
from reconciler.model.quoting import UNPRINTABLE, Path, is_ordinary, quoted

__all__ = [
    "MAX_BYTES", "MAX_DEPTH", "MAX_EXPANDED", "MAX_PROBLEMS",
    "Document", "Marks", "Path", "expand", "load", "quoted", "read",
]  # fmt: skip

yaml = startup.yaml()
_LINE_BREAK = pattern("\r\n|[\n\r\x85\u2028\u2029]")  # what YAML counts as one
_BRACKETED_ADDRESS = pattern(r"\[[0-9A-Fa-f:.]*\]:")


@dataclass(frozen=True, slots=True)
class Document:
    """One file: ``data`` of dict (with str keys), list, str, int, bool and None, and the place of each value in it."""

    file: str
    data: Any
    marks: Marks
    start: Mark = (1, 1)

    def place(self, path: Path) -> Origin:
        """The place of ``path`` in the file: of a key its own place, of an item its first character.

        For a path that is not in the file, the place of its deepest parent that is.
        """
        line, column = self.start
        node = self.data
        for part in path:
            within = self.marks.get(id(node))
            if within is None or part not in within:
                break
            line, column = within[part]
            node = node[part]
        return Origin(self.file, line, column, path)


def load(file: str, data: bytes) -> Document:
    """Read the text of one topology; ``file`` is its name for messages.

    Raises InputError with every problem: syntax, encoding, duplicate keys, unknown
    aliases, limits (MAX_*), more than one document, a top level that is no mapping.
    """
    builder = Builder(file)
    fill(builder, data)
    _must_be_mapping(file, builder)
    return Document(file, builder.roots[0], builder.marks, builder.start)


def fill(builder: Builder, data: bytes) -> None:
    """Give a builder the events of a text.  Raises InputError with every problem."""
    if len(data) > MAX_BYTES:
        too_big(builder.file)
    text = _decode(builder.file, data)
    try:
        for event in _events(text):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        builder.problems.append(_syntax(builder.file, text, error))
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # OverflowError: the pure parser on "\\UFFFFFFFF"
        builder.problems.append(Problem(Origin(builder.file), f"not YAML: {_one_line(error)}"))
    if builder.problems:
        raise InputError(sorted(builder.problems))


def _must_be_mapping(file: str, builder: Builder) -> None:
    root = builder.roots[0] if builder.roots else None
    if root is None:
        fail(file, "the file is empty; a topology starts with version: 1 and name: NAME")
    if not isinstance(root, dict):
        what = "a list" if isinstance(root, list) else "text"  # not which text: it may be any file, and secret
        message = f"the top level is {what}, not a mapping; start with version: 1 and name: NAME"
        fail(file, message, *builder.start)


def _decode(file: str, data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}; save the file as UTF-8"
        fail(file, message, *_position(data[: error.start].decode("utf-8", "replace")))
    if not is_ordinary(data) and (bad := UNPRINTABLE.search(text)):
        message = f'character U+{ord(bad[0]):04X} may not stand in YAML; write it as "\\u{ord(bad[0]):04x}"'
        fail(file, message, *_position(text[: bad.start()]))
    return text


def _position(before: str) -> Mark:
    lines = _LINE_BREAK.split(before)
    return len(lines), len(lines[-1]) + 1


def _events(text: str) -> Iterator[Any]:
    try:
        parser: Any = import_module("yaml._yaml").CParser(text)
    except ImportError:
        yield from _slow_events(text)
        return
    while (event := parser.get_event()) is not None:
        yield event


def _slow_events(text: str) -> Iterator[Any]:
    """The events where PyYAML is built without libyaml: ten times slower.

    This parser accepts half a surrogate pair, for which ``encode`` raises UnicodeEncodeError (a ValueError).
    """
    parser: Any = yaml.SafeLoader(text)
    while (event := parser.get_event()) is not None:
        if isinstance(event, yaml.ScalarEvent):
            event.value.encode()
        yield event


def _one_line(error: object) -> str:
    return " ".join(str(error).split())


def _syntax(file: str, text: str, error: Any) -> Problem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    if "nesting depth" in str(error.problem):  # libyaml has a limit of its own and reads ahead of our check
        return Problem(Origin(file, line, column), TOO_DEEP)
    lines = _LINE_BREAK.split(text)
    written = lines[mark.line] if mark and mark.line < len(lines) else ""
    message = f"not YAML: {_one_line(error.problem)}"
    begun = error.context_mark
    if error.context and begun and begun.line + 1 != line:
        message += f" {error.context} that begins at line {begun.line + 1}"
    return Problem(Origin(file, line, column), f"{message}; {_hint(written, column, message)}")


def _hint(line: str, column: int, message: str) -> str:
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "indent with spaces, not with tabs"
    if _BRACKETED_ADDRESS.search(line):
        return 'quote text that starts with "["'
    if "alues are not allowed" in message:
        return 'quote text that contains ": ", and indent the keys of a mapping alike'
    if "cannot start any token" in message:
        return f"quote text that starts with {quoted(line[column - 1 : column])}"
    return "look at the indentation, quotes and brackets here and just above"
