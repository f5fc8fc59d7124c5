"""The declared ports of a bridge: how many they are, and the least MTU of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from reconciler.kinds.context import Names
from reconciler.kinds.links.link import ends
from reconciler.model.quoting import Path

MOST = 1023  # BR_MAX_PORTS in net/bridge/br_private.h; port 0 is not used


class Ports(NamedTuple):
    """The number of a bridge's ports, and the least declared MTU (None: none has one)."""

    number: int
    mtu: int | None


_NONE = Ports(0, None)


def of(scope: str, bridge: str, names: Names) -> Ports:
    """The declared ports of a bridge; counted once for the whole topology."""
    counted = names.near.get("bridge ports")
    if counted is None:
        counted = names.near["bridge ports"] = _counted(names)
    ports: Ports = counted.get((scope, bridge), _NONE)
    return ports


def _counted(names: Names) -> dict[tuple[str, str], Ports]:
    counted: dict[tuple[str, str], Ports] = {}
    for key in dict.fromkeys(names.links.values()):
        for end in ends(names.objects[key]):
            if getattr(end, "master", None):
                before = counted.get((end.scope, end.master), _NONE)
                known = [mtu for mtu in (before.mtu, end.mtu) if mtu is not None]
                counted[end.scope, end.master] = Ports(before.number + 1, min(known, default=None))
    return counted


def check(scope: str, bridge: str, names: Names) -> Iterator[tuple[Path, str]]:
    """A bridge has no more ports than the kernel numbers."""
    number = of(scope, bridge, names).number
    if number > MOST:
        text = (
            f"{bridge} has {number} ports; the kernel takes at most {MOST} on one bridge, so spread them over several"
        )
        yield (), text
