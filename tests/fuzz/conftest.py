"""The pretended kernel, as the unit tests have it."""

from __future__ import annotations

import pathlib

import pytest
from pretended.seam import Pretended, plug_in


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Pretended:
    return plug_in(monkeypatch, tmp_path)
