"""The ports of a bridge: how many they are, how many the kernel takes, and the least MTU of the declared ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from reconciler.kinds.context import Names
from reconciler.kinds.links.link import ends
from reconciler.model.changes import Change
from reconciler.model.data import NamedTuple
from reconciler.model.quoting import Path

if TYPE_CHECKING:
    from reconciler.kinds.ahead import Ahead

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


# ------------------------------------------------------------------ on the host


# Links of these types have no ports (no ndo_add_slave in the kernel); "" is hardware.
_WITHOUT_PORTS = frozenset(("", *"dummy geneve gretap ifb ipvlan macvlan macvtap tun veth vlan vxlan".split()))


def refused(change: Change, ahead: Ahead) -> str:
    """Why a link cannot become a port: its master has too many with those of others, or can have none."""
    for end in ends(change.after):
        master = getattr(end, "master", None)
        if master and end.scope in ahead.rows and not ahead.makes(end.scope, master):
            wrong = _no_room(end.scope, master, ahead)
            if wrong:
                return wrong
    return ""


def _no_room(scope: str, master: str, ahead: Ahead) -> str:
    rows = ahead.rows[scope].links.values()
    row = next((row for row in rows if row.name == master), None)
    if row is None:
        return ""
    if row.kind in _WITHOUT_PORTS:
        what = f"a {row.kind}" if row.kind else "no bridge"
        return f"{master} is {what} on this host and can have no ports; name a bridge as master"
    if row.kind != "bridge":
        return ""
    number = ahead.near.get((scope, master))
    if number is None:
        present = {one.name for one in rows if one.master == row.index}
        number = ahead.near[scope, master] = len(_after(present, scope, master, ahead.changes))
    if number <= MOST:
        return ""
    return f"{master} would have {number} ports with those of others; the kernel takes at most {MOST} on one bridge"


def _after(present: set[str], scope: str, master: str, changes: Iterable[Change]) -> set[str]:
    """The names of the ports of a bridge after the changes."""
    names = set(present)
    for change in changes:
        for end in _here(change.before, scope):
            if change.after is None:
                names.discard(end.name)
        for end in _here(change.after, scope):
            joined = getattr(end, "master", None)
            if joined == master:
                names.add(end.name)
            elif joined is not None:  # None: not managed
                names.discard(end.name)
    return names


def _here(link: Any, scope: str) -> list[Any]:
    return [end for end in ends(link) if end.scope == scope] if link is not None else []
