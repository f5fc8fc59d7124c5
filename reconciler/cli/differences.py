"""The lines that show which attributes of an object change, and how."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from reconciler.cli.shown import value_text
from reconciler.model.secret import Secret

_CPUINFO = "/proc/cpuinfo"


def lines(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """``attribute: before → after`` for each that differs; of lists and mappings for each item that differs."""
    for name in [*before, *(name for name in after if name not in before)]:
        old, new = before.get(name), after.get(name)
        if _is_nested(old) and _is_nested(new) and can_look_inside():
            yield from _inside(name, old, new)
        elif old != new:
            yield f"{name}: {value_text(old)} → {value_text(new)}"


def _is_nested(value: Any) -> bool:
    return isinstance(value, Mapping | list | tuple)


def _inside(name: str, old: Any, new: Any) -> Iterator[str]:
    from deepdiff import DeepDiff

    plain_old, plain_new = {name: _plain(old)}, {name: _plain(new)}
    for levels in DeepDiff(plain_old, plain_new, view="tree", ignore_numeric_type_changes=False).values():
        for level in levels:
            path = ".".join(str(part) for part in level.path(output_format="list"))
            yield f"{path}: {value_text(level.t1)} → {value_text(level.t2)}"


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
