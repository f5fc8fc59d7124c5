"""Checks plain data against the JSON Schema of the language: accepts fast, explains well."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from functools import cache
from itertools import islice
from typing import Any, NamedTuple, Protocol

from reconciler.language import explain
from reconciler.language.yaml_events import MAX_PROBLEMS
from reconciler.model.errors import Problem
from reconciler.model.keys import Origin
from reconciler.model.quoting import Path

ID = "urn:netrecon:topology:1"
_HERE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
# In a wheel; in a checkout.  (pathlib would take longer to import than all is to read.)
_FOLDERS = (f"{_HERE}/schemas", f"{os.path.dirname(_HERE)}/schemas")


class Document(Protocol):
    """A loaded file: its name, its data, and the place of any path in it."""

    @property
    def file(self) -> str: ...

    @property
    def data(self) -> Any: ...

    def place(self, path: Path) -> Origin: ...


class Fault(NamedTuple):
    """One thing that the schema finds wrong.

    ``keyword`` is JSON Schema's word for the rule that is broken, "unknown" for a key that is not in the language;
    ``meant`` is the key that an unknown one was probably to be, and that is not there itself.
    """

    path: Path
    message: str
    keyword: str
    meant: str = ""


def check(document: Document) -> list[Problem]:
    """All that the schema finds wrong, in the order of the file (at most MAX_PROBLEMS); empty when nothing is."""
    return sorted({Problem(document.place(fault.path), fault.message) for fault in faults(document)})


def faults(document: Document) -> Iterator[Fault]:
    """The same with the paths, in no order."""
    if _accepts(document.data):
        return
    found = (fault for error in _validator().iter_errors(document.data) for fault in _explained(error))
    yield from islice(found, MAX_PROBLEMS)


@cache
def bundle() -> dict[str, Any]:
    """The whole language as one JSON Schema (2020-12): topology.json with every fragment under ``$defs``.

    A fragment's ``properties`` are the keys that it adds to every scope, that is to each
    schema marked ``x-scope``: a new kind of object needs a new file and nothing else.
    """
    schemas = {name: _rewritten(name, schema) for name, schema in _fragments().items()}
    scopes = [schema for schema in schemas.values() if schema.pop("x-scope", False)]
    topology = schemas.pop("topology")
    for schema in schemas.values():
        schema.pop("$schema", None)
        if not any(schema is scope for scope in scopes):
            for scope in scopes:
                scope["properties"].update(schema.get("properties", {}))
            schema.pop("properties", None)
    head = {"$schema": topology.pop("$schema"), "$id": ID}
    return {**head, **topology, "$defs": schemas}


def _folder() -> str:
    return next((folder for folder in _FOLDERS if os.path.isfile(f"{folder}/topology.json")), _FOLDERS[0])


def _fragments() -> dict[str, dict[str, Any]]:
    folder = _folder()
    names = sorted(name.removesuffix(".json") for name in os.listdir(folder) if name.endswith(".json"))
    return {name: _fragment(f"{folder}/{name}.json") for name in names}


def _fragment(file: str) -> dict[str, Any]:
    with open(file, "rb") as opened:
        found: dict[str, Any] = json.loads(opened.read())
    return found


def _rewritten(name: str, node: Any) -> Any:
    """A fragment with its references as they read within the bundle."""
    if isinstance(node, list):
        return [_rewritten(name, item) for item in node]
    if not isinstance(node, dict):
        return node
    copy = {key: _rewritten(name, value) for key, value in node.items()}
    if isinstance(copy.get("$ref"), str):
        file, _, pointer = copy["$ref"].partition("#")
        copy["$ref"] = f"#/$defs/{file.removesuffix('.json') or name}{pointer}"
    return copy


def _accepts(data: Any) -> bool:
    try:
        return bool(_fast_validator().is_valid(data))
    except (ImportError, ValueError):  # not installed, or a value it cannot take: the other one decides
        return False


@cache
def _fast_validator() -> Any:
    """Compiled once: that takes longer than to check a small file, and a folder may have hundreds."""
    import jsonschema_rs

    return jsonschema_rs.validator_for(bundle())


def _validator() -> Any:
    from jsonschema import Draft202012Validator, ValidationError, validators

    def pattern(_all: Any, rule: str, instance: Any, _schema: Any) -> Iterator[ValidationError]:
        # JSON Schema's $ is the very end; Python's would let a newline pass behind it.
        if isinstance(instance, str) and not re.search(re.sub(r"\$$", r"\\Z", rule), instance):
            yield ValidationError(f"{instance!r} does not match {rule!r}")

    extended: Any = validators.extend(Draft202012Validator, {"pattern": pattern})  # type: ignore[no-untyped-call]
    return extended(bundle())


def _explained(error: Any) -> Iterator[Fault]:
    path: Path = tuple(error.absolute_path)
    steps = list(error.absolute_schema_path)
    schema: dict[str, Any] = error.schema if isinstance(error.schema, dict) else {}
    keyword, rule, value = str(error.validator), error.validator_value, error.instance
    if "propertyNames" in steps:
        path = (*path, value)
    if keyword == "additionalProperties":
        for key in value.keys() - schema["properties"].keys():
            meant = explain.nearest_key(key, schema)
            yield Fault((*path, key), explain.unknown_key(key, schema), "unknown", "" if meant in value else meant)
    elif keyword == "required":
        for key in [key for key in rule if key not in value]:
            yield Fault(path, explain.missing_key(key, _followed(schema["properties"][key])), keyword)
    elif value is None:
        yield Fault(path, explain.empty(schema, path, needed=_is_needed(steps)), keyword)
    elif _is_secret(steps):
        yield Fault(path, explain.secret(schema), keyword)
    else:
        yield Fault(path, explain.wrong(keyword, rule, value, schema), keyword)


def _followed(schema: Any) -> Any:
    """The schema that a reference leads to."""
    while "$ref" in schema:
        schema = _at(schema["$ref"].removeprefix("#/").split("/"))
    return schema


def _at(steps: list[Any]) -> Any:
    """The part of the bundle that a schema path leads to; references on the way are followed, and no steps."""
    node: Any = bundle()
    for step in steps:
        node = (node if not isinstance(node, dict) or step in node else _followed(node))[step]
    return node


def _is_secret(steps: list[Any]) -> bool:
    """Whether a schema on the way to this rule says that the value is not to be shown (``writeOnly``)."""
    nodes = (_at(steps[:end]) for end in range(len(steps)))
    return any(isinstance(node, dict) and node.get("writeOnly") is True for node in nodes)


def _is_needed(steps: list[Any]) -> bool:
    """Whether the value that a schema path speaks of is under a key that must be there."""
    while steps and steps[-1] != "properties":
        name = steps.pop()
    return bool(steps) and name in _followed(_at(steps[:-1])).get("required", ())
