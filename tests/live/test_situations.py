"""Situations as data: what is there, what is wanted, what the plan must say, and what ip and nft show after it.

A case is a YAML file in tests/cases/situations/<kind>/<situation>.yaml:

before:   commands run first of all (optional)
given:    a topology applied then (optional)
by_hand:  commands run after that (optional)
wanted:   the topology under test; absent: the given one
delete:   true: delete it instead of applying it
options:  extra arguments of plan and apply, such as --adopt
plan:     the plan's lines, "action key [attribute...]", in any order; [] for nothing to do
impact:   the plan's impacts by key, where they matter
ordered:  true: the lines are in the order in which they run
losses:   keys of what is not the run's, goes along with the plan and is put back
refused:  in place of plan: parts of the messages with which plan and apply exit 1, nothing changed
verify:   commands with what their output must hold: ``has`` or ``lacks`` (a part of the JSON), ``text`` or
          ``no_text``; ``fails``: the command must fail
needs:    a link type that the kernel must know, or the test is skipped
needs_bridge_option: an option of "ip link add type bridge" that the kernel must take, or the test is skipped
"""

from __future__ import annotations

import json
import pathlib
import subprocess
from typing import Any

import pytest
import yaml
from snapshot import differences, snapshot

from reconciler.cli import main

FOLDER = pathlib.Path(__file__).parents[1] / "cases" / "situations"
WORDS = {
    *"before given by_hand wanted delete options plan impact ordered losses refused verify".split(),
    *("needs", "needs_bridge_option"),
}
CASES = sorted(FOLDER.glob("*/*.yaml"))


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main.main(list(arguments))
    out, err = capsys.readouterr()
    return code, out, err


def holds(whole: Any, part: Any) -> bool:
    """Whether a JSON value holds another: mappings by key, a list's items anywhere in the list."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and holds(whole[key], value) for key, value in part.items())
    if isinstance(part, list):
        return isinstance(whole, list) and all(any(holds(one, item) for one in whole) for item in part)
    return bool(whole == part)


def line(change: dict[str, Any]) -> str:
    names = sorted({*(change["before"] or {}), *(change["after"] or {})})
    shown = names if change["action"] in ("update", "replace") else []
    return " ".join([change["action"], change["key"], *shown])


@pytest.mark.live
@pytest.mark.parametrize("path", CASES, ids=[f"{path.parent.name}-{path.stem}" for path in CASES])
def test_situation(path: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = yaml.safe_load(path.read_text())
    unknown = set(case) - WORDS
    assert not unknown, f"{path.name} has {unknown}"
    skip_without(case)
    by_hand(case.get("before", ()))
    if "given" in case:
        code, out, err = run(capsys, "apply", "-q", written(tmp_path, "given", case["given"]))
        assert code == 0, out + err
    by_hand(case.get("by_hand", ()))
    file = written(tmp_path, "wanted", case.get("wanted", case.get("given")))
    if "refused" in case:
        refuse(capsys, case, file)
    elif case.get("delete"):
        delete(capsys, case, file)
    else:
        converge(capsys, case, file)
    for entry in case.get("verify", ()):
        verify(entry)


def by_hand(commands: list[str]) -> None:
    for command in commands:
        subprocess.run(command, shell=True, check=True)


def converge(capsys: pytest.CaptureFixture[str], case: dict[str, Any], file: str) -> None:
    options = case.get("options", [])
    before = snapshot()
    code, out, err = run(capsys, "plan", "--json", *options, file)
    assert code == (2 if case["plan"] else 0), out + err
    compare(json.loads(out), case)
    same(before, "plan")
    code, out, err = run(capsys, "apply", "--json", *options, file)
    assert code == 0, out + err
    compare(json.loads(out), case)
    assert json.loads(out)["result"]["verified"]
    code, out, err = run(capsys, "check", "-v", file)
    assert code == 0, out + err


def same(before: dict[str, Any], command: str) -> None:
    now = snapshot()
    assert differences(before, now) == [], f"{command} changed something"


def delete(capsys: pytest.CaptureFixture[str], case: dict[str, Any], file: str) -> None:
    code, out, err = run(capsys, "delete", "--json", *case.get("options", []), file)
    assert code == 0, out + err
    compare(json.loads(out), case)
    assert json.loads(out)["result"]["verified"]
    code, out, err = run(capsys, "list", "--json")
    assert json.loads(out)["topologies"] == []


def refuse(capsys: pytest.CaptureFixture[str], case: dict[str, Any], file: str) -> None:
    before = snapshot()
    for command in ("plan", "apply"):
        code, out, err = run(capsys, command, *case.get("options", []), file)
        assert code == 1, out + err
        for part in case["refused"]:
            assert part in err, err
        same(before, command)


def compare(document: dict[str, Any], case: dict[str, Any]) -> None:
    found = [line(change) for change in document["changes"]]
    expected = case["plan"]
    if not case.get("ordered"):
        found, expected = sorted(found), sorted(expected)
    assert found == expected
    losses = sorted(one["key"] for one in document.get("losses", ()) if one["restored"])
    assert losses == sorted(case.get("losses", losses))
    impacts = {change["key"]: change["impact"] for change in document["changes"]}
    assert {key: impacts.get(key) for key in case.get("impact", {})} == case.get("impact", {})


def written(folder: pathlib.Path, name: str, topology: dict[str, Any]) -> str:
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps({"version": 1, "name": "case", **topology}))  # JSON is YAML
    return str(path)


def verify(entry: dict[str, Any]) -> None:
    done = subprocess.run(entry["run"], shell=True, capture_output=True, text=True, check="fails" not in entry)
    if "fails" in entry:
        assert done.returncode != 0, f"{entry['run']} was to fail: {done.stdout}"
    if "has" in entry:
        assert holds(json.loads(done.stdout or "[]"), entry["has"]), f"{entry['run']}: {done.stdout}"
    if "lacks" in entry:
        assert not holds(json.loads(done.stdout or "[]"), entry["lacks"]), f"{entry['run']}: {done.stdout}"
    if "text" in entry:
        assert entry["text"] in done.stdout, f"{entry['run']}: {done.stdout}"
    if "no_text" in entry:
        assert entry["no_text"] not in done.stdout, f"{entry['run']}: {done.stdout}"


def skip_without(case: dict[str, Any]) -> None:
    if "needs" in case:
        missing(f"type {case['needs']}", case["needs"])
    if "needs_bridge_option" in case:
        missing(f"type bridge {case['needs_bridge_option']}", f"bridge option {case['needs_bridge_option']}")


def missing(words: str, what: str) -> None:
    made = subprocess.run(f"ip link add probe0 {words}", shell=True, capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"this kernel has no {what}: {made.stderr.strip()}")
    subprocess.run("ip link del probe0", shell=True, check=True)
