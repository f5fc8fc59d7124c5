"""Situations as data: what is there, what is wanted, what the plan must say, and what ip and nft show after it.

A case is a YAML file in tests/cases/situations/<kind>/<situation>.yaml:

before:   commands run first of all (optional)
given:    a topology applied then (optional)
by_hand:  commands run after that (optional)
wanted:   the topology under test; absent: the given one.  It and ``given`` may be lists of topologies for one run;
          each must be in sync alone too
delete:   true: delete it instead of applying it
options:  extra arguments of plan and apply, such as --adopt
plan:     the plan's lines, "action key [attribute...]", in any order; [] for nothing to do
impact:   the plan's impacts by key, where they matter
ordered:  true: the lines are in the order in which they run
losses:   keys of what is not the run's and goes with the plan; with " gone" behind it where it is not put back
refused:  in place of plan: parts of the messages with which plan and apply (or delete) exit 1, nothing changed
verify:   commands with what their output must hold: ``has`` or ``lacks`` (a part of the JSON), ``text`` or
          ``no_text``; ``fails``: the command must fail
needs:    a link type that the kernel must know, or the test is skipped
needs_bridge_option: an option of "ip link add type bridge" that the kernel must take, or the test is skipped

Every case runs twice: on a pretended kernel (tests/unit) and on the real one (tests/live).
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from reconciler.cli import main

FOLDER = pathlib.Path(__file__).parents[1] / "cases" / "situations"
WORDS = {
    *"before given by_hand wanted delete options plan impact ordered losses refused verify".split(),
    *("needs", "needs_bridge_option"),
}
NOT_PRETENDED = "not pretended"  # why a case is left to the live tests
CASES = sorted(FOLDER.glob("*/*.yaml"))


def name_of(path: pathlib.Path) -> str:
    return f"{path.parent.name}-{path.stem}"


def read(path: pathlib.Path) -> dict[str, Any]:
    case: dict[str, Any] = yaml.load(path.read_text(), yaml.CSafeLoader)
    unknown = set(case) - WORDS
    assert not unknown, f"{path.name} has {unknown}"
    return case


@dataclass
class Situation:
    """One case on one kernel: ``by_hand`` runs a command there, ``picture`` shows all that could change."""

    case: dict[str, Any]
    folder: pathlib.Path
    capsys: pytest.CaptureFixture[str]
    by_hand: Callable[[str], object]
    picture: Callable[[], dict[str, Any]]

    @property
    def options(self) -> list[str]:
        return list(self.case.get("options", ()))

    def prepare(self) -> str:
        """Bring the kernel to where the case begins; the file of the topology under test."""
        for command in self.case.get("before", ()):
            self.by_hand(command)
        if "given" in self.case:
            adopt = ["--adopt"] if self.case.get("delete") and "--adopt" in self.options else []
            code, out, err = self.run("apply", "-q", *adopt, self.written("given", self.case["given"]))
            assert code == 0, out + err
        for command in self.case.get("by_hand", ()):
            self.by_hand(command)
        return self.written("wanted", self.case.get("wanted", self.case.get("given")))

    def attempt(self, file: str) -> None:
        """Do what the case is about, and compare."""
        if "refused" in self.case:
            self.refuse(file)
        elif self.case.get("delete"):
            self.delete(file)
        else:
            self.converge(file)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        self.capsys.readouterr()
        code = main.main(list(arguments))
        out, err = self.capsys.readouterr()
        return code, out, err

    def written(self, name: str, topology: dict[str, Any] | list[dict[str, Any]]) -> str:
        """The file of a topology, or the folder of several."""
        if isinstance(topology, list):
            (self.folder / name).mkdir(exist_ok=True)
            for number, one in enumerate(topology):
                self.written(f"{name}/{number}", one)
            return str(self.folder / name)
        path = self.folder / f"{name}.yaml"
        path.write_text(json.dumps({"version": 1, "name": "case", **topology}))  # JSON is YAML
        return str(path)

    def converge(self, file: str) -> None:
        before = self.picture()
        code, out, err = self.run("plan", "--json", *self.options, file)
        assert code == (2 if self.case["plan"] else 0), out + err
        compare(json.loads(out), self.case)
        assert self.picture() == before, "plan changed something"
        code, out, err = self.run("apply", "--json", *self.options, file)
        assert code == 0, out + err
        compare(json.loads(out), self.case)
        assert json.loads(out)["result"]["verified"]
        for one in (file, *map(str, sorted(pathlib.Path(file).glob("*.yaml")))):
            code, out, err = self.run("check", "-v", one)
            assert code == 0, out + err

    def delete(self, file: str) -> None:
        code, out, err = self.run("delete", "--json", *self.options, file)
        assert code == 0, out + err
        compare(json.loads(out), self.case)
        assert json.loads(out)["result"]["verified"]
        code, out, err = self.run("list", "--json")
        assert json.loads(out)["topologies"] == []

    def refuse(self, file: str) -> None:
        before = self.picture()
        for command in ("delete",) if self.case.get("delete") else ("plan", "apply"):
            options = () if command == "delete" else self.options
            code, out, err = self.run(command, *options, file)
            if command == "plan" and not err:  # the file is right, the host is in the way: the plan is shown
                assert code == 2, out
                err = out
            else:
                assert code == 1, out + err
            for part in self.case["refused"]:
                assert part in err, err
            assert self.picture() == before, f"{command} changed something"


def compare(document: dict[str, Any], case: dict[str, Any]) -> None:
    found = [line(change) for change in document["changes"]]
    expected = case["plan"]
    if not case.get("ordered"):
        found, expected = sorted(found), sorted(expected)
    assert found == expected
    listed = document.get("losses", ())
    losses = sorted(one["key"] if one["restored"] else f"{one['key']} gone" for one in listed)
    assert losses == sorted(case.get("losses", losses))
    impacts = {change["key"]: change["impact"] for change in document["changes"]}
    assert {key: impacts.get(key) for key in case.get("impact", {})} == case.get("impact", {})


def line(change: dict[str, Any]) -> str:
    names = sorted({*(change["before"] or {}), *(change["after"] or {})})
    shown = names if change["action"] in ("update", "replace") else []
    return " ".join([change["action"], change["key"], *shown])


def holds(whole: Any, part: Any) -> bool:
    """Whether a JSON value holds another: mappings by key, a list's items anywhere in the list."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and holds(whole[key], value) for key, value in part.items())
    if isinstance(part, list):
        return isinstance(whole, list) and all(any(holds(one, item) for one in whole) for item in part)
    return bool(whole == part)
