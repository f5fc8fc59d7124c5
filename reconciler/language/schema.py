"""Checks plain data against the JSON Schema of the language: by a fast validator, then by one that gives reasons."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice
from typing import Any, Protocol

from reconciler import startup
from reconciler.language import explain
from reconciler.language.yaml_events import MAX_PROBLEMS
from reconciler.model.data import NamedTuple
from reconciler.model.errors import Problem
from reconciler.model.keys import Origin
from reconciler.model.quoting import Path

_LONG = 50  # entries of a mapping, items of a list
EXPLAINED = 50  # of the mistakes that break one rule
MAX_ALIKE = 100_000  # a hostile file could have millions
Rule = tuple[str, ...]  # the path of a rule in the schema
SAME = "the same mistake as at line"
_TOLD = ("title", "description", "default", "examples")  # what a schema tells people; it decides nothing
ID = "urn:netrecon:topology:1"
_HERE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
# In a wheel; in a checkout.  (Importing pathlib would take longer than reading all the files.)
_FOLDERS = (f"{_HERE}/schemas", f"{os.path.dirname(_HERE)}/schemas")


class Document(Protocol):
    """A loaded file: its name, its data, and the place in the file of any path."""

    @property
    def file(self) -> str: ...

    @property
    def data(self) -> Any: ...

    def place(self, path: Path) -> Origin: ...


class Fault(NamedTuple):
    """One violation of the schema.

    ``keyword`` is the JSON Schema keyword that is violated, "unknown" for a key that is not in the language.
    ``meant`` is the key that the user probably meant by an unknown one; "" if there is none or the file has it too.
    """

    path: Path
    message: str
    keyword: str
    meant: str = ""


def check(document: Document) -> list[Problem]:
    """All violations of the schema as problems, in the order of the file."""
    return sorted({Problem(document.place(fault.path), fault.message) for fault in faults(document)})


def faults(document: Document) -> Iterator[Fault]:
    """All violations of the schema with their paths, in no order, at most MAX_PROBLEMS and MAX_ALIKE.

    Of those that break one rule of the schema EXPLAINED are explained, which takes a millisecond each; the others are
    said to be like these.
    """
    if _accepts(document.data):
        return
    if isinstance(document.data, dict) and document.data.keys().isdisjoint(bundle()["properties"]):
        yield Fault(
            (), "this is no topology: it has none of its keys; start with version: 1 and name: NAME", "required"
        )
        return
    by_rule = _paths(document.data)
    first = [path for paths in by_rule.values() for path in paths[:EXPLAINED]]
    wrong = _validator().iter_errors(_reduced(document.data, first))
    explained = list(islice((fault for error in wrong for fault in _explained(error)), MAX_PROBLEMS))
    yield from explained
    yield from islice(_alike(document, by_rule, explained), MAX_ALIKE)


def _alike(
    document: Document, by_rule: Mapping[tuple[str, ...], list[Path]], explained: list[Fault]
) -> Iterator[Fault]:
    """The violations that are not explained."""
    for (*_, keyword), paths in by_rule.items():
        like = next((fault for fault in explained if _is_of(fault, paths[0], keyword)), None)
        if like is not None:
            line = document.place(like.path).line
            message = f"{SAME} {line}: {like.message}"
            yield from (Fault(path, message, like.keyword) for path in paths[EXPLAINED:])


@cache
def bundle() -> dict[str, Any]:
    """The whole language as one JSON Schema (2020-12): topology.json with every fragment under ``$defs``.

    The ``properties`` of a fragment are added to every scope, that is to each schema
    marked ``x-scope``: a new kind of object needs a new file and no other change.
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
        schema: dict[str, Any] = json.loads(opened.read())
    return schema


def _rewritten(name: str, node: Any) -> Any:
    """A fragment with its references rewritten for the bundle: ``link.json#/mtu`` to ``#/$defs/link/mtu``."""
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
    except (ImportError, ValueError):  # not installed, or a value that it cannot take: then jsonschema decides
        return False


def _paths(data: Any) -> dict[Rule, list[Path]]:
    """By violated rule of the schema (its path there), the paths in the data that violate it."""
    by_rule: dict[Rule, list[Path]] = {}
    with contextlib.suppress(ImportError, ValueError):
        for error in _fast_validator().iter_errors(data):
            by_rule.setdefault(tuple(map(str, error.schema_path)), []).append(tuple(error.instance_path))
    return by_rule


def _is_of(fault: Fault, path: Path, keyword: str) -> bool:
    """Whether a fault is the violation of the keyword at a path; the path of a key that is wrong itself is longer."""
    if keyword == "additionalProperties":
        return fault.keyword == "unknown" and fault.path[:-1] == path
    return fault.keyword == keyword and path in (fault.path, fault.path[:-1])


def _reduced(data: Any, wrong: list[Path]) -> Any:
    """The data without most of what is right in it: jsonschema takes 1 ms for each entry."""
    if not wrong:
        return data
    return _with_faults(data, {path[:length] for path in wrong for length in range(len(path) + 1)}, set(wrong), ())


def _with_faults(data: Any, above: set[Path], wrong: set[Path], path: Path) -> Any:
    """The data with what is wrong or lies above it; a mapping that is wrong itself is kept whole.

    A long list ends with its last item that is wrong, so that the items before keep their places.
    """
    if path not in above or not isinstance(data, dict | list):
        return data
    if isinstance(data, list):
        long = len(data) > _LONG and path not in wrong
        end = max((index + 1 for index in range(len(data)) if (*path, index) in above), default=0) if long else None
        return [_with_faults(item, above, wrong, (*path, index)) for index, item in enumerate(data[:end])]
    long = len(data) > _LONG and path not in wrong
    kept = {key: value for key, value in data.items() if not long or (*path, key) in above}
    return {key: _with_faults(value, above, wrong, (*path, key)) for key, value in kept.items()}


@cache
def _fast_validator() -> Any:
    """jsonschema_rs's validator, compiled once: that takes longer than checking a small file."""
    return startup.jsonschema_rs().validator_for(_deciding(bundle()))


def _deciding(schema: Any) -> Any:
    """A schema without what it only tells people, which takes two thirds of the time to compile it."""
    if isinstance(schema, list):
        return [_deciding(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {word: rule for word, rule in schema.items() if word not in _TOLD}
    words = {word: _deciding(rule) for word, rule in kept.items() if word not in ("properties", "$defs")}
    return words | {
        word: {name: _deciding(one) for name, one in schema[word].items()}
        for word in ("properties", "$defs")
        if word in schema
    }


def _validator() -> Any:
    from jsonschema import Draft202012Validator, ValidationError, validators

    def pattern(_all: Any, rule: str, instance: Any, _schema: Any) -> Iterator[ValidationError]:
        # In JSON Schema $ matches only at the end; in Python also before a final newline.
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
        for key in explain.unknown_keys(value, schema):
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
    """The schema itself, or the one that its ``$ref`` leads to."""
    while "$ref" in schema:
        schema = _at(schema["$ref"].removeprefix("#/").split("/"))
    return schema


def _at(steps: list[Any]) -> Any:
    """The part of the bundle at a schema path; references on the way are followed without a step of their own."""
    node: Any = bundle()
    for step in steps:
        node = (node if not isinstance(node, dict) or step in node else _followed(node))[step]
    return node


def _is_secret(steps: list[Any]) -> bool:
    """Whether a schema on the way to this rule has ``writeOnly``: the value is secret."""
    nodes = (_at(steps[:end]) for end in range(len(steps)))
    return any(isinstance(node, dict) and node.get("writeOnly") is True for node in nodes)


def _is_needed(steps: list[Any]) -> bool:
    """Whether the value at a schema path has a required key."""
    while steps and steps[-1] != "properties":
        name = steps.pop()
    return bool(steps) and name in _followed(_at(steps[:-1])).get("required", ())
