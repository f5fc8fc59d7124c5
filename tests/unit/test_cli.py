"""The command line itself: wrong usage, output that cannot be written, and JSON that is nothing but JSON."""

from __future__ import annotations

import errno
import io
import json
import os
import pathlib
import subprocess
import sys

import pytest
from command import Netrecon
from pretended.seam import Pretended

from reconciler.cli import main

ROOT = pathlib.Path(__file__).parents[2]
EXAMPLE = str(ROOT / "topologies" / "docker-by-hand.yaml")
WRONG = [
    ["--json"],
    ["bogus", "--json"],
    ["plan", "--json"],
    ["plan", "--json", "--bogus", EXAMPLE],
    ["plan", "--json", "--lock-timeout", "x", EXAMPLE],
    ["plan", "--json", "--lock-timeout", "-1", EXAMPLE],
    ["validate", "--json", "--color", "maybe", EXAMPLE],
    ["delete", "--json"],
    ["delete", "--json", "--name", "a", EXAMPLE],
    ["delete", "--json", "--name", "../etc"],
    ["exec", "--json"],
    ["list", "--json", EXAMPLE],
]


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_wrong_usage_with_json_is_one_document(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(words) == 1
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert document["format"] == 1
    assert document["errors"][0]["message"]
    assert err == ""


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_wrong_usage_is_told_on_stderr(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([word for word in words if word != "--json"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "netrecon" in err or "delete" in err


def test_json_after_two_dashes_belongs_to_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["exec", "--", "ip", "--json"]) == 1
    assert capsys.readouterr().out == ""


def shell(command: str) -> subprocess.CompletedProcess[str]:
    line = command.replace("netrecon", f"{sys.executable} -m reconciler")
    return subprocess.run(["/bin/bash", "-c", line], cwd=ROOT, capture_output=True, text=True, check=False)


FULL = {"schema": 0, f"validate {EXAMPLE}": 0, f"validate --json {EXAMPLE}": 0, "validate /": 1, "--version": 0}


@pytest.mark.parametrize(("command", "code"), FULL.items())
def test_a_full_disk_is_one_line_and_no_other_exit_code(command: str, code: int) -> None:
    done = shell(f"netrecon {command} > /dev/full")
    assert done.returncode == code
    assert "No space left" in done.stderr or code
    assert done.stderr.count("\n") == 1
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize(
    ("command", "code"), [(f"validate {EXAMPLE}", 0), ("validate nowhere.yaml", 1), ("nonsense", 1), ("--version", 0)]
)
@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-"])
def test_the_exit_code_tells_where_nothing_else_can(command: str, code: int, closed: str) -> None:
    assert shell(f"netrecon {command} {closed}").returncode == code


@pytest.mark.parametrize("stream", [">/dev/full", "2>/dev/full", "| true", "2>&1 | true"])
@pytest.mark.parametrize("words", [[], ["--json"], ["-v"]])
def test_who_reads_changes_neither_what_is_done_nor_the_exit_code(
    stream: str, words: list[str], pretended: Pretended, netrecon: Netrecon, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Closed(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError(errno.EPIPE, "x") if "|" in stream else OSError(errno.ENOSPC, "x")

    file = netrecon.file({"bridges": {"br0": {}}})
    before = pretended.picture()
    for command, code in (("plan", 2), ("check", 2), ("apply", 0), ("check", 0)):
        with monkeypatch.context() as patch:
            for name in ("stdout", "stderr"):
                closed = (name == "stdout" and stream[0] in ">|") or (name == "stderr" and stream[0] == "2")
                patch.setattr(sys, name, Closed() if closed else io.StringIO())
            found = main.main([command, *words, file])
        assert found == code, command
    assert pretended.picture() != before
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", Closed())
        assert main.main(["delete", *words, file]) == 0
    assert pretended.picture() == before


def test_a_reader_that_goes_away_is_no_error() -> None:
    done = shell("netrecon schema | head -c 1; netrecon schema >&-")
    assert (done.stdout, done.stderr, done.returncode) == ("{", "", 0)


@pytest.mark.parametrize("words", [["--json", "validate"], ["validate", "--json"], ["-v", "--json", "validate", "-v"]])
def test_an_option_holds_on_either_side_of_the_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([*words, EXAMPLE]) == 0
    assert json.loads(capsys.readouterr().out)["topologies"] == ["docker-by-hand"]


@pytest.mark.parametrize("words", [["-q", "validate"], ["validate", "-q"]])
def test_quiet_on_either_side(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([*words, EXAMPLE]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("command", ["plan", "apply", "check", "verify", "delete", "confirm", "rollback", "list"])
def test_without_root(command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    files = [] if command in ("confirm", "rollback", "list") else [EXAMPLE]
    assert main.main([command, *files]) == 1
    assert "needs root; run it with sudo" in capsys.readouterr().err
