"""Types of values that a variable gives as text, where Compose's model has a number or a boolean."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from reconciler.language.compose.interpolation import Refused
from reconciler.model.quoting import Path, quoted

ANY = "*"
_BOOLEANS = {
    **dict.fromkeys(("true", "y", "yes", "on"), True),
    **dict.fromkeys(("false", "n", "no", "off"), False),
}


def cast(text: str, path: Path) -> Any:
    """The value of a text at its path.  Raises Refused."""
    for pattern, form in _CASTS.items():
        if matches(path, pattern):
            return form(text)
    return text


def matches(path: Path, pattern: Path) -> bool:
    """Whether a path has the form of the pattern, in which ``*`` stands for any one key or index."""
    return len(path) == len(pattern) and all(want in (ANY, part) for part, want in zip(path, pattern, strict=True))


def _boolean(text: str) -> bool:
    value = _BOOLEANS.get(text.lower())
    if value is None:
        raise Refused(f"{quoted(text)} is no boolean; write true or false")
    return value


def _integer(text: str) -> int:
    if not re.fullmatch("[-+]?[0-9]{1,18}", text):
        raise Refused(f"{quoted(text)} is no number; write digits")
    return int(text)


_CASTS: dict[Path, Callable[[str], Any]] = {
    **{
        ("networks", ANY, word): _boolean
        for word in ("external", "internal", "attachable", "enable_ipv4", "enable_ipv6")
    },
    ("services", ANY, "ports", ANY, "target"): _integer,
    ("services", ANY, "scale"): _integer,
    ("services", ANY, "deploy", "replicas"): _integer,
}
