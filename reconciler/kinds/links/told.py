"""The few facts of a link that the line of a whole entry shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.kinds.grounds import Place
from reconciler.kinds.links.port import IMPLIED

Facts = Iterator[tuple[Place | str, str]]

_WORDED = {"link": "on", "master": "port of"}
_LEFT_OUT = frozenset({*_WORDED, "up", "hairpin", "peer"})  # hairpin follows from port maps


def facts(place: Place, words: Mapping[str, Any], written: bool) -> Facts:
    """The link itself, what it lies on and whose port it is; where it is ``written``, also its other attributes."""
    yield place, ""
    yield from ((place, f"{text} {words[word]}") for word, text in _WORDED.items() if words.get(word))
    if words.get("up") is False:
        yield place, "down"
    for word, value in words.items() if written else ():
        if word not in _LEFT_OUT and value not in (None, "", (), []) and IMPLIED.get(word) != value:
            yield place, f"{word} {_plain(value)}".strip()


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple) and all(isinstance(part, str | int) for part in value):
        return " ".join(map(str, value))
    return "" if isinstance(value, Mapping | list | tuple) else str(value)
