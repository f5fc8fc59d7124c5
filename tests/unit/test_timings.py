"""--debug, with and without a value, before and behind the command; and where the time went."""

from __future__ import annotations

import pytest

from reconciler.cli import main
from reconciler.model import timings

FILE = "topologies/docker-by-hand.yaml"
PLAIN = "--debug=traceback"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("check --debug net.yaml", f"check {PLAIN} net.yaml"),
        ("check net.yaml --debug", f"check net.yaml {PLAIN}"),
        ("check --debug timings net.yaml", "check --debug=timings net.yaml"),
        ("--debug timings check net.yaml", "--debug=timings check net.yaml"),
        ("check --debug=timings net.yaml", "check --debug=timings net.yaml"),
        ("check timings", "check timings"),
        ("exec --debug blue -- tool --debug timings", f"exec {PLAIN} blue -- tool --debug timings"),
        ("exec blue tool --debug", "exec blue tool --debug"),
    ],
)
def test_debug_takes_no_file_for_its_value(written: str, meant: str) -> None:
    assert main._with_debug(written.split()) == meant.split()


@pytest.mark.parametrize("words", [["--debug", "timings", "validate", FILE], ["validate", FILE, "--debug", "timings"]])
def test_timings_go_to_stderr(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(words) == 0
    said = capsys.readouterr()
    assert said.out.startswith("docker-by-hand: valid")
    lines = [line.split() for line in said.err.splitlines()]
    assert [line[0] for line in lines] == ["stage", "start", "load", "validate", "lower", "build", "rest"]
    assert all(float(figure) >= 0 for line in lines[1:] for figure in line[1:])


def test_without_debug_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["validate", "-q", FILE]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_stage_within_a_stage_counts_once() -> None:
    timings.started()
    with timings.stage("outer"), timings.stage("inner"):
        pass
    names = [line.split()[0] for line in timings.lines()]
    assert names == ["stage", "start", "outer", "rest"]
