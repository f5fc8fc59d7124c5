"""What is printed of changes on the real kernel, to the letter."""

from __future__ import annotations

import pathlib

import plans
import pytest
from throwaway import sh

pytestmark = pytest.mark.live


@pytest.mark.parametrize("path", plans.CASES, ids=lambda path: path.stem)
def test_plan(
    path: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    case = plans.read(path)
    assert plans.said(case, sh, capsys) == case["says"]
