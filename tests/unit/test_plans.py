"""What plan, check and delete print: cases to the letter, large plans, colours, and the pager."""

from __future__ import annotations

import io
import os
import pathlib
import stat
import sys

import by_hand
import plans
import pytest
from command import Netrecon
from pretended.seam import Pretended

from reconciler.cli import style
from reconciler.cli.plans import facts, pager


@pytest.mark.parametrize("path", plans.CASES, ids=lambda path: path.stem)
def test_plan(
    path: pathlib.Path,
    pretended: Pretended,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    case = plans.read(path)
    said = plans.said(case, lambda command: by_hand.run(pretended.host, pretended.etc, command), capsys)
    assert said == case["says"]


def test_a_large_plan_has_few_lines_and_every_object_with_verbose(pretended: Pretended, netrecon: Netrecon) -> None:
    many = {
        "bridges": {f"b{number}": {"addresses": [f"10.{number}.0.1/24"]} for number in range(250)},
        "port_maps": [f"{3000 + number}:10.{number % 250}.0.2:80" for number in range(2000)],
    }
    short = netrecon("plan", many, code=2).splitlines()
    assert len(short) < 20
    assert any(line.startswith("+ 250 bridges") and "b0, b1, b2 and 247 more" in line for line in short)
    assert any("1,990 more port maps" in line for line in short)
    whole = netrecon("plan", "-v", many, code=2)
    assert all(f"port_map/host/tcp/0.0.0.0:{3000 + number}" in whole for number in range(2000))


def test_numbers_that_follow_each_other_are_a_range() -> None:
    assert facts.ranges(["80", "443", "8000", "8001", "8002", "53/udp"]) == ["80", "443", "8000-8002", "53/udp"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("colour", "stream", "environment", "coloured"),
    [
        ("auto", Terminal(), {}, True),
        ("auto", io.StringIO(), {}, False),
        ("auto", Terminal(), {"NO_COLOR": "1"}, False),
        ("auto", Terminal(), {"TERM": "dumb"}, False),
        ("always", io.StringIO(), {"NO_COLOR": "1"}, True),
        ("never", Terminal(), {}, False),
    ],
)
def test_colours(
    colour: str, stream: io.StringIO, environment: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (style.paint(colour, stream)("x", "red") == "\x1b[31mx\x1b[0m") == coloured


# ------------------------------------------------------------------ the pager


@pytest.fixture
def program(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A pager that keeps the first line that it is given, and then ends; it is $PAGER."""
    path, seen = tmp_path / "pager", tmp_path / "seen"
    path.write_text(f"#!{sys.executable}\nimport sys\nopen({str(seen)!r}, 'w').write(sys.stdin.readline())\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PAGER", str(path))
    monkeypatch.setattr(os, "get_terminal_size", lambda _fd: os.terminal_size((80, 10)))
    return seen


def test_a_long_text_goes_to_the_pager_which_may_end_early(program: pathlib.Path) -> None:
    assert pager.shown("first\n" + "more\n" * 100_000)
    assert program.read_text() == "first\n"


def test_a_short_text_does_without_a_pager(program: pathlib.Path) -> None:
    assert not pager.shown("a line\n" * 9)
    assert not program.exists()


@pytest.mark.parametrize("command", ["", "/no/such/pager", "'"])
def test_without_a_pager(command: str, program: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGER", command)
    assert not pager.shown("a line\n" * 100)


def test_no_pager_where_stdout_is_no_terminal(program: pathlib.Path, pretended: Pretended, netrecon: Netrecon) -> None:
    netrecon("plan", {"bridges": {f"b{number}": {} for number in range(30)}}, code=2)
    assert not program.exists()
