"""All namespaces of a pretended host, and requests carried out."""

from __future__ import annotations

import dataclasses
import errno
from collections.abc import Mapping
from typing import Any

from pretended import addresses, links, nft, routes, settings
from pretended.space import AF_INET6, Place, Refused, Space
from reconciler.kernel.proc import dns_files
from reconciler.model import port_ranges
from reconciler.model.attributes import Attribute
from reconciler.model.errors import Failure, KernelError
from reconciler.model.requests import (
    Announce,
    CreateNamespace,
    DeleteNamespace,
    Forget,
    ForgetForbidden,
    LinkRef,
    Netlink,
    NewMac,
    NftElement,
    NftFrame,
    RenameBlock,
    RenameTable,
    Request,
    ReservePorts,
    WriteFile,
    WriteSysctl,
)
from reconciler.model.rows import FOREVER, AddressRow, Hop, LinkRow, NeighbourRow, RouteRow, RuleRow, ScopeState

PROXY = 0x08  # NTF_PROXY
RESERVED = "net.ipv4.ip_local_reserved_ports"
RULES = ((0, 255, "local"), (32766, 254, "main"), (32767, 253, "default"))  # IPv6 has no default


class Host:
    """``names``: ``host`` and those under /run/netns; ``parked``: put aside; ``occupants``: pids by namespace.

    ``release`` is the kernel's: before 5.18 it does not keep the protocol of an address, before 6.12 not change it.
    """

    def __init__(self) -> None:
        self.spaces: dict[int, Space] = {}
        self.names: dict[str, int] = {}
        self.parked: dict[str, int] = {}
        self.occupants: dict[str, list[int]] = {}
        self.release = (6, 18)
        self._macs = self._last = 0
        self.open("host")

    def copy(self) -> Host:
        other = Host.__new__(Host)
        other.__dict__ = {
            name: value if isinstance(value, int | tuple) else dict(value) for name, value in self.__dict__.items()
        }
        other.spaces = {number: space.copy() for number, space in self.spaces.items()}
        return other

    def new_mac(self) -> str:
        self._macs += 1
        return f"02:ff:00:00:{self._macs >> 8:02x}:{self._macs & 255:02x}"

    # -------------------------------------------------------------- namespaces

    def open(self, name: str, alias: str = "", up: bool = True, group: int = 0) -> Space:
        if name in self.names:
            raise Refused(errno.EEXIST, "it exists already")
        self._last += 1
        space = Space(self._last, settings=settings.of_namespace())
        space.rules = [_rule(2, *one) for one in RULES] + [_rule(10, *one) for one in RULES[:2]]
        links.loopback(self, space, alias, up, group)
        self.spaces[space.number] = space
        self.names[name] = space.number
        return space

    def space(self, name: str) -> Space:
        if name not in self.names:
            raise Refused(errno.ENOENT, f"namespace {name} is missing")
        return self.spaces[self.names[name]]

    def close(self, name: str, keep: bool = False) -> None:
        self.space(name)
        number = self.names.pop(name)
        if keep:
            self.parked[name] = number
        else:
            self._end(number)

    def _unpark(self, name: str) -> None:
        if name not in self.parked:
            raise Refused(errno.ENOENT, "there is no such namespace")
        self.names[name] = self.parked.pop(name)

    def release_parked(self) -> None:
        for number in self.parked.values():
            self._end(number)
        self.parked.clear()

    def _end(self, number: int) -> None:
        space = self.spaces[number]
        for index in [row.index for row in space.links.values() if row.kind]:
            if index in space.links:
                links.remove(self, space, index)
        del self.spaces[number]

    # -------------------------------------------------------------- rows

    def state(self, scope: str) -> ScopeState:
        """One namespace as the reader gives it, without peers."""
        space = self.space(scope)
        shown = {index: self._shown(space, space.links[index]) for index in sorted(space.links)}
        by_link = sorted(space.addresses, key=lambda row: (addresses.family_of(row.address), row.index))
        ordered = [one for one in by_link if not one.flags & addresses.SECONDARY or ":" in one.address]
        ordered += [one for one in by_link if one not in ordered]
        if self.release < (5, 18):
            ordered = [dataclasses.replace(one, protocol=0) for one in ordered]
        listed = [routes.with_raw(one) for one in space.routes]
        tables = {name: table.row(name) for (family, name), table in space.tables.items() if ours(family, name)}
        return ScopeState(scope, shown, ordered, listed, list(space.rules), tables)

    def _shown(self, space: Space, row: LinkRow) -> LinkRow:
        mode = int(space.settings.get(settings.key_of(6, row.name, "addr_gen_mode"), -1))
        number, index = space.under.get(row.index, (space.number, 0))
        nsid = -1 if number == space.number else number
        if (row.addr_gen_mode, row.peer, row.peer_nsid) != (mode, index, nsid):
            row = space.change(row.index, addr_gen_mode=mode, peer=index, peer_nsid=nsid)
        return row

    def states(self, scopes: list[str]) -> dict[str, ScopeState]:
        """With the veth peers among them, and what other links lie on."""
        found = {scope: self.state(scope) for scope in scopes}
        numbers = {self.names[scope]: scope for scope in scopes}
        for scope, state in found.items():
            under = self.space(scope).under
            veths = (index for index, row in state.links.items() if row.kind == "veth" and index in under)
            state.peers = {
                index: (numbers[under[index][0]], under[index][1]) for index in veths if under[index][0] in numbers
            }
            others = (index for index in under if index in state.links and index not in state.peers)
            state.below = {
                index: (numbers[under[index][0]], under[index][1]) for index in others if under[index][0] in numbers
            }
        return found

    # -------------------------------------------------------------- requests

    def carry_out(self, request: Request, parking: bool) -> Failure | None:
        """One request; nft's go through ``transact``."""
        try:
            self._call(request, parking)
        except Refused as refused:
            optional = isinstance(request, Netlink) and request.optional
            return None if optional else Failure(refused.number, refused.text)
        except KernelError as error:
            return error.failure
        return None

    def _call(self, request: Request, parking: bool) -> None:
        if isinstance(request, Netlink):
            getattr(self, f"_{request.command}")(self.space(request.scope), request)
        elif isinstance(request, CreateNamespace) and request.parked:
            self._unpark(request.name)
        elif isinstance(request, CreateNamespace):
            self.open(request.name, request.alias, group=request.group)
        elif isinstance(request, DeleteNamespace):
            self.close(request.name, parking)
        elif isinstance(request, WriteSysctl):
            self.write(request.scope, request.key, request.value)
        elif isinstance(request, ReservePorts):
            self._reserve(request)
        elif isinstance(request, WriteFile):
            dns_files.write_file(request.scope, request.name, request.text, request.owner)
        elif isinstance(request, RenameBlock):
            dns_files.rename_block(request.name, request.owner, request.to)
        elif isinstance(request, RenameTable):
            self._rename_table(request)
        else:
            assert isinstance(request, Announce | Forget | ForgetForbidden), request

    def write(self, scope: str, key: str, value: str) -> None:
        """A sysctl, and what it does to addresses: without IPv6 a link loses them all."""
        space = self.space(scope)
        before = {index: links.ipv6_is_on(space, index) for index in space.links}
        settings.write(space, key, value)
        for index, was in before.items():
            if was and not links.ipv6_is_on(space, index):
                addresses.drop(space, index, AF_INET6)
                addresses.drop_neighbours(space, index, (AF_INET6,))
            elif not was and space.links[index].loopback and space.links[index].up:
                links.raise_(space, index)

    def _rename_table(self, request: RenameTable) -> None:
        tables = self.space(request.scope).tables
        if ("inet", request.table) not in tables or ("inet", request.to) in tables:
            raise Refused(errno.ENOENT if ("inet", request.table) not in tables else errno.EEXIST)
        tables["inet", request.to] = tables.pop(("inet", request.table))

    def _reserve(self, request: ReservePorts) -> None:
        space = self.space(request.scope)
        there = port_ranges.ports_of(port_ranges.parse(space.settings[RESERVED]))
        after = there - port_ranges.ports_of(request.drop) | port_ranges.ports_of(request.add)
        space.settings[RESERVED] = ",".join(port_ranges.written(port_ranges.ranges_of(after)))

    def transact(self, scope: str, requests: list[NftFrame | NftElement]) -> Failure | None:
        from reconciler.kernel.nftables import nft_tables

        try:
            space = self.space(scope)
            after = nft.run(space.tables, nft_tables.commands(requests))
        except Refused as refused:
            return Failure(refused.number, refused.text)
        except nft.Invalid as invalid:
            return Failure(invalid.number, invalid.text)
        for frame in requests:
            if isinstance(frame, NftFrame) and frame.stamp:
                after["inet", frame.table].sign()
        space.tables = after
        return None

    # -------------------------------------------------------------- rtnetlink

    def _newlink(self, space: Space, request: Netlink) -> None:
        given = dict(request.attributes)
        info = dict(given.get("IFLA_LINKINFO", {"attrs": ()})["attrs"])
        data = dict(info.get("IFLA_INFO_DATA", {"attrs": ()})["attrs"])
        if not request.flags & routes.CREATE:
            self._setlink(space, request)
            return
        values, kind = self._values(space, request), info["IFLA_INFO_KIND"]
        if kind == "veth":
            theirs = dict(data["VETH_INFO_PEER"]["attrs"])
            far = self.space(theirs["IFLA_NET_NS_FD"].scope) if "IFLA_NET_NS_FD" in theirs else space
            links.pair(self, space, values["name"], values, far, theirs["IFLA_IFNAME"], self._plain_values(theirs))
        else:
            links.born(self, space, values["name"], kind, values)

    def _setlink(self, space: Space, request: Netlink) -> None:
        index = space.link(request.fields["index"].name).index
        values = self._values(space, request)
        if request.fields.get("change", 0) & 1:
            values["up"] = bool(request.fields["flags"] & 1)
        links.change(self, space, index, values)

    def _values(self, space: Space, request: Netlink) -> dict[str, Any]:
        given = dict(request.attributes)
        values = self._plain_values(given)
        if "IFLA_MASTER" in given:
            values["master"] = space.link(given["IFLA_MASTER"].name).index if given["IFLA_MASTER"] else 0
        if "IFLA_LINK" in given:
            values["link"] = space.link(given["IFLA_LINK"].name).index
        if "IFLA_NET_NS_FD" in given:
            values["space"] = self.space(given["IFLA_NET_NS_FD"].scope)
        return values

    def _plain_values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        values = _link_values(given)
        if isinstance(values.get("mac"), NewMac):
            values["mac"] = values["mac"].begins + self.new_mac()[5:]
        return values

    def _dellink(self, space: Space, request: Netlink) -> None:
        links.remove(self, space, space.link(request.fields["index"].name).index)

    def _newaddr(self, space: Space, request: Netlink) -> None:
        given, index = dict(request.attributes), space.link(request.fields["index"].name).index
        address = f"{given['IFA_LOCAL']}/{request.fields['prefixlen']}"
        times = given.get("IFA_CACHEINFO", {"ifa_preferred": FOREVER, "ifa_valid": FOREVER})
        lifetimes = times["ifa_preferred"], times["ifa_valid"]
        permanent = lifetimes[1] == FOREVER
        flags = given.get("IFA_FLAGS", 0) | permanent * addresses.PERMANENT
        far = "" if given["IFA_ADDRESS"] == given["IFA_LOCAL"] else given["IFA_ADDRESS"]
        rest = tuple((word, given[word]) for word in addresses.REST if word in given)
        row = AddressRow(
            index, address, permanent, given.get("IFA_PROTO", 0), request.fields["scope"], flags, lifetimes, far, rest
        )
        there = [one for one in space.addresses if addresses.alike(one, row)] if self.release < (6, 12) else []
        row = dataclasses.replace(row, protocol=there[0].protocol) if there else row
        addresses.add(space, index, row, bool(request.flags & routes.REPLACE))

    def _deladdr(self, space: Space, request: Netlink) -> None:
        index = space.link(request.fields["index"].name).index
        given = dict(request.attributes)
        far = "" if given["IFA_ADDRESS"] == given["IFA_LOCAL"] else given["IFA_ADDRESS"]
        addresses.remove(space, index, f"{given['IFA_LOCAL']}/{request.fields['prefixlen']}", far)

    def _newroute(self, space: Space, request: Netlink) -> None:
        row = routes.from_raw(request.body) if request.body else _route(space, request)
        routes.add(space, row, request.flags)

    def _delroute(self, space: Space, request: Netlink) -> None:
        routes.delete(space, _route(space, request))

    def _newneigh(self, space: Space, request: Netlink) -> None:
        given, index = dict(request.attributes), space.link(request.fields["ifindex"].name).index
        proxy = bool(request.fields["flags"] & PROXY)
        row = NeighbourRow(index, given["NDA_DST"], given.get("NDA_LLADDR", ""), proxy, request.fields["flags"])
        add_neighbour(space, row)

    def _newrule(self, space: Space, request: Netlink) -> None:
        row = rule_from(request.body)
        if row in space.rules:
            raise Refused(errno.EEXIST)
        space.rules = sorted([*space.rules, row], key=lambda one: (one.family, one.priority))

    def _delrule(self, space: Space, request: Netlink) -> None:
        row = rule_from(request.body)
        if row not in space.rules:
            raise Refused(errno.ENOENT)
        space.rules.remove(row)


def add_neighbour(space: Space, row: NeighbourRow) -> None:
    """A permanent neighbour, or a proxy entry; one of the same address gives way."""
    same = [
        one for one in space.neighbours if (one.index, one.address, one.proxy) == (row.index, row.address, row.proxy)
    ]
    space.neighbours = [*(one for one in space.neighbours if one not in same), row]


def ours(family: str, name: str) -> bool:
    return family == "inet" and name.startswith("netrecon-")


# ------------------------------------------------------------------ what a message says

_LINK = {
    "IFLA_IFNAME": "name", "IFLA_MTU": "mtu", "IFLA_ADDRESS": "mac", "IFLA_TXQLEN": "txqueuelen",
    "IFLA_IFALIAS": "alias", "IFLA_GROUP": "group",
}  # fmt: skip


def _link_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """A link message's attributes in rows' words, but for those that name other links or namespaces."""
    values = {word: given[name] for name, word in _LINK.items() if name in given}
    info = dict(given.get("IFLA_LINKINFO", {"attrs": ()})["attrs"])
    for name, nest in (("data", "IFLA_INFO_DATA"), ("port", "IFLA_INFO_SLAVE_DATA")):
        if nest in info:
            values[name] = {one.word: value for one, value in info[nest]["attrs"] if isinstance(one, Attribute)}
    if "IFLA_AF_SPEC" in given:
        families = dict(given["IFLA_AF_SPEC"]["attrs"])
        values["gen_mode"] = dict(families["AF_INET6"]["attrs"])["IFLA_INET6_ADDR_GEN_MODE"]
    return values


def _route(space: Space, request: Netlink) -> RouteRow:
    fields, given = request.fields, dict(request.attributes)
    family = fields["family"]
    metrics = dict(given.get("RTA_METRICS", {"attrs": ()})["attrs"])
    metric = given.get("RTA_PRIORITY", 0) or (1024 if family == AF_INET6 else 0)
    onlink = bool(fields.get("flags", 0) & 4)
    hops: tuple[Hop, ...] = ()
    if "RTA_MULTIPATH" in given:
        hops = tuple(
            _hop(space, dict(one["attrs"]), one["oif"], one["hops"] + 1, one["flags"]) for one in given["RTA_MULTIPATH"]
        )
    elif given.keys() & {"RTA_GATEWAY", "RTA_VIA", "RTA_OIF"}:
        hops = (_hop(space, given, given.get("RTA_OIF", 0), 1, onlink * 4),)
    return RouteRow(
        family, f"{given['RTA_DST']}/{fields['dst_len']}", given["RTA_TABLE"], metric, fields["tos"], fields["type"],
        fields.get("scope", 0), fields.get("proto", 0), given.get("RTA_PREFSRC", ""), metrics.get("RTAX_MTU", 0), hops,
    )  # fmt: skip


def _hop(space: Space, given: Mapping[str, Any], oif: LinkRef | int, weight: int, flags: int) -> Hop:
    via = given.get("RTA_GATEWAY") or given.get("RTA_VIA", {"addr": ""})["addr"]
    return Hop(via, space.link(oif.name).index if isinstance(oif, LinkRef) else oif, weight, bool(flags & 4))


def _rule(family: int, priority: int, table: int, name: str) -> RuleRow:
    return rule_from(f"{family} {priority} 2 {table} 1 from all lookup {name}".encode())


def rule_from(body: bytes) -> RuleRow:
    """A rule's body here is its fields as text: family, priority, protocol, table, action and words."""
    *numbers, words = body.decode().split(" ", 5)
    family, priority, protocol, table, action = map(int, numbers)
    return RuleRow(family, priority, protocol, table, action, words, body)


__all__ = ["Host", "Place"]
