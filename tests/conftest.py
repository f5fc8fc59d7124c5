"""What is quick runs first: a mistake in a pure module shows within seconds."""

from __future__ import annotations

import pathlib

import pytest
from hypothesis import settings

settings.register_profile("netrecon", deadline=None)  # a busy machine is no fault of the code
settings.register_profile("quick", deadline=None, max_examples=20)  # for make unit
settings.load_profile("netrecon")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: "live" in pathlib.Path(item.path).parent.parts)
