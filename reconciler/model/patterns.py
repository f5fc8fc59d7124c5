"""Regular expressions that are compiled when they are first used: a run uses few of them."""

from __future__ import annotations

import re
from typing import Any, cast


class _Pattern:
    """Stands for a pattern until a method of it is asked for."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __getattr__(self, name: str) -> Any:  # Python asks only for what the object does not have yet
        method = getattr(re.compile(self._text), name)
        setattr(self, name, method)
        return method


def pattern(text: str) -> re.Pattern[str]:
    """As re.compile."""
    return cast("re.Pattern[str]", _Pattern(text))
