"""An Ethernet bridge that netrecon creates."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import field
from typing import Any

from reconciler.kinds.kind import Kind, Names, Parsed, Reading, Source
from reconciler.kinds.links import link
from reconciler.kinds.namespace import home
from reconciler.model.changes import Live
from reconciler.model.data import dataclass
from reconciler.model.keys import STAMP, Key
from reconciler.model.requests import LinkRef, Netlink, Request
from reconciler.model.rows import LinkRow, ScopeState

# Our word -> pyroute2's name of the IFLA_BR_* attribute.  Times are in centiseconds (USER_HZ), as the kernel
# and ip(8) show them.
ATTRIBUTES = {
    "stp": "IFLA_BR_STP_STATE",
    "vlan_filtering": "IFLA_BR_VLAN_FILTERING",
    "mcast_snooping": "IFLA_BR_MCAST_SNOOPING",
    "nf_call_iptables": "IFLA_BR_NF_CALL_IPTABLES",
    "nf_call_ip6tables": "IFLA_BR_NF_CALL_IP6TABLES",
    "ageing_time": "IFLA_BR_AGEING_TIME",
    "forward_delay": "IFLA_BR_FORWARD_DELAY",
    "hello_time": "IFLA_BR_HELLO_TIME",
    "max_age": "IFLA_BR_MAX_AGE",
    "priority": "IFLA_BR_PRIORITY",
    "group_fwd_mask": "IFLA_BR_GROUP_FWD_MASK",
    "vlan_default_pvid": "IFLA_BR_VLAN_DEFAULT_PVID",
}
_BOOLEANS = ("stp", "vlan_filtering", "mcast_snooping", "nf_call_iptables", "nf_call_ip6tables")
_WORDS = ("mac", "mtu", "txqueuelen", "up")


@dataclass(frozen=True, slots=True)
class Bridge:
    """Attributes that are None are not managed."""

    scope: str
    name: str
    up: bool | None = None
    mtu: int | None = None
    mac: str | None = None
    txqueuelen: int | None = None
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
    alias: str | None = field(default=None, compare=False)
    group: int | None = field(default=None, compare=False)


def parse(source: Source) -> Iterator[Parsed]:
    for name, entry in (source.data.get("bridges") or {}).items():
        words = {word: entry.get(word) for word in ("mtu", "mac", "txqueuelen", *ATTRIBUTES)}
        words["mac"] = words["mac"] and str(words["mac"]).lower()
        bridge = Bridge(source.scope, name, entry.get("up", True), **words)
        yield Key("bridge", source.scope, name), bridge, source.at(("bridges", name))


def from_row(state: ScopeState, row: LinkRow) -> Bridge:
    """The bridge that a dumped link is, with all attributes that the kernel shows."""
    own: dict[str, Any] = {word: bool(value) if word in _BOOLEANS else value for word, value in row.bridge.items()}
    stamp: dict[str, Any] = {"alias": row.alias, "group": row.group}
    return Bridge(state.scope, row.name, row.up, row.mtu, row.mac, row.txqueuelen, **own, **stamp)


def read(reading: Reading) -> Iterator[tuple[Key, Live]]:
    for row in reading.state.links.values():
        key = Key("bridge", reading.state.scope, row.name)
        if row.kind == "bridge" and key._replace(kind="interface") not in reading.wanted:
            owner = link.owner_of(row, reading.owner, reading.exclusive)
            yield key, Live(from_row(reading.state, row), owner, row.alias == STAMP + owner)


def create(bridge: Bridge, owner: str) -> Iterator[Request]:
    # A bridge follows the smallest mtu of its ports until it has been given one of its own after birth.
    unborn = dataclasses.replace(bridge, mtu=None)
    # Of one read from the kernel what is not as usual follows in an update: no kernel takes back all that it shows.
    own = link.changed(None, bridge, tuple(ATTRIBUTES)) if bridge.alias is None else {}
    yield link.born(unborn, "bridge", tuple(_data(own)))
    later: dict[str, Any] = {"up": bridge.up} if bridge.mtu is None else {"up": bridge.up, "mtu": bridge.mtu}
    yield from link.set_link(bridge.scope, bridge.name, later | link.birth_stamp(bridge, owner))


def update(before: Bridge, after: Bridge, _owner: str) -> Iterator[Request]:
    own = tuple(_data(link.changed(before, after, tuple(ATTRIBUTES))))
    if own:
        info = (("IFLA_INFO_KIND", "bridge"), ("IFLA_INFO_DATA", {"attrs": own}))
        fields = {"index": LinkRef(after.scope, after.name)}
        yield Netlink(after.scope, "newlink", fields, (("IFLA_LINKINFO", {"attrs": info}),))
    yield from link.set_link(after.scope, after.name, link.changed(before, after, _WORDS))


def _data(values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((ATTRIBUTES[word], int(value)) for word, value in values.items())


def delete(bridge: Bridge) -> Iterator[Request]:
    yield link.delete_link(bridge.scope, bridge.name)


def adopt(bridge: Bridge, owner: str) -> Iterator[Request]:
    yield from link.stamp(bridge, owner)


def stamp(bridge: Bridge) -> tuple[Any, ...]:
    return bridge.alias, bridge.group


def restamp(bridge: Bridge) -> Iterator[Request]:
    yield from link.restamp(bridge)


def needs(bridge: Bridge, _names: Names) -> tuple[Key, ...]:
    return home(bridge.scope)


def links(bridge: Bridge) -> tuple[tuple[str, str]]:
    return ((bridge.scope, bridge.name),)


def spanning(bridge: Bridge) -> bool:
    return bool(bridge.stp)


KIND = Kind(
    name="bridge",
    form=Bridge,
    schema="bridge",
    parse=parse,
    read=read,
    needs=needs,
    create=create,
    update=update,
    delete=delete,
    adopt=adopt,
    stamp=stamp,
    restamp=restamp,
    links=links,
    disruptive_on=frozenset({"up", "mac", "vlan_filtering", "vlan_default_pvid", "stp"}),
    section="bridges",
    rtnl="bridge",
    spanning=spanning,
)
