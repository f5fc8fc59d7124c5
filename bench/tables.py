"""Results as text: a table per size, with what each work is to be compared with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# Work -> (what it is compared with, the goal as a number of times that, seconds on top).
GOALS: dict[str, tuple[str, float, float]] = {
    "first apply": ("floor: create", 2, 1.5),
    "repair of one route": ("no-op check", 1.2, 0),
    "apply after it": ("no-op check", 1.2, 0),
    "1,000 ports added": ("no-op check", 1.1, 0),
    "delete": ("floor: delete", 2, 1.0),
    "check of docker-by-hand": ("import yaml, jsonschema, deepdiff, pyroute2", 0.5, 0),
    "no-op check": ("ip and nft: dump", 0.1, 0),
}


def of_size(size: dict[str, Any]) -> str:
    """One size as a Markdown table."""
    title = f"### {size['namespaces']:,} namespaces, {size['ports']:,} ports"
    return "\n".join([title, "", *_table(size["work"]), ""])


def _table(work: dict[str, Any]) -> Iterator[str]:
    yield "| work | wall s | CPU s | peak MiB | netlink messages | CPU, beside |"
    yield "| --- | ---: | ---: | ---: | ---: | --- |"
    for name, found in work.items():
        sent = found["messages"]
        figures = f"{found['wall']:.2f} | {found['cpu']:.2f} | {found['rss']:.0f} | {'' if sent is None else sent}"
        yield f"| {name} | {figures} | {_beside(name, work)} |"


def _beside(name: str, work: dict[str, Any]) -> str:
    if name not in GOALS or GOALS[name][0] not in work:
        return ""
    other, times, extra = GOALS[name]
    ratio = work[name]["cpu"] / max(work[other]["cpu"], 1e-9)
    goal = f"{times:g} ×" + (f" + {extra:g} s" if extra else "")
    return f"{ratio:.2f} × {other} (goal: {goal})"
