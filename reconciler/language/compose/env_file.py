"""Reads the variables of a .env file in the dialect of Docker Compose."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NoReturn

from reconciler.language.compose.interpolation import Refused, Variables, substitute
from reconciler.language.sources import fail
from reconciler.model.keys import Origin
from reconciler.model.quoting import quoted

Unset = Callable[[str, Origin], None]

_BLANK = "\t\v\f\r \x85\xa0"  # within a line
_EXPORT = re.compile(r"export\s+")
_KEY = re.compile(rf"[\w.\-\[\]{_BLANK}]")
_ESCAPE = re.compile(r"\\(?:([abcfnrtv$\"\\])|0(\d{0,3}))")
_ESCAPED = {**dict(zip("abfnrtv", "\a\b\f\n\r\t\v", strict=True)), "$": "$$", '"': '"', "\\": "\\"}


def read(file: str, text: str, outer: Mapping[str, str], unset: Unset) -> dict[str, str]:
    """The variables of a file; ``outer`` has those that its values may use, and that count before its own.

    ``unset`` is told of a variable that its values use and that nobody sets.  Raises InputError with the line of the
    first mistake, after which the rest cannot be read.
    """
    return dict(_Reader(file, text.removeprefix("\ufeff"), outer, unset).variables())


class _Reader:
    def __init__(self, file: str, text: str, outer: Mapping[str, str], unset: Unset) -> None:
        self._file, self._text, self._outer, self._unset = file, text, outer, unset
        self._own: dict[str, str] = {}
        self._at = 0

    def variables(self) -> Iterator[tuple[str, str]]:
        while self._next_statement():
            key, inherited = self._key()
            if inherited:  # a name alone passes a variable of the shell on
                value = self._outer.get(key)
                if value is None:
                    continue
            else:
                value = self._value()
            self._own[key] = value
            yield key, value

    def _place(self, at: int) -> tuple[int, int]:
        before = self._text[:at]
        return before.count("\n") + 1, len(before) - before.rfind("\n")

    def _fail(self, message: str, at: int) -> NoReturn:
        fail(self._file, message, *self._place(at))

    def _line(self) -> str:
        return self._text[self._at :].split("\n", 1)[0]

    def _next_statement(self) -> bool:
        """Go to the next variable, over blank lines and comments."""
        while self._at < len(self._text):
            if self._text[self._at] == "#":
                self._at += len(self._line())
            elif self._text[self._at].isspace():
                self._at += 1
            else:
                return True
        return False

    def _key(self) -> tuple[str, bool]:
        """The name of a variable, and whether it stands alone, without a value."""
        if export := _EXPORT.match(self._text, self._at):
            self._at = export.end()
        start = self._at
        while self._text[self._at : self._at + 1] and _KEY.fullmatch(self._text[self._at]):
            self._at += 1
        key, ending = self._text[start : self._at].strip(), self._text[self._at : self._at + 1]
        if ending not in ("=", ":", "\n"):
            what = f"{quoted(ending)} may not stand in the name of a variable" if ending else "a name ends the file"
            self._fail(f"{what}; write NAME=VALUE", self._at)
        if not key or " " in key:
            self._fail(f"{quoted(key)} is not the name of a variable; write NAME=VALUE", start)
        self._at += 1
        while self._text[self._at : self._at + 1] in tuple(_BLANK):
            self._at += 1
        return key, ending == "\n"

    def _value(self) -> str:
        quote = self._text[self._at : self._at + 1]
        if quote in ("'", '"'):
            return self._quoted(quote)
        line, start = self._line(), self._at
        self._at += len(line) + 1
        return self._substituted(line.split(" #", 1)[0].rstrip(), start)

    def _quoted(self, quote: str) -> str:
        start = self._at
        match = re.compile(rf"{quote}((?:\\.|[^\\{quote}])*){quote}", re.DOTALL).match(self._text, start)
        if match is None:
            self._fail(f"a value begins with {quote} and does not end with one; add it", start)
        self._at = match.end()
        value = match[1].replace(f"\\{quote}", quote)
        return value if quote == "'" else self._substituted(_ESCAPE.sub(_unescaped, value), start)

    def _substituted(self, value: str, at: int) -> str:
        origin = Origin(self._file, *self._place(at))
        known = Variables(
            lambda name: self._outer.get(name, self._own.get(name)), lambda name: self._unset(name, origin)
        )
        try:
            return substitute(value, known)
        except Refused as error:
            self._fail(str(error), at)


def _unescaped(match: re.Match[str]) -> str:
    if match[1] is not None:
        return _ESCAPED.get(match[1], match[0])
    octal = re.fullmatch("[0-3][0-7]{2}", match[2])  # \0 and three digits are one byte; else the 0 is lost
    return chr(int(match[2], 8)) if octal else f"\\{match[2]}"
