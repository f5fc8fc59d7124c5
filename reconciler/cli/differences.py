"""The lines that show which attributes of an object change, and how."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from reconciler.cli.shown import value_text
from reconciler.model.secret import Secret

_CPUINFO = "/proc/cpuinfo"


def lines(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """``attribute: before → after`` for each that differs; of lists and mappings for each item that differs."""
    return (f"{name}: {text}" for name, text in pairs(before, after))


def pairs(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(attribute, what changes of it) for each that differs: ``1500 → 1400``, ``+ item``, ``- item``."""
    for name in [*before, *(name for name in after if name not in before)]:
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if old is not None and new is not None and _is_plain_list(old) and _is_plain_list(new):
            yield from ((name, text) for text in _items(old, new))
        elif _is_nested(old) and _is_nested(new) and can_look_inside():
            yield from _inside(name, old, new)
        else:
            yield name, f"{value_text(old)} → {value_text(new)}"


def _is_nested(value: Any) -> bool:
    return isinstance(value, Mapping | list | tuple)


def _is_plain_list(value: Any) -> bool:
    return isinstance(value, list | tuple) and not any(_is_nested(item) for item in value)


def _items(old: Sequence[Any], new: Sequence[Any]) -> Iterator[str]:
    """The items that go and come; the whole lists where only their order changes."""
    gone, come = Counter(map(value_text, old)), Counter(map(value_text, new))
    yield from (f"- {item}" for item in (gone - come).elements())
    yield from (f"+ {item}" for item in (come - gone).elements())
    if gone == come:
        yield f"{value_text(old)} → {value_text(new)}"


def _inside(name: str, old: Any, new: Any) -> Iterator[tuple[str, str]]:
    from deepdiff import DeepDiff

    plain_old, plain_new = {name: _plain(old)}, {name: _plain(new)}
    for levels in DeepDiff(plain_old, plain_new, view="tree", ignore_numeric_type_changes=False).values():
        for level in levels:
            path = ".".join(str(part) for part in level.path(output_format="list"))
            yield path, f"{value_text(level.t1)} → {value_text(level.t2)}"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, Secret):  # DeepDiff would look into it
        return str(value)
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


@cache
def can_look_inside() -> bool:
    """Whether the processor has SSE4.2: without it the compiled parts of DeepDiff end the process (SIGILL).

    No exception is raised then, so it must be known before the import.  Other processors have no such instructions, and
    no such builds.
    """
    if not os.uname().machine.startswith(("x86_64", "i")):
        return True
    with contextlib.suppress(OSError), open(_CPUINFO, encoding="ascii", errors="replace") as file:
        return any("sse4_2" in line.split() for line in file if line.startswith("flags"))
    return False
