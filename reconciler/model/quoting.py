"""How messages show values and paths: on one line, printable, of limited length."""

from __future__ import annotations

import json

from reconciler.model.patterns import pattern

Path = tuple[str | int, ...]

# Characters outside c-printable of YAML 1.2.2 (5.1), which YAML text must not contain.
_NO_YAML = "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
# Characters that end a line, or change the direction of text on a terminal.
_UNSAFE = pattern(f"{_NO_YAML}|[\x85\u2028-\u202e\u2066-\u2069]")
UNPRINTABLE = pattern(_NO_YAML)
_ORDINARY = bytes((*b"\t\n\r", *range(0x20, 0x7F)))
_PLAIN_KEY = pattern(r"(?!\.+$)[!#-~\u00a1-\u1fff]{1,64}")


def is_ordinary(text: bytes) -> bool:
    """Whether the text is printable ASCII.  Nearly all is, and then the patterns are not compiled (2 ms)."""
    return not text.translate(None, _ORDINARY)


def shortened(value: object, limit: int = 60) -> str:
    """A value's text on one line, without quotes, at most about ``limit`` characters."""
    return quoted(str(value), limit)[1:-1]


def quoted(value: object, limit: int = 60) -> str:
    """A value as JSON on one line, a string cut to ``limit`` characters; "a mapping" or "a list" for these."""
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    if isinstance(value, str) and len(value) > limit:
        value = value[:limit] + "..."
    text = json.dumps(value, ensure_ascii=False)
    if is_ordinary(text.encode("utf-8", "surrogatepass")):
        return text
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def dotted(path: Path) -> str:
    """``("port_maps", 0, "listen")`` as ``port_maps[0].listen``; keys with blanks or dots in quotes."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            word = part if _PLAIN_KEY.fullmatch(part) else quoted(part)
            text += f".{word}" if text else word
    return text
