"""The cases of tests/cases/impact.yaml: their topologies, and what their plans must say."""

from __future__ import annotations

import copy
import pathlib
from typing import Any

import yaml

TABLE: dict[str, Any] = yaml.load(
    (pathlib.Path(__file__).parents[1] / "cases" / "impact.yaml").read_text(), yaml.CSafeLoader
)
CASES: dict[str, dict[str, Any]] = TABLE["cases"]
_WORDS = {"set", "by_hand", "disrupts", "calm", "flow", "size", "brief"}


def situation(case: dict[str, Any]) -> dict[str, Any]:
    """The case in the form of a situation (see situations.py)."""
    assert not case.keys() - _WORDS
    given = {"before": TABLE["before"], "given": TABLE["given"], "by_hand": case.get("by_hand", ())}
    return {**given, "wanted": changed(TABLE["given"], case["set"])}


def changed(topology: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """The topology with values by path; the dots of a sysctl are slashes in the path."""
    made = copy.deepcopy(topology)
    for path, value in values.items():
        *way, last = path.split(".")
        place = made
        for word in way:
            place = place.setdefault(word, {})
        if value is None:
            place.pop(last)
        else:
            place[last.replace("/", ".")] = value
    return made


def compare(document: dict[str, Any], case: dict[str, Any]) -> None:
    """The plan tells what the case says, and every disruptive change what it disrupts."""
    changes = {change["key"]: change for change in document["changes"]}
    told = {key: change.get("disrupts", "") for key, change in changes.items() if change["impact"] == "disruptive"}
    assert told == case.get("disrupts", {}), told
    assert {*case.get("calm", ())} <= changes.keys(), sorted(changes)
    assert all("disrupts" not in change for change in changes.values() if change["impact"] != "disruptive")
