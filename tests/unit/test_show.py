"""``show``, ``list`` and ``delete --plan``: what the kernel holds and would lose, as people and scripts read it."""

from __future__ import annotations

import io
import json
import pathlib
import sys
from typing import Any

import pytest
from pretended.seam import Pretended

from reconciler.cli import main, table

TOPOLOGIES = pathlib.Path(__file__).parents[2] / "topologies"
TIERS, BY_HAND = str(TOPOLOGIES / "three-tiers.yaml"), str(TOPOLOGIES / "docker-by-hand.yaml")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def run(pretended: Pretended, capsys: pytest.CaptureFixture[str]) -> Any:
    assert main.main(["apply", "-q", TIERS, BY_HAND]) == 0
    capsys.readouterr()

    def run(*words: str, code: int = 0) -> str:
        found = main.main(list(words))
        out, err = capsys.readouterr()
        assert found == code, err
        return out + err

    return run


def lines(text: str, what: str) -> list[list[str]]:
    """The fields of the lines about one kind, as ``grep ^WHAT | cut`` gives them."""
    return [line.split("\t") for line in text.splitlines() if line.startswith(f"{what}\t")]


def test_networks_with_their_sandboxes_and_addresses(run: Any) -> None:
    found = lines(run("show", "three-tiers"), "network")
    assert ["network", "three-tiers", "host", "br-front", "172.28.1.1/24", "edge", "eth0", "172.28.1.2/24"] in found
    assert [row[5] for row in found if row[3] == "br-middle"] == ["edge", "app-1", "app-2"]
    assert {row[1] for row in found} == {"three-tiers"}


def test_ports_and_where_they_lead(run: Any) -> None:
    found = lines(run("show"), "port")
    assert ["port", "docker-by-hand", "host", "tcp", "0.0.0.0:9091", "172.16.0.2:80", "test", "eth0"] in found
    assert [row[6] for row in found if row[1] == "three-tiers"] == ["edge", "edge"]


def test_a_namespace_alone_with_its_way_to_the_world(run: Any) -> None:
    text = run("show", "edge")
    assert {row[5] for row in lines(text, "network")} == {"edge"}
    assert [row[3] for row in lines(text, "link")] == ["eth0", "eth1"]
    assert lines(text, "route") == [
        ["route", "three-tiers", "edge", "default", "172.28.1.1", "eth0", "main", "-", "unicast"]
    ]
    assert {row[6] for row in lines(text, "port")} == {"edge"}


def test_each_line_of_a_table_has_as_many_fields_as_its_head(run: Any) -> None:
    for block in run("show").split("\n\n"):
        assert len({line.count("\t") for line in block.strip().splitlines()}) == 1


def test_the_document_has_the_same_rows(run: Any) -> None:
    document = json.loads(run("show", "--json", "docker-by-hand"))
    assert (document["format"], document["command"]) == (1, "show")
    (network,) = document["tables"]["network"]
    assert (network["network"], network["sandbox"], network["addresses"]) == ("test0", "test", ["172.16.0.2/24"])
    assert [row["mtu"] for row in document["tables"]["link"]] == [1500, 1500, 1500]


def test_a_misspelt_name_gets_a_suggestion(run: Any) -> None:
    assert "called 'egde'; did you mean edge?" in run("show", "egde", code=1)


def test_nothing_is_held(pretended: Pretended, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["show"]) == 0
    assert capsys.readouterr().out == "The kernel holds no topology of netrecon's.\n"


def test_on_a_terminal_columns_are_in_line(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    table.write(("name", "addresses"), [("br0", ["10.0.0.1/24", "fd00::1/64"]), ("br-long", [])])
    assert out.getvalue() == "NAME     ADDRESSES\nbr0      10.0.0.1/24, fd00::1/64\nbr-long  -\n"


def test_list_tells_with_v_what_is_in_each_namespace(run: Any) -> None:
    short, long = run("list").splitlines(), run("list", "-v").splitlines()
    assert short[1].split("\t")[0] == "docker-by-hand"
    assert [line.split("\t")[:3] for line in long[1:3]] == [
        ["docker-by-hand", "host", "6"],
        ["docker-by-hand", "test", "3"],
    ]
    assert int(short[1].split("\t")[1]) == 9


def test_delete_plan_does_nothing(run: Any) -> None:
    before = run("show")
    assert "namespace/host/test" in run("delete", "--plan", "-v", BY_HAND, code=2)
    document = json.loads(run("delete", "--plan", "--json", "--name", "three-tiers", code=2))
    assert document["command"] == "delete"
    assert {row["action"] for row in document["changes"]} == {"delete"}
    assert run("show") == before
    run("delete", "-q", BY_HAND)
    assert "nothing to do" in run("delete", "--plan", BY_HAND)


def test_delete_plan_of_a_file_that_is_wrong(run: Any) -> None:
    run("delete", "--plan", "/nonexistent.yaml", code=1)
