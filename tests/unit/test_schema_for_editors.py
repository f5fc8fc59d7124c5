"""The schema as editors use it: each key says what it is, what its absence means, and how it is written."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from command import Netrecon

from reconciler.language import schema

BUNDLE = schema.bundle()


def followed(node: dict[str, Any]) -> dict[str, Any]:
    """The node with what its references say; what it says itself counts more."""
    while "$ref" in node:
        at: Any = BUNDLE
        for step in node["$ref"].removeprefix("#/").split("/"):
            at = at[step]
        node = {**at, **{word: value for word, value in node.items() if word != "$ref"}}
    return node


def keys(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Each key of the language, once for each place in the schema: (its path, its schema, whether it is required)."""
    if isinstance(node, dict):
        for name, entry in node.get("properties", {}).items():
            yield f"{path}.{name}".lstrip("."), followed(entry), name in node.get("required", ())
        for word, part in node.items():
            yield from keys(part, path if word in ("properties", "$defs", "items") else f"{path}.{word}")
    elif isinstance(node, list):
        for part in node:
            yield from keys(part, path)


KEYS = {path: (entry, required) for path, entry, required in keys(BUNDLE)}


@pytest.mark.parametrize("path", KEYS)
def test_each_key_tells_people_what_it_is(path: str) -> None:
    entry, required = KEYS[path]
    assert re.match(r"\W?\w.*\.$", entry["description"])
    assert required or "default" in entry or "Absent: " in entry["description"]
    assert entry["examples"]


@pytest.mark.parametrize("path", KEYS)
def test_each_default_and_example_is_one(path: str) -> None:
    entry, _ = KEYS[path]
    own = {word: value for word, value in entry.items() if word not in ("default", "examples")}
    validator = jsonschema.Draft202012Validator({**own, "$defs": BUNDLE["$defs"]})
    for value in [*entry["examples"], *([entry["default"]] if "default" in entry else [])]:
        assert [error.message for error in validator.iter_errors(value)] == []


def test_the_schema_in_a_file_is_the_one_printed(netrecon: Netrecon, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "netrecon.schema.json"
    assert netrecon("schema", "--output", str(file)) == ""
    assert json.loads(file.read_text()) == json.loads(netrecon("schema")) == BUNDLE


def test_a_file_that_cannot_be_written_is_one_line(netrecon: Netrecon) -> None:
    assert netrecon("schema", "--output", "/nonexistent/x", code=1).count("\n") == 1
