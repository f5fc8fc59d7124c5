"""What a bridge loses because it takes the least MAC address and the least MTU of its ports, unless it has its own.

br_stp_recalculate_bridge_id in net/bridge/br_stp_if.c, br_mtu_auto_adjust in net/bridge/br_if.c.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from reconciler.kinds.grounds import Ground, Place, Taking
from reconciler.kinds.links.link import Port, ends
from reconciler.model.changes import Change, Live
from reconciler.model.keys import Key
from reconciler.model.names import IPV6_MIN_MTU

_BORN_MTU = 1500  # of a bridge without ports


class Ports(NamedTuple):
    """The MAC addresses of a bridge's ports, and the least MTU of them."""

    macs: frozenset[str | None]
    mtu: int


_NO_PORTS = Ports(frozenset(), _BORN_MTU)


def takes(changes: Sequence[Change], live: Mapping[Key, Live]) -> Iterator[Taking]:
    """A new MAC address deletes the permanent neighbours of the bridge; an MTU too small for IPv6 deletes its IPv6."""
    ports: dict[Place, Ports] | None = None
    for change in changes:
        for before, after in _pairs(change):
            for place in sorted(_bridges(before, after)):
                bridge = _bridge(place, live)
                if bridge is not None:
                    ports = _ports(live) if ports is None else ports
                    beside = ports.get(place, _NO_PORTS)
                    if _changes_mac(bridge, beside, before, after):
                        yield Taking(Ground("neighbours", *place), change.key)
                    if _narrows(bridge, beside, before, after):
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
    return link.object if link is not None else None


def _ports(live: Mapping[Key, Live]) -> dict[Place, Ports]:
    """By bridge, its ports."""
    by_bridge: dict[Place, list[Any]] = {}
    links = (entry.object for entry in live.values() if isinstance(entry.object, Port) or hasattr(entry.object, "peer"))
    for link in links:
        for end in ends(link):
            if _master(end):
                by_bridge.setdefault((end.scope, end.master), []).append(end)
    return {
        place: Ports(frozenset(port.mac for port in listed), min(port.mtu for port in listed))
        for place, listed in by_bridge.items()
    }


def _changes_mac(bridge: Any, ports: Ports, before: Any, after: Any) -> bool:
    if ports.macs and bridge.mac not in ports.macs:
        return False  # it has one of its own
    if before is not None and before.mac == bridge.mac:
        return True  # it may be the one that goes
    mac = getattr(after, "mac", None) or getattr(before, "mac", None)
    return after is not None and (not ports.macs or mac is None or mac < bridge.mac)


def _narrows(bridge: Any, ports: Ports, before: Any, after: Any) -> bool:
    if after is None or bridge.mtu != ports.mtu:
        return False
    mtu = after.mtu or getattr(before, "mtu", None) or _BORN_MTU
    return bool(mtu < IPV6_MIN_MTU <= bridge.mtu)
