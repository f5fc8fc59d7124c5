"""A Docker Compose file becomes a topology; situations are pairs of files in tests/cases/compose.

NAME.yaml is the Compose file, each line of what is left out is in a comment "# left: ..." at its top; NAME.expected is
what is printed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.cli import main, yaml_writer
from reconciler.language import document, schema
from reconciler.language.compose import convert

CASES = sorted((Path(__file__).parents[1] / "cases" / "compose").glob("*.yaml"))


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_compose_file(file: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main.main(["import", "compose", str(file)]) == 0
    out, err = capsys.readouterr()
    left = [line.removeprefix("# left: ") for line in file.read_text().splitlines() if line.startswith("# left: ")]
    assert [line.removeprefix(f"{file}:") for line in err.splitlines()] == left
    assert out == file.with_suffix(".expected").read_text()
    (tmp_path / "topology.yaml").write_text(out)
    assert main.main(["validate", str(tmp_path / "topology.yaml")]) == 0, capsys.readouterr()


def test_there_are_cases() -> None:
    assert len(CASES) >= 5


def test_json_has_both(capsys: pytest.CaptureFixture[str]) -> None:
    file = next(one for one in CASES if one.stem == "what_has_no_equivalent")
    assert main.main(["import", "compose", "--json", str(file)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["topology"]["version"] == 1
    assert {one["path"] for one in found["left_out"]} >= {"services.web", "networks.back.driver"}


def test_a_project_without_a_name_is_called_as_its_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "1_My.Shop"
    folder.mkdir()
    (folder / "compose.yaml").write_text("services: {a: {}}\n")
    assert main.main(["import", "compose", str(folder / "compose.yaml")]) == 0
    assert "name: p-1-myshop\n" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "- a\n", "services: [\n", "services: {a: {}, a: {}}\n"])
def test_what_is_no_compose_file(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "compose.yaml").write_text(text)
    assert main.main(["import", "compose", str(tmp_path / "compose.yaml")]) == 1
    assert "compose.yaml" in capsys.readouterr().err


leaf = st.one_of(st.none(), st.booleans(), st.integers(0, 99999), st.sampled_from(["80:80", "${A:-1}", "$B", "a=b"]))
keys = st.sampled_from("a networks driver config subnet target published gw_priority aliases".split())
value = st.recursive(
    leaf, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3))
)
service = st.dictionaries(
    st.sampled_from(
        "networks network_mode ports dns dns_search extra_hosts mac_address sysctls container_name image".split()
    ),
    value,
)
network = st.dictionaries(st.sampled_from("driver driver_opts ipam internal enable_ipv6 external name".split()), value)


@given(
    st.dictionaries(st.sampled_from(["a", "b", "host", "-x"]), st.one_of(value, service)),
    st.dictionaries(st.sampled_from(["default", "n", "none"]), st.one_of(value, network)),
)
def test_nothing_makes_it_fail(services: Any, networks: Any) -> None:
    data = {"services": services, "networks": networks}
    topology, _left = convert.convert(document.Document("compose.yaml", data, {}))
    again = document.load("topology.yaml", yaml_writer.text(topology).encode())
    assert again.data == topology
    schema.check(again)
