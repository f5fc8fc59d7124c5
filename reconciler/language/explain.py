"""Writes the message for a value that breaks a JSON Schema keyword: what is wrong and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from reconciler.model.quoting import Path, quoted, shortened

Schema = Mapping[str, Any]

_FALSE, _TRUE = ("no", "off", "n", "0"), ("yes", "on", "y", "1")
_LIKE = 0.75  # difflib ratio: "rules" is not "routes"
_NAMES = {
    "boolean": "true or false",
    "integer": "a whole number",
    "string": "text",
    "array": "a list",
    "object": "a mapping",
}


def unknown_keys(value: Mapping[str, Any], schema: Schema) -> list[str]:
    """The keys of a mapping that ``schema`` does not know."""
    rules = list(schema.get("patternProperties", ()))
    unlisted = (key for key in value if key not in schema["properties"])
    return [key for key in unlisted if not any(re.search(rule, key) for rule in rules)]


def unknown_key(key: str, schema: Schema) -> str:
    """The message for a key that ``schema`` does not list."""
    if key in schema.get("x-top-level", ()):
        return f"{quoted(key)} stands at the top level of a file; write it there"
    if key in schema.get("x-instead", {}):  # the name that other programs have for a key
        return f"unknown key {quoted(key)}; did you mean {quoted(schema['x-instead'][key])}?"
    if key.lower().startswith(("x-", "x_")) and "^x-" in schema.get("patternProperties", ()):
        return f"unknown key {quoted(key)}; a key that holds anchors begins with x-: {quoted('x-' + key[2:])}"
    keys = list(schema["properties"])
    return f"unknown key {quoted(key)}; " + (_nearest(key, keys) or f"the keys here are {', '.join(keys)}")


def nearest_key(key: str, schema: Schema) -> str:
    """The key of ``schema`` that the user probably meant by an unknown one, "" for none."""
    if key in schema.get("x-instead", {}):
        return str(schema["x-instead"][key])
    known = list(schema["properties"])
    return "" if key in schema.get("x-top-level", ()) else _closest(key, known)


def missing_key(key: str, schema: Schema) -> str:
    """The message for a required key that is missing; ``schema`` is that of the key's value."""
    right = f"write {key}: {schema['const']}" if "const" in schema else f"write {_right(schema)}"
    return f"missing key {quoted(key)}; {right}"


def empty(schema: Schema, path: Path, *, needed: bool) -> str:
    """The message for a key or an item without a value; ``needed``: the key is required."""
    right = {"object": "{}", "array": "[]"}.get(str(schema.get("type"))) or f"{_right(schema)},"
    if needed:
        return f"is empty; write {right.rstrip(',')}"
    return f"is empty; write {right} or remove the {'item' if path and isinstance(path[-1], int) else 'key'}"


def secret(schema: Schema) -> str:
    """The message for a secret value that breaks its schema; it does not quote the value."""
    return f"is not what this secret can be; write {_right(schema)}"


def wrong(keyword: str, rule: Any, value: Any, schema: Schema) -> str:
    """The message for a value that breaks the ``rule`` of one ``keyword`` of its schema."""
    shown = quoted(value)
    match keyword:
        case "type":
            return f"{shown} is not {_type(value, rule, schema)}"
        case "pattern" | "multipleOf":
            return f"{shown} is not {_fitting(schema)}"
        case "enum":
            nearest = _nearest(value, rule) if isinstance(value, str) else ""
            return f"{shown} is not known; {nearest or 'write ' + _right(schema)}"
        case "const":
            return _const(value, rule)
        case "minimum" | "maximum":
            return f"{shown} is out of range; write {_right(schema)}"
        case "maxLength":
            longest = schema.get("x-longest", f"at most {rule} are allowed")
            return f"{shown} is {len(value.encode('utf-8', 'replace'))} bytes; {longest}"
        case "minItems":
            return f"the list is too short; write at least {rule} in it"
    return f"{shown} breaks the rule {keyword} {quoted(rule)}; write {_right(schema)}"


def _nearest(word: str, words: list[str]) -> str:
    close = _closest(word, words)
    return f"did you mean {quoted(close)}?" if close else ""


def _closest(word: str, words: list[str]) -> str:
    """The word of the list that ``word`` is a misspelling of, "" where none is close.

    Such a word has the same first letter: ``external`` is not ``internal``.
    """
    return _compared(word[:64], tuple(one for one in words if one[:1] == word[:1]))


@cache
def _compared(word: str, words: tuple[str, ...]) -> str:
    from difflib import get_close_matches  # takes 1 ms to import, and is needed only for mistakes

    swapped = (one for one in words if sorted(one) == sorted(word))
    return next(iter(get_close_matches(word, words, 1, cutoff=_LIKE)), "") or next(swapped, "")


def _const(value: Any, rule: Any) -> str:
    if value == str(rule):
        return f"{quoted(value)} is text; write {rule} without quotes"
    return f"{quoted(value)} is not known; this netrecon reads version {rule}"


def _type(value: Any, rule: Any, schema: Schema) -> str:
    """The type that ``value`` should have, and what to write."""
    if isinstance(rule, list):
        number = isinstance(value, bool) and "integer" in rule
        return _fitting(schema) if not number else f"{_head(schema)}; write {int(value)}"
    right = _right(schema)
    if rule == "boolean":
        right = _boolean(value)
    elif rule == "integer" and isinstance(value, str) and re.fullmatch(r"-?[1-9][0-9]{0,18}|0", value):
        right = f"{value} without quotes"
    elif rule == "string" and not isinstance(value, dict | list):
        right = _as_text(value, schema)
    elif rule == "array":
        right = 'each entry after "- "' if isinstance(value, dict) else f"[{shortened(value)}]"
    elif rule == "object":
        right = "its entries as KEY: VALUE"
    return f"{_NAMES[rule]}; write {right}"


def _boolean(value: Any) -> str:
    word = str(value).lower()
    if word in ("true", "false"):
        return f"{word} without quotes"
    return "false" if word in _FALSE else "true" if word in _TRUE else "true or false"


def _as_text(value: Any, schema: Schema) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    fits = re.search(schema.get("pattern", ""), text)
    return quoted(text) if fits else _right(schema)


def _right(schema: Schema) -> str:
    """What a valid value is, in words: ``x-expected``, else from enum, minimum, const or type."""
    if "x-expected" in schema:
        return str(schema["x-expected"])
    if "enum" in schema:
        *first, last = map(str, schema["enum"])
        return f"{', '.join(first)} or {last}"
    if "minimum" in schema:
        return f"{schema['minimum']} to {schema['maximum']}"
    if "const" in schema:
        return str(schema["const"])
    return _NAMES.get(str(schema.get("type")), "something else")


def _head(schema: Schema) -> str:
    return re.split(r", such as |: ", _right(schema))[0]


def _fitting(schema: Schema) -> str:
    """The text after "... is not": what the value should be, and an example where ``x-expected`` has one."""
    right = _right(schema)
    head = _head(schema)
    rest = right[len(head) :]
    if rest.startswith(", such as "):
        return f"{head}; write one{rest[1:]}"
    return f"{head}; {rest[2:]}" if rest else f"{head}; write {head}"
