"""Names the attribute that the kernel refused, from the place in the message that it gives (NLMSGERR_ATTR_OFFS)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.model.attributes import Attribute
from reconciler.model.errors import Failure
from reconciler.model.patterns import pattern
from reconciler.model.requests import Netlink

_PLACE = pattern(r" \(attribute at byte (\d+)\)$")  # as transport.py writes it
_LENGTH = struct.Struct("=H")
_NLMSGHDR, _IFINFOMSG = 16, 16
# The header between nlmsghdr and the attributes: ifinfomsg, ifaddrmsg, rtmsg, fib_rule_hdr, ndmsg.
_HEADERS = {"link": _IFINFOMSG, "addr": 8, "route": 12, "rule": 12, "neigh": 12}


def named(failure: Failure, request: Netlink, message: bytes) -> Failure:
    """The failure with the attribute's name in place of its offset; without either where it is unknown."""
    found = _PLACE.search(failure.text)
    if found is None:
        return failure
    start = _NLMSGHDR + _HEADERS[request.command[3:]]
    word = _word(request.attributes, message, start, int(found[1]))
    return failure._replace(text=failure.text[: found.start()] + (f" ({word})" if word else ""))


def _word(listed: Iterable[tuple[Any, Any]], message: bytes, at: int, place: int) -> str:
    """The name of the innermost attribute at the place; ``listed`` are in the message from byte ``at`` on."""
    for name, value in listed:
        if at + 4 > len(message):
            return ""
        (length,) = _LENGTH.unpack_from(message, at)
        if at <= place < at + length:
            inner = value["attrs"] if isinstance(value, Mapping) and "attrs" in value and place > at else ()
            skipped = _IFINFOMSG if name == "VETH_INFO_PEER" else 0
            return _word(inner, message, at + 4 + skipped, place) or _spelt(name)
        at += (length + 3) & ~3
    return ""


def _spelt(name: Any) -> str:
    return name.word if isinstance(name, Attribute) else str(name).partition("_")[2].lower()
