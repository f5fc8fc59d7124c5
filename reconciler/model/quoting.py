"""How messages spell values and paths: on one line, printable, of bounded length."""

from __future__ import annotations

import json
import re
from functools import cache

Path = tuple[str | int, ...]

# All but what YAML's own definition lets stand in a stream.
_UNPRINTABLE = "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
# What would break a message's line, or reorder it on a terminal.
_UNSEEMLY = f"{_UNPRINTABLE}|[\x85\u2028-\u202e\u2066-\u2069]"
_ORDINARY = bytes((*b"\t\n\r", *range(0x20, 0x7F)))
_PLAIN_KEY = re.compile(r"(?!\.+$)[!#-~\u00a1-\u1fff]{1,64}")


def is_ordinary(text: bytes) -> bool:
    """Whether there is nothing but printable ASCII, as nearly everywhere: to compile the patterns takes 2 ms."""
    return not text.translate(None, _ORDINARY)


@cache
def unprintable() -> re.Pattern[str]:
    """What may not stand in YAML."""
    return re.compile(_UNPRINTABLE)


@cache
def _unseemly() -> re.Pattern[str]:
    return re.compile(_UNSEEMLY)


def shortened(value: object, limit: int = 60) -> str:
    """A value's text on one line, without quotes, at most about ``limit`` characters."""
    return quoted(str(value), limit)[1:-1]


def quoted(value: object, limit: int = 60) -> str:
    """A value as a message shows it: JSON on one line, a string of it at most about ``limit`` characters."""
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    if isinstance(value, str) and len(value) > limit:
        value = value[:limit] + "..."
    text = json.dumps(value, ensure_ascii=False)
    if is_ordinary(text.encode("utf-8", "surrogatepass")):
        return text
    return _unseemly().sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def dotted(path: Path) -> str:
    """``("port_maps", 0, "listen")`` as ``port_maps[0].listen``; odd keys in quotes."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            word = part if _PLAIN_KEY.fullmatch(part) else quoted(part)
            text += f".{word}" if text else word
    return text
