"""How a plan shows what changes of an object; DeepDiff only looks inside lists and mappings, and where it can run."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from command import Netrecon
from pretended.seam import Pretended

from reconciler.cli import differences

ALLOWED: dict[str, Any] = {
    "bridges": {"br0": {"mtu": 1400}, "br1": {}, "br2": {}},
    "isolations": [{"link": "br0", "allow": ["br1"]}],
}
CHANGED: dict[str, Any] = {
    "bridges": {"br0": {"mtu": 1450}, "br1": {}, "br2": {}},
    "isolations": [{"link": "br0", "allow": ["br1", "br2"]}],
}


@pytest.fixture
def forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """An import of DeepDiff fails."""
    monkeypatch.delitem(sys.modules, "deepdiff", raising=False)
    monkeypatch.setitem(sys.modules, "deepdiff", None)


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """The file that describes the processor, of one without SSE4.2."""
    file = tmp_path / "cpuinfo"
    file.write_text("processor : 0\nflags\t\t: fpu sse sse2 ssse3 sse4_1\n")
    monkeypatch.setattr(differences, "_CPUINFO", str(file))
    monkeypatch.setattr(differences.os, "uname", lambda: type("Uname", (), {"machine": "x86_64"}))
    differences.can_look_inside.cache_clear()
    yield file
    differences.can_look_inside.cache_clear()


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ({"mtu": 1500, "up": False}, {"mtu": 1400, "up": True}, ["mtu: 1500 → 1400", "up: false → true"]),
        ({"master": None}, {"master": "br0"}, ["master: none → br0"]),
        ({"via": None}, {"via": ["10.0.0.1"]}, ["via: none → [10.0.0.1]"]),
        ({"allow": ["a", "b"]}, {"allow": ["a", "c"]}, ["allow: - b", "allow: + c"]),
        ({"allow": ("a",)}, {"allow": ("a", "c")}, ["allow: + c"]),
        ({"hop": {"via": "a", "weight": 1}}, {"hop": {"via": "b", "weight": 1}}, ["hop.via: a → b"]),
        ({"hops": [{"via": "a"}]}, {"hops": [{"via": "b"}]}, ["hops.0.via: a → b"]),
        ({"order": ["a", "b"]}, {"order": ["b", "a"]}, ["order: [a, b] → [b, a]"]),
        ({"mtu": 1500}, {"mtu": 1500}, []),
    ],
)
def test_lines(before: dict[str, Any], after: dict[str, Any], lines: list[str]) -> None:
    assert list(differences.lines(before, after)) == lines


def test_a_plan_of_plain_values_does_without_deepdiff(
    pretended: Pretended, netrecon: Netrecon, forbidden: None
) -> None:
    netrecon("apply", ALLOWED)
    mtu_only = CHANGED | {"isolations": ALLOWED["isolations"]}
    assert "mtu: 1400 → 1450" in netrecon("plan", "-v", mtu_only, code=2)
    netrecon("check", "-v", mtu_only, code=2)
    netrecon("apply", "-v", mtu_only)
    netrecon("delete", mtu_only)


def test_lists_are_shown_by_item(pretended: Pretended, netrecon: Netrecon) -> None:
    netrecon("apply", "-q", ALLOWED)
    assert "isolation br0  allow + br2" in netrecon("plan", CHANGED, code=2)


def nexthops(weight: int) -> dict[str, Any]:
    hops = [{"via": "10.0.0.2", "weight": weight}, {"via": "10.0.0.3"}]
    return {"bridges": {"br0": {"addresses": ["10.0.0.1/24"]}}, "routes": [{"to": "10.9.0.0/16", "nexthops": hops}]}


def test_nested_values_are_shown_by_part(pretended: Pretended, netrecon: Netrecon) -> None:
    netrecon("apply", "-q", nexthops(1))
    assert "nexthops.0.weight 1 → 5" in netrecon("plan", nexthops(5), code=2)


def test_without_sse4_2_nested_values_are_shown_whole(
    pretended: Pretended, netrecon: Netrecon, forbidden: None, processor: pathlib.Path
) -> None:
    """DeepDiff's compiled parts would end the process there, and no exception would tell."""
    netrecon("apply", "-q", nexthops(1))
    said = netrecon("apply", nexthops(5))
    assert "nexthops [{via: 10.0.0.2, dev: br0, weight: 1}, " in said
    assert " → [{via: 10.0.0.2, dev: br0, weight: 5}, " in said


@pytest.mark.parametrize(
    ("machine", "flags", "able"),
    [
        ("x86_64", "flags : fpu sse4_2 avx", True),
        ("x86_64", "flags : fpu sse4_1", False),
        ("i686", "", False),
        ("aarch64", "", True),
    ],
)
def test_the_processor_tells(
    machine: str, flags: str, able: bool, processor: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor.write_text(f"processor : 0\n{flags}\n")
    monkeypatch.setattr(differences.os, "uname", lambda: type("Uname", (), {"machine": machine}))
    assert differences.can_look_inside() is able
    processor.unlink()
    differences.can_look_inside.cache_clear()
    assert differences.can_look_inside() is (machine == "aarch64")
