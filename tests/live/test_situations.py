"""The situations of tests/cases on the real kernel: what a case says is in tests/support/situations.py."""

from __future__ import annotations

import json
import pathlib
import subprocess
from typing import Any

import pytest
from abilities import skip_without
from situations import CASES, Situation, holds, name_of, read
from snapshot import snapshot


@pytest.mark.live
@pytest.mark.parametrize("path", CASES, ids=name_of)
def test_situation(path: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = read(path)
    skip_without(case)
    situation = Situation(case, tmp_path, capsys, by_hand, snapshot)
    situation.attempt(situation.prepare())
    for entry in case.get("verify", ()):
        verify(entry)


def by_hand(command: str) -> None:
    subprocess.run(command, shell=True, check=True)


def verify(entry: dict[str, Any]) -> None:
    done = subprocess.run(entry["run"], shell=True, capture_output=True, text=True, check="fails" not in entry)
    if "fails" in entry:
        assert done.returncode != 0, f"{entry['run']} was to fail: {done.stdout}"
    if "has" in entry:
        assert holds(json.loads(done.stdout or "[]"), entry["has"]), f"{entry['run']}: {done.stdout}"
    if "lacks" in entry:
        assert not holds(json.loads(done.stdout or "[]"), entry["lacks"]), f"{entry['run']}: {done.stdout}"
    if "text" in entry:
        assert entry["text"] in done.stdout, f"{entry['run']}: {done.stdout}"
    if "no_text" in entry:
        assert entry["no_text"] not in done.stdout, f"{entry['run']}: {done.stdout}"
