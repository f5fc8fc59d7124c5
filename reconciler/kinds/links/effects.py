"""The grounds that a change of a link takes away, and the link that another link lies on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.kinds.context import Reading
from reconciler.kinds.grounds import Ground, Place, Taking
from reconciler.kinds.links import bridge_follows
from reconciler.kinds.links.link import ends
from reconciler.model.changes import Change, Live
from reconciler.model.keys import Key
from reconciler.model.names import IPV6_MIN_MTU
from reconciler.model.rows import LinkRow


def takes(changes: Sequence[Change], live: Mapping[Key, Live]) -> Iterator[Taking]:
    """The grounds that updates take: of a link set down, with a new MAC address, or with an MTU too small for IPv6."""
    yield from bridge_follows.takes(changes, live)
    for change in changes:
        if change.action == "update":
            for before, after in zip(ends(change.before), ends(change.after), strict=False):
                yield from (Taking(ground, change.key, ground.what == "narrow") for ground in _lost(before, after))


def _lost(before: Any, after: Any) -> Iterator[Ground]:
    place = after.scope, after.name
    if after.up is False and before.up:
        yield Ground("down", *place)
    if after.mac is not None and after.mac != before.mac:
        yield Ground("neighbours", *place)
    if after.mtu is not None and after.mtu < IPV6_MIN_MTU <= (before.mtu or after.mtu):
        yield Ground("narrow", *place)


def below(reading: Reading, row: LinkRow) -> Place | None:
    """The link that a live link lies on (of a veth: its peer); None for none, or where it was not read."""
    far = reading.state.below.get(row.index) or reading.state.peers.get(row.index)
    return (far[0], reading.live.scopes[far[0]].links[far[1]].name) if far else None


def lies_on(link: Any) -> tuple[Place, ...]:
    return (link.below,) if link.below else ()
