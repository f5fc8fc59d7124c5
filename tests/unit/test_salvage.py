"""What the schema finds and what it cannot see, told at once; what had to be left out raises no false alarm."""

from __future__ import annotations

import copy
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from reconciler.cli import as_json, problem_lines
from reconciler.language import document, partial_check, schema
from reconciler.model.errors import InputError, Problem
from reconciler.planning import topology
from reconciler.run import load

HERE = pathlib.Path(__file__).parents[1]
CASES = sorted((HERE / "cases" / "invalid" / "mixed").glob("*.yaml"))
EXAMPLES = sorted((HERE.parent / "topologies").glob("*.yaml"))
Path = tuple[str | int, ...]


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_all_problems_are_told_at_once(file: pathlib.Path) -> None:
    expected = [
        line.removeprefix("# expect: ") for line in file.read_text().splitlines() if line.startswith("# expect")
    ]
    with pytest.raises(InputError) as raised:
        load.load_one(str(file))
    found = [str(problem).removeprefix(f"{file}:") for problem in raised.value.problems]
    assert len(found) == len(expected), found
    for line, start in zip(found, expected, strict=True):
        assert line.startswith(start)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_one_wrong_value_is_one_problem(file: pathlib.Path) -> None:
    whole = yaml.safe_load(file.read_text())
    for path in paths(whole):
        broken = copy.deepcopy(whole)
        at(broken, path[:-1])[path[-1]] = [["nonsense"]]
        assert alarms(broken) == [], path


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_one_misspelt_key_is_one_problem(file: pathlib.Path) -> None:
    whole = yaml.safe_load(file.read_text())
    for path in paths(whole):
        broken = copy.deepcopy(whole)
        parent = at(broken, path[:-1])
        if isinstance(parent, dict):
            parent[f"{path[-1]}x"] = parent.pop(path[-1])
            if unknown(broken):  # else it is a name of the user's own: another topology, and a valid one perhaps
                assert alarms(broken) == [], path


def paths(node: Any, path: Path = ()) -> Iterator[Path]:
    entries = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in entries:
        yield (*path, key)
        yield from paths(value, (*path, key))


def at(node: Any, path: Path) -> Any:
    for part in path:
        node = node[part]
    return node


def loaded(data: Any) -> document.Document:
    return document.load("broken.yaml", json.dumps(data).encode())


def unknown(data: Any) -> bool:
    return any(fault.keyword == "unknown" for fault in schema.faults(loaded(data)))


def alarms(data: Any) -> list[str]:
    """What is said beyond the schema's own words."""
    return [str(problem) for problem in partial_check.problems(loaded(data), topology.problems)]


# ------------------------------------------------------------------ many equal mistakes, names that are too long


def problems_of(tmp_path: pathlib.Path, text: str) -> list[Problem]:
    file = tmp_path / "lab.yaml"
    file.write_text(f"version: 1\nname: lab\n{text}\n")
    with pytest.raises(InputError) as raised:
        load.load([str(file)])
    return raised.value.problems


@pytest.mark.parametrize(
    ("entry", "each"),
    [
        ('"{port}:10.0.0.300:80"', 1),
        ('{{listen: "{port}", targett: "10.0.0.3:80"}}', 2),
        ('{{listen: "{port}", target: 7}}', 1),
    ],
)
def test_of_equal_mistakes_fifty_are_told_and_all_are_in_json(tmp_path: pathlib.Path, entry: str, each: int) -> None:
    items = "\n".join("  - " + entry.format(port=10000 + number) for number in range(300))
    found = problems_of(tmp_path, f"port_maps:\n{items}")
    lines = list(problem_lines.lines(found))
    assert len(found) == 300 * each
    assert len(lines) == 51 * each
    assert all("lab.yaml: 250 more, the last at line 303; --json lists all: " in line for line in lines[50 * each :])
    assert len(as_json.errors("validate", found)["errors"]) == 300 * each


def test_mistakes_of_several_kinds_are_told_each(tmp_path: pathlib.Path) -> None:
    items = "\n".join(f"  - {10000 + number}:10.0.0.3:80" for number in range(299))
    found = problems_of(tmp_path, f"port_maps:\n{items}\n  - 10000:10.0.0.4:80\nroutes: [{{to: default}}]")
    assert [problem.origin.line for problem in found] == [303, 304]


def test_a_name_that_is_too_long_hides_no_other_mistake(tmp_path: pathlib.Path) -> None:
    found = problems_of(
        tmp_path,
        "bridges: {averyveryverylongname: {}}\n"
        "routes: [{to: 10.0.0.0/8, dev: nosuch}]\n"
        "veths: {v0: {master: averyveryverylongname, peer: {name: eth0, namespace: nons}}}",
    )
    assert [problem.origin.dotted for problem in found] == [
        "bridges.averyveryverylongname",
        "routes[0].dev",
        "veths.v0.master",
        "veths.v0.peer.namespace",
    ]
