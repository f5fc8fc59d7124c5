"""An Ethernet bridge that netrecon creates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from reconciler.kinds.context import Names, Noting, Reading
from reconciler.kinds.grounds import Ground, Taking
from reconciler.kinds.links import (
    bridge_follows,
    bridge_ports,
    bridge_shown,
    disrupts,
    effects,
    going_back,
    link,
    requests,
)
from reconciler.kinds.links.link import NEW_MAC, NO_MAC, Link
from reconciler.kinds.links.link_kind import link_kind
from reconciler.kinds.links.port import PORT
from reconciler.kinds.sysctl_effects import accept_dad
from reconciler.model import data as dataclasses
from reconciler.model.attributes import Table, bool8, bool32, u16, u32
from reconciler.model.changes import NOBODY, Change, Live
from reconciler.model.data import dataclass
from reconciler.model.keys import BIRTH_GROUP, STAMP, Key
from reconciler.model.quoting import Path
from reconciler.model.requests import NewMac, Request, WriteSysctl
from reconciler.model.rows import LinkRow
from reconciler.model.ticks import held

# IFLA_BR_*; birth: the values of a new bridge (br_dev_setup() in the kernel's net/bridge/br_device.c).
# Times are in centiseconds (USER_HZ), as the kernel and ip(8) show them.
DATA = Table(
    bool32("stp", 5, birth=False),
    bool8("vlan_filtering", 7, birth=False),
    bool8("mcast_snooping", 23, birth=True),
    bool8("nf_call_iptables", 36, birth=False),
    bool8("nf_call_ip6tables", 37, birth=False),
    u32("ageing_time", 4, birth=bridge_shown.AGEING_TIME, held=held),
    u32("forward_delay", 1, birth=1500, held=held),
    u32("hello_time", 2, birth=200, held=held),
    u32("max_age", 3, birth=2000, held=held),
    u16("priority", 6, birth=32768),
    u16("group_fwd_mask", 9, birth=0),
    u16("vlan_default_pvid", 39, birth=1),
)


@dataclass(frozen=True, slots=True)
class Bridge(Link):
    """A bridge; an attribute that is None is not managed.

    ``keep_mac`` of a desired bridge is the MAC address that it has of a port, and is given as its own (see ``settle``).
    ``shortened``: STP has lowered its ageing time for a while.
    """

    stp: bool | None = None
    vlan_filtering: bool | None = None
    mcast_snooping: bool | None = None
    nf_call_iptables: bool | None = None
    nf_call_ip6tables: bool | None = None
    ageing_time: int | None = None
    forward_delay: int | None = None
    hello_time: int | None = None
    max_age: int | None = None
    priority: int | None = None
    group_fwd_mask: int | None = None
    vlan_default_pvid: int | None = None
    keep_mac: str | None = None
    shortened: bool = dataclasses.field(default=False, compare=False)


def looks(reading: Reading) -> Callable[[LinkRow, going_back.Noted], Mapping[str, Any]]:
    """What the kernel made of the attributes of each bridge by itself."""

    least = bridge_follows.least_of_ports(reading.state)

    def look(row: LinkRow, noted: going_back.Noted) -> Mapping[str, Any]:
        followed = bridge_follows.followed(least, row, noted)
        return {"followed": followed, **bridge_shown.corrected({**row.data, **row.explains}, noted)}

    return look


def settle(wanted: Bridge, live: Bridge) -> Bridge:
    """The bridge with its present MAC address as its own, where it would change with the ports."""
    wanted = going_back.filled(wanted, live)
    ours = (live.alias or "").startswith(STAMP)
    if ours and "mac" in live.followed and wanted.mac in (None, live.mac):
        return dataclasses.replace(wanted, keep_mac=NEW_MAC if live.mac == NO_MAC else live.mac)
    return wanted


def record(key: Key, wanted: Bridge, noting: Noting) -> dict[str, tuple[Any, Any]] | None:
    """The record of its attributes, and of a MAC address of a port that it keeps."""
    noted = noting.noted.get(key, {})
    made = dict(_LINK.record(key, wanted, noting) or {}) if _LINK.record is not None else {}
    entry, change = noting.live.get(key), noting.changes.get(key)
    if wanted.mac is None and entry is not None and entry.object.mac not in (None, NO_MAC):
        kept = "mac" in entry.object.followed or (change is not None and _adopts(change))
        if kept or noted.get("keep_mac") == (None, entry.object.mac):
            made["keep_mac"] = (None, entry.object.mac)
    return made or None


def _adopts(change: Change) -> bool:
    """Whether the bridge was nobody's: one of another topology has a MAC address of its own already."""
    return (change.action == "adopt" or "owner" in change.differs) and change.owner_before == NOBODY


def check(bridge: Bridge, names: Names) -> Iterator[tuple[Path, str]]:
    yield from bridge_ports.check(bridge.scope, bridge.name, names)


def create(bridge: Bridge, owner: str) -> Iterator[Request]:
    """A bridge with a MAC address of its own: otherwise it would have the lowest of its ports, whichever they are."""
    # A bridge takes the smallest MTU of its ports until its own is set, which counts only after its creation.
    mtu = None if "mtu" in bridge.followed else bridge.mtu
    mac: Any = None if "mac" in bridge.followed else bridge.mac
    if mac is None and bridge.alias is None:
        mac = NewMac(bridge.scope, bridge.name)
    # A bridge read from the kernel gets its attributes in a later update: no kernel accepts all that it shows.
    own = link.changed(None, bridge, DATA.words) if bridge.alias is None else {}
    yield requests.born(dataclasses.replace(bridge, mtu=None, mac=mac), "bridge", requests.of_table(DATA, own))
    yield _without_detection(bridge)
    later: dict[str, Any] = {"up": bridge.up} if mtu is None else {"up": bridge.up, "mtu": mtu}
    yield from requests.set_link(bridge.scope, bridge.name, later | requests.birth_stamp(bridge, owner))


def _without_detection(bridge: Bridge) -> Request:
    """The request for a link-local address that can be used at once.

    While the kernel looks for duplicates of it, one to two seconds, the bridge asks for no neighbour on behalf of
    others (ndisc_send_ns in net/ipv6/ndisc.c): what is forwarded to it over IPv6 is lost.
    """
    return WriteSysctl(bridge.scope, accept_dad(bridge.name), "0", optional=True)


def update(before: Bridge, after: Bridge, owner: str) -> Iterator[Request]:
    if before.shortened and after.stp is False and after.ageing_time is None:
        # The kernel would not restore the time once STP is off.
        after = dataclasses.replace(after, ageing_time=before.ageing_time or bridge_shown.AGEING_TIME)
    if after.keep_mac is not None and before.keep_mac is None:
        yield from requests.set_link(after.scope, after.name, {"mac": _own_mac(after, after.keep_mac)})
    yield from _LINK.update(before, after, owner)


def _own_mac(bridge: Bridge, mac: str | None) -> Any:
    return NewMac(bridge.scope, bridge.name) if mac in (None, NO_MAC, NEW_MAC) else mac


def adopt(live: Bridge, wanted: Bridge, owner: str) -> Iterator[Request]:
    """The stamp; and its present MAC address as its own."""
    ours = (live.alias or "").startswith(STAMP)
    mac = {"mac": _own_mac(live, live.mac)} if wanted.mac in (None, live.mac) and wanted.keep_mac is None else {}
    mac = {} if ours and "mac" not in live.followed else mac
    if live.group == BIRTH_GROUP:  # a run was killed while it made it
        yield _without_detection(live)
    yield from requests.stamp(live, owner, mac)


def takes(changes: Sequence[Change], live: Mapping[Key, Live]) -> Iterator[Taking]:
    """What other links lose, and the neighbours of a bridge that is given a MAC address, even the one that it has."""
    yield from effects.takes(changes, live)
    for change in changes:
        if _adopts(change) or "keep_mac" in change.differs:
            yield Taking(Ground("neighbours", change.key.scope, change.key.name), change.key)


def spanning(bridge: Bridge) -> bool:
    """Whether it runs STP."""
    return bool(bridge.stp)


def modules(bridge: Bridge) -> tuple[str, ...]:
    """Without br_netfilter the kernel keeps nf_call_iptables and nf_call_ip6tables, and they do nothing."""
    return ("br_netfilter",) if bridge.nf_call_iptables or bridge.nf_call_ip6tables else ()


_LINK = link_kind(
    name="bridge",
    section="bridges",
    rtnl="bridge",
    form=Bridge,
    data=DATA,
    explains=bridge_shown.EXPLAINS,
    looks=looks,
    port=PORT,
    check=check,
    create=create,
    adopt=adopt,
    settle=settle,
    takes=takes,
    disrupts=disrupts.of_bridge,
    early=frozenset({"keep_mac"}),
    spanning=spanning,
    modules=modules,
    features={
        "": "CONFIG_BRIDGE",
        "vlan_filtering": "CONFIG_BRIDGE_VLAN_FILTERING",
        "vlan_default_pvid": "CONFIG_BRIDGE_VLAN_FILTERING",
        "mcast_snooping": "CONFIG_BRIDGE_IGMP_SNOOPING",
        "nf_call_iptables": "CONFIG_BRIDGE_NETFILTER",
        "nf_call_ip6tables": "CONFIG_BRIDGE_NETFILTER",
    },
)
KIND = dataclasses.replace(_LINK, update=update, record=record)
