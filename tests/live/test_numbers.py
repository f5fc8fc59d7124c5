"""Every number of the language over its whole range: what validate takes, apply makes, and then nothing is left to do.

The schema has the numbers, and the situations show where each can stand: a new kind joins by its schema and its cases.
"""

from __future__ import annotations

import copy
import json
import os
import pathlib
import random
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import pytest
import yaml
from abilities import skip_without
from situations import CASES, read
from throwaway import sh

from reconciler.cli import main
from reconciler.language import schema

pytestmark = pytest.mark.live
Path = tuple[str | int, ...]

LOWERING = sorted((pathlib.Path(__file__).parents[1] / "cases" / "lowering").glob("*.yaml"))
PLACES = int(os.environ.get("NETRECON_PLACES", "1"))  # in how many situations each number is tried
NEEDING = {"needs", "needs_bridge_option"}
DRAWN = int(os.environ.get("NETRECON_EXAMPLES", "40")) // 20  # how many values are drawn beside the odd ones


class Number(NamedTuple):
    """A word of the schema that takes an integer: the definition that it belongs to, and its range."""

    form: str
    word: str
    least: int
    most: int
    step: int

    def __str__(self) -> str:
        return f"{self.form}.{self.word}"

    @property
    def values(self) -> list[int]:
        """The ends of the range, what is near them, and some drawn ones, in no order; the same each time."""
        least, most = self.least, self.most
        near = {least, least + 1, (least + most) // 2 | 1, most - 1, most}
        drawn = random.Random(str(self))
        for _ in range(DRAWN):
            near |= {drawn.randint(least, min(most, least + 5000))}
        values = sorted({value // self.step * self.step for value in near})
        drawn.shuffle(values)
        return [value for value in values if least <= value <= most]


class Case(NamedTuple):
    """A topology with its situation, and the places where objects of each definition stand in it."""

    situation: dict[str, Any]
    topology: dict[str, Any]
    places: tuple[tuple[str, Path], ...]


# ------------------------------------------------------------------ the numbers of the schema


def followed(node: Any) -> Any:
    """The schema that a reference leads to, with the words beside the reference."""
    while "$ref" in node:
        target: Any = schema.bundle()
        for step in node["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    return node


def forms() -> Iterator[tuple[str, Any]]:
    """All definitions of objects, by name."""
    for file, fragment in schema.bundle()["$defs"].items():
        for name, node in fragment.get("$defs", {}).items():
            if "properties" in node:
                yield f"{file}.{name}", node


def numbers() -> list[Number]:
    found = []
    for form, node in forms():
        for word, value in node["properties"].items():
            rule = followed(value)
            types = rule.get("type", ())
            if "integer" in ([types] if isinstance(types, str) else types):
                found.append(Number(form, word, rule["minimum"], rule["maximum"], rule.get("multipleOf", 1)))
    return found


# ------------------------------------------------------------------ where they can stand


@cache
def cases() -> list[Case]:
    """The situations in which a topology is applied, the smallest first."""
    return sorted((case for case in _cases() if case.places), key=lambda case: len(json.dumps(case.topology)))


def _cases() -> Iterator[Case]:
    for path in CASES:
        situation = read(path)
        if not situation.keys() & {"by_hand", "refused", "options", "delete"}:
            word = "given" if "before" not in situation and "given" in situation else "wanted"
            topology = situation.get(word, situation.get("given", {}))
            if isinstance(topology, dict):  # not several topologies
                yield _case(situation, topology)
    for path in LOWERING:
        lowering = yaml.load(path.read_text(), yaml.CSafeLoader)
        if lowering.keys() <= {"given", "becomes"}:
            yield _case({}, yaml.load(lowering["given"], yaml.CSafeLoader))


def _case(situation: dict[str, Any], topology: dict[str, Any]) -> Case:
    whole = {"version": 1, "name": "case", **topology}
    return Case(situation, whole, tuple(instances(schema.bundle(), whole)))


def instances(node: Any, data: Any, path: Path = (), name: str = "") -> Iterator[tuple[str, Path]]:
    """The places in a document where an object of a definition stands, with the definition's name."""
    name = str(node.get("$ref", name)).removeprefix("#/$defs/").replace("/$defs/", ".")
    node = followed(node)
    if isinstance(data, dict):
        yield name, path
        for key, value in data.items():
            inner = node.get("properties", {}).get(key, node.get("additionalProperties"))
            if isinstance(inner, dict):
                yield from instances(inner, value, (*path, key))
    elif isinstance(data, list) and isinstance(node.get("items"), dict):
        for place, value in enumerate(data):
            yield from instances(node["items"], value, (*path, place))


def at(data: Any, path: Path) -> Any:
    for step in path:
        data = data[step]
    return data


def places(form: str, word: str = "") -> list[tuple[Case, Path]]:
    """Where objects of a definition stand; first those that have the word."""
    there = [(case, path) for case in cases() for name, path in case.places if name == form]
    return sorted(there, key=lambda place: word not in at(place[0].topology, place[1]))


# ------------------------------------------------------------------ tried


class Trial:
    """netrecon, called with one file."""

    def __init__(self, folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.file, self.capsys = folder / "topology.yaml", capsys

    def run(self, *words: str) -> tuple[int, str]:
        self.capsys.readouterr()
        code = main.main([*words, str(self.file)])
        return code, "".join(self.capsys.readouterr())

    def takes(self, topology: dict[str, Any]) -> bool:
        self.file.write_text(json.dumps(topology))
        return self.run("validate")[0] == 0

    def holds(self, topology: dict[str, Any], what: str, anew: bool = False) -> bool:
        """Whether validate takes the topology; if so the kernel must hold it, and nothing may be left to do."""
        if not self.takes(topology):
            return False
        if anew:
            assert self.run("delete", "-q", "--force")[0] == 0
        for command in (["apply", "-q", "--force"], ["check", "-v"]):
            code, told = self.run(*command)
            assert code == 0, f"{what}: {command[0]}: exit {code}: {told}"
        return True


def test_every_number_has_a_place() -> None:
    assert [str(number) for number in numbers() if not places(number.form)] == []


@pytest.mark.parametrize("number", numbers(), ids=str)
def test_what_validate_takes_apply_holds(
    number: Number, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], fresh_host: Any
) -> None:
    trial = Trial(tmp_path, capsys)
    tried = 0
    for case, path in places(number.form, number.word):
        wanted = copy.deepcopy(case.topology)
        taken = []
        for value in number.values:
            at(wanted, path)[number.word] = value
            taken += [value] if trial.takes(wanted) else []
        if not taken or tried == PLACES:
            continue
        skip_without(case.situation)
        tried += 1
        with fresh_host():
            for command in case.situation.get("before", ()):
                sh(command)
            for turn, value in enumerate(taken):
                at(wanted, path)[number.word] = value
                assert trial.holds(wanted, f"{number} {value}", anew=turn % 3 == 2)
    assert tried, f"validate takes no value of {number} in any situation"


@pytest.mark.parametrize("form", sorted({number.form for number in numbers()}))
def test_all_numbers_of_an_object_at_once(
    form: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], fresh_host: Any
) -> None:
    """With its switches on and off: no value may depend on another in a way that validate does not know."""
    trial, drawn = Trial(tmp_path, capsys), random.Random(form)
    there = [(case, path) for case, path in places(form) if not case.situation.keys() & NEEDING]
    known = {word for case, path in there for word in at(case.topology, path)}  # others: not every kernel has them
    able = [number for number in numbers() if number.form == form and number.word in known]
    switches = [word for word in known if followed(dict(forms())[form]["properties"][word]).get("type") == "boolean"]
    held = 0
    for case, path in there[:: 1 + len(there) // (2 * DRAWN)]:
        with fresh_host():
            for command in case.situation.get("before", ()):
                sh(command)
            for _ in range(3):
                wanted = copy.deepcopy(case.topology)
                entry = at(wanted, path)
                entry |= {number.word: drawn.choice(number.values) for number in able if drawn.random() < 0.5}
                entry |= {word: drawn.random() < 0.5 for word in sorted(switches) if drawn.random() < 0.5}
                held += trial.holds(wanted, f"{path}: {entry}")
    assert held
