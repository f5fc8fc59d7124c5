"""The pretended kernel, and the command line on it."""

from __future__ import annotations

import pathlib

import pytest
from command import Netrecon
from pretended.seam import Pretended, plug_in


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Pretended:
    return plug_in(monkeypatch, tmp_path)


@pytest.fixture
def netrecon(pretended: Pretended, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> Netrecon:
    return Netrecon(tmp_path, capsys)
