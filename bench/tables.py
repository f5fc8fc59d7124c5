"""Results as text: a table per size with the goals, the stages, and how cost grows, as Markdown and as an SVG."""

from __future__ import annotations

import json
import math
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

LIBRARIES = "import yaml, jsonschema, deepdiff, pyroute2"
# Work -> (what it is compared with, the goal as a number of times that, seconds on top).
GOALS: dict[str, tuple[str, float, float]] = {
    "first apply": ("floor: create", 2, 1.5),
    "repair of one route": ("no-op check", 1.2, 0),
    "apply after it": ("no-op check", 1.2, 0),
    "1,000 ports added": ("no-op check", 1.1, 0),
    "delete": ("floor: delete", 2, 1.0),
    "check of docker-by-hand": (LIBRARIES, 0.3, 0),
    "5,000 equal mistakes": ("5,000 ports without mistakes", 2, 0),
    "no-op check": ("ip and nft: dump", 0.1, 0),
}
DRAWN = (
    "first apply",
    "no-op check",
    "repair of one route",
    "delete",
    "floor: create",
    "floor: read",
    "ip and nft: dump",
)
STAGED = ("validate", "no-op check", "first apply", "repair of one route", "delete")
BEGIN, END = "<!-- measured -->", "<!-- /measured -->"


def of_size(size: dict[str, Any]) -> str:
    """One size as a Markdown table."""
    title = f"### {size['namespaces']:,} namespaces, {size['ports']:,} ports"
    return "\n".join([title, "", *_table(size["work"]), "", *_reading(size["work"])])


def _reading(work: dict[str, Any]) -> Iterator[str]:
    """Goals that are no command's of their own."""
    if "validate" in work:
        found = work["validate"]["stages"]
        times = found["build"] / max(found["load"], 1e-9)
        yield f"Making the objects of the file takes {times:.1f} times as long as reading its YAML."
    if "no-op check" in work and "floor: read" in work:
        mine, theirs = work["no-op check"]["stages"]["read"], work["floor: read"]["cpu"]
        beside = f"{mine / theirs:.1f} × floor: read (goal 3 ×: {_met(mine <= 3 * theirs)})"
        yield f"Reading the kernel takes {mine:.2f} s of the check: {beside}."
        peak = max(found["rss"] for found in work.values() if found["stages"])
        yield f"The most memory that any command takes is {peak:.0f} MiB (goal 150: {_met(peak <= 150)})."
        yield ""


def _met(met: bool) -> str:
    return "met" if met else "missed"


def _table(work: dict[str, Any]) -> Iterator[str]:
    yield "| work | wall s | CPU s | peak MiB | netlink messages | CPU beside |"
    yield "| --- | ---: | ---: | ---: | ---: | --- |"
    for name, found in work.items():
        sent = found["messages"]
        figures = f"{found['wall']:.2f} | {found['cpu']:.2f} | {found['rss']:.0f} | {'' if sent is None else sent}"
        yield f"| {name} | {figures} | {_beside(name, work)} |"


def _beside(name: str, work: dict[str, Any]) -> str:
    if name not in GOALS or GOALS[name][0] not in work:
        return ""
    other, times, extra = GOALS[name]
    mine, theirs = work[name]["cpu"], work[other]["cpu"]
    goal = f"{times:g} ×" + (f" + {extra:g} s" if extra else "")
    return f"{mine / max(theirs, 1e-9):.2f} × {other} (goal {goal}: {_met(mine <= times * theirs + extra)})"


# ------------------------------------------------------------------ stages and growth


def stages(size: dict[str, Any]) -> str:
    """Where netrecon's time goes: a column per command, milliseconds of the processor."""
    columns = [name for name in STAGED if name in size["work"]]
    found = [size["work"][name]["stages"] for name in columns]
    names = dict.fromkeys(name for one in found for name in one)
    title = f"### By stage, {size['namespaces']:,} namespaces and {size['ports']:,} ports, in milliseconds of CPU"
    lines = [title, "", f"| stage | {' | '.join(columns)} |", "| --- |" + " ---: |" * len(columns)]
    for name in names:
        cells = (f"{one[name] * 1000:.0f}" if name in one else "" for one in found)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def growth(smaller: dict[str, Any], larger: dict[str, Any]) -> str:
    """How many times as long the larger size takes."""
    title = f"### Growth from {_name(smaller)} to {_name(larger)} (goal: at most 11)"
    lines = [title, "", "| work | CPU |", "| --- | ---: |"]
    for name, found in larger["work"].items():
        before = smaller["work"].get(name)
        if before and not name.startswith(("python3", "import", "check of")):
            lines.append(f"| {name} | {found['cpu'] / max(before['cpu'], 1e-9):.1f} × |")
    return "\n".join([*lines, ""])


def _name(size: dict[str, Any]) -> str:
    return f"{size['namespaces']:,} namespaces with {size['ports']:,} ports"


def plot(sizes: list[dict[str, Any]]) -> str:
    """CPU seconds over namespaces, both logarithmic, a line per work: an SVG."""
    colours = ("#b5483a", "#2f6f9f", "#7a5195", "#8a6d1f", "#d9a59d", "#9fc3da", "#7f7f7f")
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 420" font-family="sans-serif" font-size="12">',
        '<rect width="760" height="420" fill="white"/>',
    ]
    for exponent in (-2, -1, 0, 1, 2):
        y = _y(10.0**exponent)
        parts.append(
            f'<path d="M60 {y:.0f}H540" stroke="#ddd"/><text x="8" y="{y + 4:.0f}">{10.0**exponent:g} s</text>'
        )
    for size in sizes:
        x = _x(size["namespaces"])
        parts.append(f'<path d="M{x:.0f} 20V380" stroke="#eee"/>')
        parts.append(f'<text x="{x:.0f}" y="398" text-anchor="middle">{_name(size).replace(" with ", ", ")}</text>')
    for place, (work, colour) in enumerate(zip(DRAWN, colours, strict=True)):
        points = [(_x(one["namespaces"]), _y(one["work"][work]["cpu"])) for one in sizes if work in one["work"]]
        line = " ".join(f"{x:.0f},{y:.0f}" for x, y in points)
        dots = "".join(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="3" fill="{colour}"/>' for x, y in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>{dots}')
        at = 40 + 22 * place
        parts.append(
            f'<path d="M560 {at}h24" stroke="{colour}" stroke-width="2"/><text x="592" y="{at + 4}">{work}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _x(namespaces: int) -> float:
    return 130 + 170 * (math.log10(namespaces) - 1)


def _y(seconds: float) -> float:
    return 200 - 80 * math.log10(max(seconds, 0.01))


# ------------------------------------------------------------------ the page


def write(results: dict[str, Any], folder: pathlib.Path) -> None:
    """Put the figures into FOLDER/performance.md, between the two marks, and the plot beside it."""
    sizes = results["sizes"]
    diagonal = [one for one in sizes if (one["namespaces"], one["ports"]) in ((10, 10), (100, 1_000), (1_000, 10_000))]
    parts = [f"Measured with {_machine(results['machine'])}.", ""]
    parts += [of_size(one) for one in reversed(diagonal)]
    parts += [stages(diagonal[-1])]
    parts += [growth(*diagonal[-2:])] if len(diagonal) > 1 else []
    page = folder / "performance.md"
    head, _, rest = page.read_text().partition(BEGIN)
    page.write_text(f"{head}{BEGIN}\n" + "\n".join(parts).rstrip() + f"\n{END}{rest.partition(END)[2]}")
    (folder / "performance.svg").write_text(plot(diagonal))


def _machine(machine: dict[str, Any]) -> str:
    load = ", ".join(map(str, machine["load"]))
    return (
        f"kernel {machine['kernel']}, Python {machine['python']}, {machine['processors']} processors;"
        f" load averages at the start {load}"
    )


if __name__ == "__main__":
    write(json.loads(pathlib.Path(sys.argv[1]).read_text()), pathlib.Path(sys.argv[2]))
