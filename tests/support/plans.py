"""What plan, check and delete print, as data: tests/cases/plans/<situation>.yaml, pretended and on the real kernel.

given:    files, name -> text, applied first (optional)
by_hand:  commands run then (optional)
wanted:   the files under test; absent: the given ones
command:  the command and its options before the files; plan where absent
says:     what it prints, to the letter
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from reconciler.cli import main

CASES = sorted((pathlib.Path(__file__).parents[1] / "cases" / "plans").glob("*.yaml"))
WORDS = {"given", "by_hand", "wanted", "command", "says"}


def read(path: pathlib.Path) -> dict[str, Any]:
    case: dict[str, Any] = yaml.load(path.read_text(), yaml.CSafeLoader)
    assert set(case) <= WORDS, path.name
    return case


def said(case: dict[str, Any], by_hand: Callable[[str], object], capsys: pytest.CaptureFixture[str]) -> str:
    """What the command of a case prints; the files are written into the current folder."""
    _write(case.get("given", {}))
    if "given" in case:
        assert main.main(["apply", "-q", *case["given"]]) == 0, capsys.readouterr()
    for command in case.get("by_hand", ()):
        by_hand(command)
    _write(case.get("wanted", {}))
    capsys.readouterr()
    main.main([*case.get("command", "plan").split(), *case.get("wanted", case.get("given", {}))])
    out, err = capsys.readouterr()
    assert not err
    return out


def _write(files: dict[str, str]) -> None:
    for name, text in files.items():
        pathlib.Path(name).write_text(text)
