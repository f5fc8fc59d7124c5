"""What a bridge loses because it takes the least MAC address and the least MTU of its ports, unless it has its own.

br_stp_recalculate_bridge_id in net/bridge/br_stp_if.c, br_mtu_auto_adjust in net/bridge/br_if.c.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.kinds.grounds import Ground, Place, Taking
from reconciler.kinds.links.link import NEW_MAC, NO_MAC, Port, ends
from reconciler.model.changes import Change, Live
from reconciler.model.data import NamedTuple
from reconciler.model.keys import Key
from reconciler.model.names import BORN_MAC, HIGH_MAC, IPV6_MIN_MTU
from reconciler.model.rows import LinkRow, ScopeState

_BORN_MTU = 1500  # of a bridge without ports


class Least(NamedTuple):
    """What a bridge takes of its ports: the least MAC address and the least MTU."""

    mac: str
    mtu: int


_OF_NO_PORTS = Least(NO_MAC, _BORN_MTU)


def least_of_ports(state: ScopeState) -> dict[int, Least]:
    """By ifindex of a bridge, what it takes of its ports."""
    least: dict[int, Least] = {}
    for row in state.links.values():
        if row.master:
            mac, mtu = least.get(row.master, (row.mac, row.mtu))
            least[row.master] = Least(min(mac, row.mac), min(mtu, row.mtu))
    return least


def followed(
    least: Mapping[int, Least], bridge: LinkRow, noted: Mapping[str, tuple[Any, Any]] | None
) -> tuple[str, ...]:
    """The words, of mac and mtu, whose value a live bridge has of its ports: it has not got its own.

    The kernel does not tell whether they were set; what netrecon set is on record (``noted``).
    """
    mac, mtu = least.get(bridge.index, _OF_NO_PORTS)
    ours = {word: value for word, (_, value) in (noted or {}).items()}
    of_ports = []
    if bridge.mac == mac and bridge.mac not in (ours.get("mac"), ours.get("keep_mac")):
        of_ports.append("mac")
    if bridge.mtu == mtu and "mtu" not in ours:
        of_ports.append("mtu")
    return tuple(of_ports)


def takes(changes: Sequence[Change], live: Mapping[Key, Live]) -> Iterator[Taking]:
    """A new MAC address deletes the permanent neighbours of the bridge; an MTU too small for IPv6 deletes its IPv6."""
    ports: dict[Place, set[str]] | None = None
    for change in changes:
        for before, after in _pairs(change):
            for place in sorted(_bridges(before, after)):
                bridge = _bridge(place, live)
                if bridge is not None:
                    ports = _ports(live) if ports is None else ports
                    beside = ports.get(place, set())
                    if _changes_mac(bridge, beside, before, after):
                        yield Taking(Ground("neighbours", *place), change.key)
                    if "mtu" in bridge.followed and _narrows(bridge, before, after):
                        yield Taking(Ground("narrow", *place), change.key, True)


def _pairs(change: Change) -> Iterator[tuple[Any, Any]]:
    """Each end of the link before and after the change; None for "not there"."""
    if change.action == "update":
        yield from zip(ends(change.before), ends(change.after), strict=False)
    elif change.action != "adopt":
        yield from ((end, None) for end in (ends(change.before) if change.before else ()))
        yield from ((None, end) for end in (ends(change.after) if change.after else ()))


def _bridges(before: Any, after: Any) -> set[Place]:
    """The bridges that the end leaves, joins, or is a port of with another MAC address or MTU."""
    old, new = _master(before), _master(after)
    if after is not None and new is None:
        new = old  # not managed
    same = old == new and not any(_new(word, before, after) for word in ("mac", "mtu"))
    scope = (before if after is None else after).scope
    return set() if same else {(scope, name) for name in (old, new) if name}


def _master(end: Any) -> str | None:
    return getattr(end, "master", None)


def _new(word: str, before: Any, after: Any) -> bool:
    """Whether an attribute is given another value."""
    value = getattr(after, word, None)
    return value is not None and value != getattr(before, word, None)


def _bridge(place: Place, live: Mapping[Key, Live]) -> Any:
    """The live link that is the bridge, None where it is not there yet."""
    link = live.get(Key("bridge", *place)) or live.get(Key("interface", *place))
    return link.object if link is not None and not link.coming else None


def _ports(live: Mapping[Key, Live]) -> dict[Place, set[str]]:
    """By bridge, the MAC addresses of its ports."""
    by_bridge: dict[Place, set[str]] = {}
    links = (entry.object for entry in live.values() if isinstance(entry.object, Port) or hasattr(entry.object, "peer"))
    for link in links:
        for end in ends(link):
            if _master(end):
                by_bridge.setdefault((end.scope, end.master), set()).add(end.mac)
    return by_bridge


def _changes_mac(bridge: Any, ports: set[str], before: Any, after: Any) -> bool:
    if "mac" not in bridge.followed and (ports or bridge.mac.startswith(BORN_MAC)):
        return False  # it has one of its own
    if before is not None and before.mac == bridge.mac:
        return True  # it may be the one that goes
    mac = getattr(after, "mac", None) or getattr(before, "mac", None)
    if getattr(after, "high", False) and mac in (None, NEW_MAC):
        mac = HIGH_MAC
    return after is not None and (not ports or mac is None or mac < bridge.mac)


def _narrows(bridge: Any, before: Any, after: Any) -> bool:
    if after is None:
        return False
    mtu = after.mtu or getattr(before, "mtu", None) or _BORN_MTU
    return bool(mtu < IPV6_MIN_MTU <= bridge.mtu)
