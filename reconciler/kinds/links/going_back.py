"""Restores the attributes of a link that netrecon set and that are no longer declared.

The record of a link has, for each attribute that netrecon set, the value before and its own value; a value before of
None stands for the value of a new link.  An attribute that somebody else changed since then stays.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from reconciler.kinds.context import Reading
from reconciler.kinds.links.link import NO_MAC, Link
from reconciler.kinds.links.port import PORT
from reconciler.model import data as dataclasses
from reconciler.model.changes import Desired
from reconciler.model.keys import Key
from reconciler.model.rows import LinkRow, ScopeState

Noted = Mapping[str, tuple[Any, Any]]  # word -> (before, ours)
Back = tuple[tuple[str, Any], ...]  # (word, value)
_Link = TypeVar("_Link", bound=Link)

# These are always compared on a link of ours: where the file does not set them, they have a default.
ALWAYS = frozenset({"up", "master", "hairpin", "isolated", "learning", "flood"})
_PORT_BIRTHS: dict[str, Any] = {one.word: one.birth for one in PORT if one.birth is not None}
BORN_ALIKE = frozenset({"mtu", "txqueuelen", *_PORT_BIRTHS})
_ETHERNET_MTU, _TX_QUEUE = 1500, 1000  # ether_setup() in net/ethernet/eth.c, alloc_netdev_mqs() in net/core/dev.c
NEW_LINK: Mapping[str, Any] = MappingProxyType({"mtu": _ETHERNET_MTU, "txqueuelen": _TX_QUEUE, **_PORT_BIRTHS})


def of_others(wanted: Link, live: Link | None, noted: Noted, words: Iterable[str]) -> dict[str, tuple[Any, Any]]:
    """The record of a link that netrecon did not create: word -> (value before, desired value)."""
    record = {}
    for word, value in _wanted(wanted, words):
        if word in noted:
            record[word] = (noted[word][0], value)
        elif live is not None and getattr(live, word) != value:
            record[word] = (_restorable(live, word), value)
    return record


def of_ours(
    wanted: Link, live: Link | None, noted: Noted, words: Iterable[str], born_alike: Collection[str]
) -> dict[str, tuple[Any, Any]]:
    """The record of a link that netrecon creates; ``born_alike`` are the words with the same value on each new link."""
    record = {}
    for word, value in _wanted(wanted, words):
        if word in ALWAYS:
            continue
        if word in noted:
            record[word] = (noted[word][0], value)
        elif live is None or getattr(live, word) != value:
            before = None if live is None or word in born_alike else _restorable(live, word)
            record[word] = (before, value)
    return record


def _restorable(live: Link, word: str) -> Any:
    """The value of a live link; None for a MAC address of zeros, which the kernel never takes."""
    value = getattr(live, word)
    return None if value == NO_MAC else value


def _wanted(wanted: Link, words: Iterable[str]) -> list[tuple[str, Any]]:
    return [(word, value) for word in words if (value := getattr(wanted, word, None)) is not None]


def recall(_name: str, plain: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """A record as read from JSON, with tuples in place of lists."""
    return {str(word): (_tuples(before), _tuples(ours)) for word, (before, ours) in plain.items()}


def _tuples(plain: Any) -> Any:
    return tuple(map(_tuples, plain)) if isinstance(plain, list) else plain


def either(old: Noted, new: Noted) -> dict[str, tuple[Any, Any]]:
    """The record that is right before and after a change."""
    return {**old, **new}


def without_others(mine: Noted, others: Noted) -> dict[str, tuple[Any, Any]]:
    """The record without the attributes that another topology sets too: they stay."""
    return {word: pair for word, pair in mine.items() if word not in others}


def back(live: Link, noted: Noted, births: Mapping[str, Any]) -> Back:
    """The (word, value) pairs to restore on a live link where nothing else is declared."""
    still = ((word, before) for word, (before, ours) in noted.items() if getattr(live, word, None) == ours)
    pairs = ((word, births.get(word) if before is None else before) for word, before in still)
    return tuple((word, value) for word, value in pairs if value is not None)


def births(state: ScopeState, row: LinkRow) -> dict[str, Any]:
    """The attributes of a new link without any setting; a link that lies on another has the MTU of that one."""
    lower = state.links.get(row.peer) if row.peer_nsid < 0 and row.kind != "veth" else None
    mtu = _ETHERNET_MTU if lower is None else lower.mtu
    return {**NEW_LINK, "mtu": mtu}


def mtu_of_ports(reading: Reading, bridge: LinkRow) -> int:
    """The MTU of a bridge without a setting: the smallest MTU that its ports will have."""
    state = reading.state
    live = {row.name: row for row in state.links.values()}
    declared = {end.name: (key, end, word) for key, end, word in _ends(reading.wanted) if end.scope == state.scope}
    joined = {name for name, (_, end, _) in declared.items() if getattr(end, "master", None) == bridge.name}
    staying = {name for name, row in live.items() if row.master == bridge.index and name not in declared}
    there = [live[name].mtu for name in staying]
    there += [_mtu(reading, *declared[name], live.get(name)) for name in joined]
    return min(there, default=_ETHERNET_MTU)


def _ends(wanted: Mapping[Key, Desired]) -> Iterator[tuple[Key, Link, str]]:
    """The declared links, each with its key and the word of its MTU in the record."""
    for key, desired in wanted.items():
        if isinstance(desired.object, Link):
            yield key, desired.object, "mtu"
        elif hasattr(desired.object, "peer"):
            yield key, desired.object.end, "mtu"
            yield key, desired.object.peer, "peer.mtu"


def _mtu(reading: Reading, key: Key, end: Link, word: str, row: LinkRow | None) -> int:
    if end.mtu is not None or row is None:
        return end.mtu or _ETHERNET_MTU
    noted = reading.noted.get(key)
    before, ours = noted.record.get(word, (None, None)) if noted is not None else (None, None)
    return row.mtu if row.mtu != ours else before or _ETHERNET_MTU


def filled(wanted: _Link, live: Link) -> _Link:
    """A desired link with the values to restore in the attributes that the file does not set.

    What another topology has set and this one leaves at its default stays.
    """
    values = {word: value for word, value in live.back if getattr(wanted, word) is None}
    values |= {word: getattr(live, word) for word in live.lent if getattr(wanted, word) == ""}
    if values.get("master", getattr(wanted, "master", None)) == "":
        values = {word: value for word, value in values.items() if word not in PORT}
    return dataclasses.replace(wanted, **values) if values else wanted
