"""Replaces the variables of one text as Docker Compose does: $A, ${A}, ${A-x}, ${A?x}, ${A+x}, also with a colon."""

from __future__ import annotations

import re
from collections.abc import Callable

from reconciler.model.data import NamedTuple
from reconciler.model.quoting import quoted

MAX_NESTED = 100  # defaults within defaults
_NAME = "[A-Za-z_][A-Za-z0-9_]*"
_VARIABLE = re.compile(rf"\$(?:(?P<escaped>\$)|(?P<named>{_NAME})|(?P<braced>\{{))")
_BRACED = re.compile(rf"({_NAME})(?:\}}|(:?[-+?])([^\n]*)\}})")  # to the last brace of the line; see _closing


class Refused(Exception):
    """A text that Compose does not take: a wrong form, or a required variable without a value."""


class Variables(NamedTuple):
    """``value`` of a variable, None where it is not set; ``unset`` is told of one that becomes an empty text."""

    value: Callable[[str], str | None]
    unset: Callable[[str], None]


def substitute(text: str, variables: Variables, nested: int = 0) -> str:
    """The text with the values of its variables.  Raises Refused."""
    if "$" not in text:
        return text
    if nested > MAX_NESTED:
        raise Refused(f"variables are nested more than {MAX_NESTED} levels deep")
    parts: list[str] = []
    at = 0
    while match := _VARIABLE.search(text, at):
        parts.append(text[at : match.start()])
        at = match.end()
        if match["escaped"]:
            parts.append("$")
        elif match["named"]:
            parts.append(_value(match["named"], variables))
        else:
            value, at = _braced(text, at, variables, nested)
            parts.append(value)
    return "".join(parts) + text[at:]


def _value(name: str, variables: Variables) -> str:
    value = variables.value(name)
    if value is None:
        variables.unset(name)
    return value or ""


def _braced(text: str, start: int, variables: Variables, nested: int) -> tuple[str, int]:
    """The value of what follows ``${``, and the end of it in the text."""
    match = _BRACED.match(text, start)
    if match is None:
        raise Refused(f"{quoted(text)} has no valid variable at {quoted(text[start - 2 :], 20)}; write $$ for a $")
    name, operator = match[1], match[2]
    if operator is None:
        return _value(name, variables), match.end()
    end = _closing(text, start, match.end())
    argument = substitute(text[match.start(3) : end - 1], variables, nested + 1)
    return _chosen(name, operator, argument, variables.value(name)), end


def _closing(text: str, start: int, last: int) -> int:
    """The end of the brace that closes the one before ``start``, at most ``last``.

    Compose counts every brace, but passes over the character after an opening one; without a brace that closes, it
    takes the last of the line.
    """
    depth, at = 1, start + 1
    while at < last:
        if text[at] == "}":
            depth -= 1
            if depth == 0:
                return at + 1
        elif text[at] == "{":
            depth += 1
            at += 1
        at += 1
    return last


def _chosen(name: str, operator: str, argument: str, value: str | None) -> str:
    given = value is not None and (value != "" or ":" not in operator)
    if "-" in operator:
        return (value or "") if given else argument
    if "+" in operator:
        return argument if given else (value or "")
    if not given:
        raise Refused(f"the required variable {name} has no value" + (f": {argument}" if argument else ""))
    return value or ""
