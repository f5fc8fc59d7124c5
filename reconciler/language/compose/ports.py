"""The short form of a published port, ``[ADDRESS:][PORT[-END]:]TARGET[-END][/PROTOCOL]``, and when two are the same."""

from __future__ import annotations

import re

from reconciler.language.compose.node import Node

MAX_EXPANDED = 65536  # ports of one range
_ENDS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")


def expanded(item: Node) -> list[Node]:
    """The ports of an entry in the long form, one for each target; an entry that cannot be read as it is."""
    if not isinstance(item.value, str | int):
        return [item]
    text, _, protocol = str(item.value).partition("/")
    outer, _, target = text.rpartition(":")
    host, _, published = outer.rpartition(":")
    ends = _ENDS.fullmatch(target)
    first, last = (int(ends[1]), int(ends[2] or ends[1])) if ends else (0, -1)
    ports = _published(published, last - first + 1)
    if not 0 <= last - first < MAX_EXPANDED or ports is None:
        return [item]
    return [_long(item, host.strip("[]"), port, first + index, protocol.lower()) for index, port in enumerate(ports)]


def _published(text: str, count: int) -> list[str] | None:
    """One port for each of ``count`` targets; for a single target a range from which one is chosen stays whole."""
    ends = _ENDS.fullmatch(text)
    if not text or count == 1:
        return [text] * count
    if ends is None or int(ends[2] or ends[1]) - int(ends[1]) + 1 != count:
        return None
    return [str(int(ends[1]) + index) for index in range(count)]


def _long(item: Node, host: str, published: str, target: int, protocol: str) -> Node:
    words = {"host_ip": host, "published": published, "target": target, "protocol": protocol or "tcp"}
    return item.of({word: item.of(value) for word, value in words.items() if value != ""})


def identity(item: Node) -> object:
    """Equal for two entries in the long form that publish the same port; an entry that cannot be read is its own."""
    if item.get("target") is None:
        return id(item)
    host, published, target, protocol = (_text(item, word) for word in ("host_ip", "published", "target", "protocol"))
    return host or "0.0.0.0", published, target, protocol.lower() or "tcp"


def _text(item: Node, word: str) -> str:
    node = item.get(word)
    return "" if node is None or node.value is None else str(node.value)
