"""What the schema cannot see is found, with place and words; situations are files of tests/cases/invalid/meaning."""

from __future__ import annotations

import json
import pathlib

import pytest

from reconciler.model.errors import InputError
from reconciler.run import load

CASES = sorted((pathlib.Path(__file__).parents[1] / "cases" / "invalid" / "meaning").glob("*.yaml"))


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_invalid(file: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = file.read_text().splitlines()
    expected = [row.removeprefix("# expect: ") for row in rows if row.startswith("# expect: ")]
    assert expected
    monkeypatch.chdir(file.parent)  # a message names the file as it was given
    with pytest.raises(InputError) as raised:
        load.load_one(file.name)
    found = [str(problem).removeprefix(f"{file.name}:") for problem in raised.value.problems]
    assert [line.replace(file.name, "F") for line in found] == expected


def test_there_are_cases() -> None:
    assert len(CASES) >= 20


def _found(tmp_path: pathlib.Path, data: dict[str, object]) -> list[str]:
    file = tmp_path / "t.yaml"
    file.write_text(json.dumps({"version": 1, "name": "lab", **data}))
    try:
        load.load_one(str(file))
    except InputError as error:
        return [problem.message for problem in error.problems]
    return []


@pytest.mark.parametrize("number", [1023, 1024])
def test_ports_of_a_bridge(tmp_path: pathlib.Path, number: int) -> None:
    veths = {f"v{n}": {"master": "br0", "peer": {"name": f"w{n}", "master": "br1"}} for n in range(1, number)}
    data = {"bridges": {"br0": {}, "br1": {}}, "veths": veths, "interfaces": {"eth1": {"master": "br0"}}}
    most = "br0 has 1024 ports; the kernel takes at most 1023 on one bridge, so spread them over several"
    assert _found(tmp_path, data) == ([most] if number > 1023 else [])


@pytest.mark.parametrize("number", [1023, 1024])
def test_ports_of_the_bridge_of_a_network(tmp_path: pathlib.Path, number: int) -> None:
    sandboxes = {f"s{n}": {"endpoints": {"web": {}}} for n in range(number)}
    data = {"networks": {"web": {"subnets": ["10.9.0.0/16"], "bridge": "br0"}}, "sandboxes": sandboxes}
    assert [text.partition(";")[0] for text in _found(tmp_path, data)] == ["br0 has 1024 ports"] * (number - 1023)


@pytest.mark.parametrize(
    ("prefix", "to", "most"), [("10.1.{}.{}", "192.0.2.0/24", 2000), ("fd00::{}:{}", "fd09::/64", 1142)]
)
def test_next_hops_of_a_route(tmp_path: pathlib.Path, prefix: str, to: str, most: int) -> None:
    """The kernel cannot list a route that is larger than one message, and fails at every later read."""
    for number in (most, most + 1):
        hops = [{"via": prefix.format(n // 200, n % 200 + 2)} for n in range(number)]
        data = {
            "bridges": {"br0": {"addresses": ["10.0.0.1/8", "fd00::1/64"]}},
            "routes": [{"to": to, "nexthops": hops}],
        }
        assert len(_found(tmp_path, data)) == number - most
