"""The few facts of an entry on one line: its links with their addresses, its routes, what it publishes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from reconciler.cli.plans.entry import Entry
from reconciler.kinds import BY_NAME, RANK, having
from reconciler.kinds.grounds import Place
from reconciler.model.keys import HOST, Key, Origin
from reconciler.model.quoting import Path

Told = tuple[Key, Any, Origin]  # an object, and its place in the file or NO_ORIGIN

_TELLS, _HOLDS = having(lambda kind: kind.told), having(lambda kind: kind.holds)
_MOST = 6  # facts of one sort on a line; of more, the first ones and how many more
_LINKS = 3  # links before all else
_WIDTH = 110  # characters of a line
_ANY_6 = "[::]:"


def line(entry: Entry, objects: Iterable[Told]) -> str:
    """What the objects of an entry are: ``front 172.28.1.2; default via 172.28.1.1; publishes 80, 443``."""
    links: dict[str, list[str]] = {}
    words: dict[str, list[str]] = {}
    for key, value, origin in sorted(objects, key=_order):
        for of, text in _told(entry, key, value, origin.path):
            items = (words if isinstance(of, str) else links).setdefault(_lead(of, entry, origin.path), [])
            if text and text not in items:
                items.append(text)
    if not entry.file:
        links = dict(sorted(links.items()))
    near = [part for lead, items in links.items() if (part := _item(lead, items))]
    return _fitting(near[:_LINKS], [*(_item(lead, items) for lead, items in words.items()), *near[_LINKS:]])


def _item(lead: str, items: Sequence[str]) -> str:
    return f"{lead} {listed(ranges(_once(items)))}".strip()


def _once(items: Sequence[str]) -> list[str]:
    """The items without those of all IPv6 addresses that are the same of all IPv4 ones: [::]:80 beside 80."""
    known = frozenset(items)
    return [item for item in items if not (item.startswith(_ANY_6) and item.removeprefix(_ANY_6) in known)]


def _fitting(links: Sequence[str], others: Sequence[str]) -> str:
    """As many parts as fit on the line, and how many more there are."""
    short = all(len(part.split()) < 3 for part in links)
    text, more = "", 0
    for number, part in enumerate((*links, *others)):
        if text and len(text) + len(part) > _WIDTH:
            more += 1
        else:
            text += (", " if short and number < len(links) else "; ") + part if text else part
    return f"{text} and {more:,} more" if more else text


def _order(told: Told) -> tuple[bool, int, int, str]:
    """Links first, then addresses and routes, then what nftables has; in the order of the file, or by name."""
    key, _, origin = told
    return bool(BY_NAME[key.kind].transaction), RANK[key.kind], origin.line, "" if origin.line else key.name


def _told(entry: Entry, key: Key, value: Any, path: Path) -> Iterator[tuple[Place | str, str]]:
    if key.kind not in _TELLS:
        return
    written = any(section in path for section in BY_NAME[key.kind].sections)
    facts = list(_TELLS[key.kind](value, written))
    if entry.home != HOST and any(of[0] == entry.home for of, _ in facts if not isinstance(of, str)):
        facts = [(of, text) for of, text in facts if isinstance(of, str) or of[0] == entry.home]
    if _endpoint(path) and key.kind in _HOLDS:  # the network has the length of the prefix
        facts = [(of, _HOLDS[key.kind](value)[1]) for of, _ in facts]
    yield from facts


def _lead(of: Place | str, entry: Entry, path: Path) -> str:
    if isinstance(of, str):
        return of
    scope, name = of
    if scope != entry.home:
        return f"{name} in {scope}"
    return _endpoint(path) or ("" if entry.path[1:] == (name,) else name)


def _endpoint(path: Path) -> str:
    """The network of a sandbox's endpoint, "" for what is in no endpoint."""
    return str(path[3]) if path[2:3] == ("endpoints",) and len(path) > 3 else ""


def ranges(items: Sequence[str]) -> list[str]:
    """The items, numbers that follow each other as one: 8000-8999."""
    runs: list[list[str]] = []
    for item in items:
        follows = runs and item.isdecimal() and runs[-1][-1].isdecimal() and int(runs[-1][-1]) + 1 == int(item)
        if follows:
            runs[-1].append(item)
        else:
            runs.append([item])
    return [run[0] if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]


def listed(items: Sequence[str], separator: str = ", ", most: int = _MOST) -> str:
    """The items, or the first ones and how many more there are."""
    more = len(items) - most
    return separator.join(items[:most]) + (f" and {more:,} more" if more > 0 else "")
