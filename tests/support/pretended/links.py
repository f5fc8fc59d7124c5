"""Links, and what goes with them."""

from __future__ import annotations

import dataclasses
import errno
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pretended import addresses, settings
from pretended.space import AF_INET, AF_INET6, Refused, Space
from reconciler.model import ticks
from reconciler.model.rows import AddressRow, LinkRow

if TYPE_CHECKING:
    from pretended.host import Host

IPV6_MIN_MTU = 1280
KERNEL_LO = 1  # IFAPROT_KERNEL_LO
NO_MAC = "00:00:00:00:00:00"
BRIDGE = {
    "stp": False, "vlan_filtering": False, "mcast_snooping": True, "nf_call_iptables": False,
    "nf_call_ip6tables": False, "ageing_time": 30000, "forward_delay": 1500, "hello_time": 200, "max_age": 2000,
    "priority": 32768, "group_fwd_mask": 0,
}  # fmt: skip
TIMES = ("ageing_time", "forward_delay", "hello_time", "max_age")
PORT = {"cost": 2, "hairpin": False, "learning": True, "flood": True, "isolated": False}  # of a veth: 10 Gb/s
Values = Mapping[str, Any]


# ------------------------------------------------------------------ birth


def born(host: Host, space: Space, name: str, kind: str, values: Values) -> LinkRow:
    """A new link, down, with what it is given at birth."""
    if space.has(name):
        raise Refused(errno.EEXIST)
    space.last += 1
    queue = values.get("txqueuelen", 32 if kind == "ifb" else 1000)
    row = LinkRow(
        index=space.last, name=name, kind=kind, up=False, loopback=False, mtu=values.get("mtu", 1500),
        mac=values.get("mac") or host.new_mac(), master=0, alias="", txqueuelen=queue,
        peer=0, peer_nsid=-1, addr_gen_mode=-1, group=values.get("group", 0),
        data=(BRIDGE if kind == "bridge" else {}) | _held(values.get("data", {})),
    )  # fmt: skip
    space.links[row.index] = row
    if kind == "bridge" and values.get("mac"):
        space.own.add((row.index, "mac"))
    if "link" in values:
        space.under[row.index] = (space.number, values["link"])
    _settings(space, row)
    return row


def _held(data: Values) -> dict[str, Any]:
    """The times as the kernel keeps them, in ticks."""
    return {word: ticks.held(value) if word in TIMES else value for word, value in data.items()}


def _settings(space: Space, row: LinkRow) -> None:
    settings.born(space, 4, row.name, row.mtu)
    if row.mtu >= IPV6_MIN_MTU:
        settings.born(space, 6, row.name, row.mtu)


def pair(host: Host, space: Space, name: str, values: Values, far: Space, peer: str, theirs: Values) -> None:
    """A veth: two links, each the other's end."""
    if space.has(name) or far.has(peer) or (far is space and name == peer):
        raise Refused(errno.EEXIST)
    other = born(host, far, peer, "veth", theirs)  # the kernel makes the peer first
    one = born(host, space, name, "veth", values)
    space.under[one.index], far.under[other.index] = (far.number, other.index), (space.number, one.index)


def loopback(host: Host, space: Space, alias: str = "", up: bool = True, group: int = 0) -> None:
    row = LinkRow(1, "lo", "", False, True, 65536, NO_MAC, 0, alias, 1000, 0, -1, -1, group)
    space.links[1] = row
    _settings(space, row)
    if up:
        raise_(space, 1)


# ------------------------------------------------------------------ changes


def change(host: Host, space: Space, index: int, values: Values) -> None:
    """Set what is given, in the kernel's order; what comes after a refusal is not done."""
    if "space" in values:
        space, index = move(host, space, index, values["space"])
    if "mac" in values:
        _mac(space, index, values["mac"])
    if "mtu" in values:
        space.own.add((index, "mtu"))
        set_mtu(space, index, values["mtu"])
        _follow(space, space.links[index].master)
    if "name" in values:
        _rename(space, index, values["name"])
    space.change(index, **{word: values[word] for word in ("group", "alias", "txqueuelen") if word in values})
    if "master" in values:
        set_master(space, index, values["master"])
    if "up" in values and values["up"] != space.links[index].up:
        raise_(space, index) if values["up"] else lower(space, index)
    if "gen_mode" in values and space.has_ipv6(index):
        space.settings[settings.key_of(6, space.links[index].name, "addr_gen_mode")] = str(values["gen_mode"])
    if "data" in values:
        space.change(index, data={**space.links[index].data, **_held(values["data"])})
    if values.get("port"):
        if not space.links[index].master:
            raise Refused(errno.EOPNOTSUPP)
        space.change(index, port={**space.links[index].port, **values["port"]})


def _mac(space: Space, index: int, mac: str) -> None:
    addresses.drop_neighbours(space, index, proxies=False)
    row = space.change(index, mac=mac)
    if row.kind == "bridge":
        space.own.add((index, "mac"))
    _follow(space, row.master)


def _rename(space: Space, index: int, name: str) -> None:
    if space.has(name):
        raise Refused(errno.EEXIST)
    old = space.links[index].name
    for family in (4, 6):
        for one in settings.LINK[family]:
            key = settings.key_of(family, old, one)
            if key in space.settings:
                space.settings[settings.key_of(family, name, one)] = space.settings.pop(key)
    space.change(index, name=name)


def set_mtu(space: Space, index: int, mtu: int) -> None:
    """Below its least MTU a link has no IPv6 at all; above it, again, IPv6 as it was born."""
    row = space.change(index, mtu=mtu)
    if mtu < IPV6_MIN_MTU:
        addresses.drop(space, index, AF_INET6)
        addresses.drop_neighbours(space, index, (AF_INET6,))
        settings.gone(space, 6, row.name)
    elif not space.has_ipv6(index):
        settings.born(space, 6, row.name, mtu)
    else:
        space.settings[settings.key_of(6, row.name, "mtu")] = str(mtu)


def raise_(space: Space, index: int) -> None:
    """Up: connected routes come, and on lo the addresses that every host has."""
    row = space.change(index, up=True)
    if row.loopback:
        settings.keep(space, row.name)
        ips = [one.address for one in space.addresses if one.index == index]
        for ip in ("127.0.0.1/8", "::1/128"):
            if ip not in ips and (":" not in ip or ipv6_is_on(space, index)):
                protocol = KERNEL_LO if ":" in ip else 0
                row = AddressRow(index, ip, True, protocol, addresses.HOST_SCOPE, addresses.PERMANENT)
                space.addresses.insert(0, row)
    addresses.connect(space, index)


def ipv6_is_on(space: Space, index: int) -> bool:
    key = settings.key_of(6, space.links[index].name, "disable_ipv6")
    return space.settings.get(key) == "0"


def lower(space: Space, index: int) -> None:
    """Down: IPv4 routes by it go, and all of IPv6."""
    space.change(index, up=False)
    addresses.drop(space, index, AF_INET, keep=True)
    addresses.drop(space, index, AF_INET6)
    addresses.drop_neighbours(space, index)


# ------------------------------------------------------------------ bridges and their ports


def set_master(space: Space, index: int, master: int) -> None:
    """Leave the old bridge; join the new one as a port with the attributes of its birth."""
    row = space.links[index]
    if master:
        above = space.links[master]
        if above.kind != "bridge":
            raise Refused(errno.EOPNOTSUPP)
        if row.loopback:
            raise Refused(errno.EINVAL)
        if row.kind == "bridge":
            raise Refused(errno.ELOOP, "Can not enslave a bridge to a bridge")
    if row.master == master:
        return
    space.change(index, master=master, port=dict(PORT) if master else {})
    _follow(space, row.master)
    _follow(space, master)


def _follow(space: Space, bridge: int) -> None:
    """A bridge takes the least MTU and MAC of its ports, unless it was given its own."""
    if bridge not in space.links:
        return
    ports, row = space.ports(bridge), space.links[bridge]
    if (bridge, "mtu") not in space.own:
        mtu = min([port.mtu for port in ports], default=1500)
        if mtu != row.mtu:
            set_mtu(space, bridge, mtu)
    mac = min((port.mac for port in ports), default=NO_MAC)
    if (bridge, "mac") not in space.own and mac != row.mac:
        addresses.drop_neighbours(space, bridge, proxies=False)
        space.change(bridge, mac=mac)


# ------------------------------------------------------------------ ends


def remove(host: Host, space: Space, index: int) -> None:
    """A link goes, with its other end and all that lies on it, wherever that is."""
    if space.links[index].loopback or not space.links[index].kind:
        raise Refused(errno.EOPNOTSUPP)
    _forget(space, index)
    far = space.under.pop(index, None)
    for other in host.spaces.values():
        for above in [above for above, place in other.under.items() if place == (space.number, index)]:
            if above in other.links:
                remove(host, other, above)
    if far and far[0] in host.spaces and host.spaces[far[0]].under.get(far[1]) == (space.number, index):
        host.spaces[far[0]].under.pop(far[1])


def _forget(space: Space, index: int) -> LinkRow:
    """Take a link out of a namespace, with all that names it there."""
    row = space.links[index]
    for port in space.ports(index):
        space.change(port.index, master=0, port={})
    for family in (AF_INET, AF_INET6):
        addresses.drop(space, index, family)
        addresses.drop_routes(space, index, family, whole=True)
    addresses.drop_neighbours(space, index)
    for family in (4, 6):
        settings.gone(space, family, row.name)
    del space.links[index]
    _follow(space, row.master)
    space.own -= {(index, "mac"), (index, "mtu")}
    return row


def move(host: Host, space: Space, index: int, target: Space) -> tuple[Space, int]:
    """Into another namespace: down, without addresses, routes, master and settings; what lies on it does not move."""
    if target is space:
        return space, index
    if target.has(space.links[index].name):
        raise Refused(errno.EEXIST)
    own = {word for number, word in space.own if number == index}
    under = space.under.pop(index, None)
    row = _forget(space, index)
    place = index if index not in target.links else target.last + 1
    target.last = max(target.last, place)
    target.links[place] = dataclasses.replace(row, index=place, up=False, master=0, port={})
    target.own |= {(place, word) for word in own}
    _settings(target, target.links[place])
    if under:
        target.under[place] = under
    for other in host.spaces.values():
        moved = {above: (target.number, place) for above, at in other.under.items() if at == (space.number, index)}
        other.under.update(moved)
    return target, place
