"""What is quick runs first: a mistake in a pure module shows within seconds."""

from __future__ import annotations

import pathlib

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: "live" in pathlib.Path(item.path).parent.parts)
