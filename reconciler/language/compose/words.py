"""Reads values of a Compose file, which has several spellings for most, and lists those that could not be used."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from reconciler.language.schema import Document
from reconciler.model.errors import Problem
from reconciler.model.quoting import Path, quoted

_VARIABLE = re.compile(r"\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*)(?::?-([^}]*))?\}|([A-Za-z_][A-Za-z0-9_]*))")


class Left:
    """Collects what is left out of the topology: ``left(path, why)`` adds a problem with its place."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self.problems: list[Problem] = []

    def __call__(self, path: Path, why: str) -> None:
        self.problems.append(Problem(self._document.place(path), why))

    def others(self, path: Path, entry: Mapping[str, Any], known: Collection[str]) -> None:
        """Add one problem for all keys of a mapping that are not ``known``."""
        names = [str(name) for name in entry if name not in known]
        if names:
            self(path, f"no equivalent in a topology: {', '.join(names)}")


def mapping(value: Any, path: Path, left: Left) -> Mapping[str, Any]:
    """The value where it is a mapping, else {}; anything but None is noted in ``left``."""
    if value is None or isinstance(value, dict):
        return value or {}
    left(path, f"{quoted(value)} is not a mapping")
    return {}


def words(value: Any, path: Path, left: Left) -> list[str]:
    """A word or a list of words, as a list of texts."""
    listed = value if isinstance(value, list) else [] if value is None else [value]
    scalars = [scalar(item, (*path, index), left) for index, item in enumerate(listed)]
    return [str(item) for item in scalars if item is not None]


def scalar(value: Any, path: Path, left: Left) -> Any:
    """A text, number or boolean, its variables replaced by their defaults; None, and noted, where one has none."""
    if isinstance(value, dict | list):
        left(path, f"{quoted(value)} is not one value")
        return None
    if not isinstance(value, str) or "$" not in value:
        return value
    unknown = [match[1] or match[3] for match in _VARIABLE.finditer(value) if match[0] != "$$" and match[2] is None]
    if unknown:
        left(path, f"{quoted(value)} depends on the variable {unknown[0]}; write its value")
        return None
    return _VARIABLE.sub(lambda match: "$" if match[0] == "$$" else match[2], value)
