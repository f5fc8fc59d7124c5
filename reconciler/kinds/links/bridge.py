"""An Ethernet bridge that netrecon creates."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from reconciler.kinds.context import Names
from reconciler.kinds.links import bridge_ports, link, requests
from reconciler.kinds.links.link import Link
from reconciler.kinds.links.link_kind import link_kind
from reconciler.kinds.links.port import PORT
from reconciler.model.attributes import Table, bool8, bool32, u16, u32
from reconciler.model.data import dataclass
from reconciler.model.quoting import Path
from reconciler.model.requests import Request

# IFLA_BR_*; birth: the values of a new bridge (br_dev_setup() in the kernel's net/bridge/br_device.c).
# Times are in centiseconds (USER_HZ), as the kernel and ip(8) show them.
DATA = Table(
    bool32("stp", 5, birth=False),
    bool8("vlan_filtering", 7, birth=False),
    bool8("mcast_snooping", 23, birth=True),
    bool8("nf_call_iptables", 36, birth=False),
    bool8("nf_call_ip6tables", 37, birth=False),
    u32("ageing_time", 4, birth=30000),
    u32("forward_delay", 1, birth=1500),
    u32("hello_time", 2, birth=200),
    u32("max_age", 3, birth=2000),
    u16("priority", 6, birth=32768),
    u16("group_fwd_mask", 9, birth=0),
    u16("vlan_default_pvid", 39, birth=1),
)


@dataclass(frozen=True, slots=True)
class Bridge(Link):
    """A bridge; an attribute that is None is not managed."""

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


def check(bridge: Bridge, names: Names) -> Iterator[tuple[Path, str]]:
    yield from bridge_ports.check(bridge.scope, bridge.name, names)


def create(bridge: Bridge, owner: str) -> Iterator[Request]:
    # A bridge takes the smallest MTU of its ports until its own is set, which counts only after its creation.
    unborn = dataclasses.replace(bridge, mtu=None)
    # A bridge read from the kernel gets its attributes in a later update: no kernel accepts all that it shows.
    own = link.changed(None, bridge, DATA.words) if bridge.alias is None else {}
    yield requests.born(unborn, "bridge", requests.of_table(DATA, own))
    later: dict[str, Any] = {"up": bridge.up} if bridge.mtu is None else {"up": bridge.up, "mtu": bridge.mtu}
    yield from requests.set_link(bridge.scope, bridge.name, later | requests.birth_stamp(bridge, owner))


def spanning(bridge: Bridge) -> bool:
    """Whether it runs STP."""
    return bool(bridge.stp)


KIND = link_kind(
    name="bridge",
    section="bridges",
    rtnl="bridge",
    form=Bridge,
    data=DATA,
    port=PORT,
    check=check,
    create=create,
    disruptive_on={"vlan_filtering", "vlan_default_pvid", "stp"},
    spanning=spanning,
)
