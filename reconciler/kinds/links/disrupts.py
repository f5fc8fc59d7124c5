"""The traffic that a change of a link disrupts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reconciler.kinds.around import Around
from reconciler.kinds.links.link import ends
from reconciler.model.changes import Change


def disrupts(change: Change, around: Around) -> str:
    """A new link carries nothing yet; of a veth that is deleted both ends carried the same."""
    if change.action == "update":
        pairs = zip(ends(change.before), ends(change.after), strict=False)
        return "; ".join(word for before, after in pairs for word in _changed(before, after, around))
    going = ends(change.before) if change.before is not None else ()
    used = [end for end in going if end.up is not False and not around.idle((end.scope, end.name))]
    return f"traffic over {used[0].name} stops" if used else ""


def _changed(before: Any, after: Any, around: Around) -> Iterator[str]:
    name = after.name
    if after.up is False and before.up:
        yield f"traffic over {name} stops"
    if after.mac is not None and after.mac != before.mac:
        yield f"neighbours know the old MAC address of {name}"
    if _is_less(after.mtu, before.mtu) and around.narrows((after.scope, name), after.mtu):
        yield f"packets over {after.mtu} bytes on {name} are dropped"
    if _moves(before, after, around):
        yield f"traffic over {name} {'leaves ' + before.master if before.master else 'goes to ' + after.master}"
    elif getattr(before, "master", None):
        yield from _of_port(before, after, around)


def _is_less(after: int | None, before: int | None) -> bool:
    return after is not None and before is not None and after < before


def _moves(before: Any, after: Any, around: Around) -> bool:
    master = getattr(after, "master", None)
    moves = master is not None and master != before.master
    return moves and not (before.master == "" and around.idle((after.scope, after.name)))


def _of_port(before: Any, after: Any, around: Around) -> Iterator[str]:
    """The attributes of a port.  Frames to addresses that the bridge has learned need neither learning nor flood."""
    name = after.name
    if _turns(before, after, "isolated", True):
        yield f"frames between {name} and other isolated ports are dropped"
    if _turns(before, after, "flood", False):
        yield f"frames to addresses that {before.master} has not learned do not reach {name}"
    elif _turns(before, after, "learning", False) and _kept(before, after, "flood") is False:
        yield f"frames that {before.master} would have to learn do not reach {name}"
    if _turns(before, after, "hairpin", False):
        yield f"frames that {name} sends to itself by {before.master} are dropped"
    bridge = around.link(after.scope, before.master)
    if after.cost not in (None, before.cost) and getattr(bridge, "stp", None):
        yield f"spanning tree of {before.master} is computed again"


def _turns(before: Any, after: Any, word: str, to: bool) -> bool:
    return getattr(after, word) is to and getattr(before, word) is (not to)


def _kept(before: Any, after: Any, word: str) -> Any:
    value = getattr(after, word)
    return getattr(before, word) if value is None else value


def of_bridge(change: Change, around: Around) -> str:
    """As ``disrupts``, with what a bridge alone has."""
    words = [disrupts(change, around)]
    if change.action == "update" and not around.idle((change.key.scope, change.key.name)):
        words += _of_bridge(change.before, change.after)
    return "; ".join(filter(None, words))


def _of_bridge(before: Any, after: Any) -> Iterator[str]:
    """The timers are those of spanning tree and of learned addresses, and stop no frame.

    Where spanning tree is turned on or off, a port that forwards goes on (br_stp_start in net/bridge/br_stp_if.c).
    """

    def new(word: str) -> bool:
        return getattr(after, word) not in (None, getattr(before, word))

    name, spanning = after.name, before.stp if after.stp is None else after.stp
    if new("priority") and spanning and before.stp:
        yield f"spanning tree of {name} is computed again"
    if new("vlan_filtering"):
        yield f"tagged frames through {name} are {'dropped' if after.vlan_filtering else 'passed to every port'}"
    if new("vlan_default_pvid") and before.vlan_filtering:
        yield f"untagged frames through {name} get another VLAN"
    if new("mcast_snooping") and after.mcast_snooping:
        yield f"multicast through {name} reaches only ports that ask for it"
    if after.group_fwd_mask is not None and (before.group_fwd_mask or 0) & ~after.group_fwd_mask:
        yield f"frames to 01:80:c2:00:00:0x end at {name}"
    tables = [word for word in ("nf_call_iptables", "nf_call_ip6tables") if new(word) and getattr(after, word)]
    if tables:
        yield f"frames through {name} meet the rules of {' and '.join(word[8:] for word in tables)}"
