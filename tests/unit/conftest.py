"""The pretended kernel, and the command line on it."""

from __future__ import annotations

import pathlib

import pytest
from command import Netrecon
from pretended.seam import Pretended, plug_in
from situations import CASES, NOT_PRETENDED


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Pretended:
    return plug_in(monkeypatch, tmp_path)


@pytest.fixture
def netrecon(pretended: Pretended, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> Netrecon:
    return Netrecon(tmp_path, capsys)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many situations only the real kernel has seen."""
    skipped = terminalreporter.stats.get("skipped", ())
    left = {one.nodeid for one in skipped if NOT_PRETENDED in str(one.longrepr) and "test_situations" in one.nodeid}
    if left:
        said = f"{len(left)} of {len(CASES)} situations ran nowhere: the pretended kernel lacks a command of theirs"
        terminalreporter.write_line(said, yellow=True, bold=True)
