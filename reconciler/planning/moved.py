"""Finds what a run moved, what must be announced for it, and what neighbours remember wrongly.

Moved is an address that is at another link now, and a link that has another MAC address or is behind another port.
Other links of the segment remember the old place, in their neighbour tables and in the FDB of bridges.  Such an entry
lives for half a minute and more, and nothing that is sent by it arrives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property

from reconciler.model import data as dataclasses
from reconciler.model.keys import HOST, STAMP
from reconciler.model.requests import Announce, Netlink
from reconciler.model.rows import AddressRow, LearnedRow, LinkRow, LiveState, ScopeState
from reconciler.planning.segments import Node, Segments, ip_of

AF_INET, AF_INET6, AF_BRIDGE = 2, 10, 7
NTF_MASTER = 0x04  # the entry is the bridge's, not one of the port's own
IFA_F_OPTIMISTIC, IFA_F_DADFAILED, IFA_F_TENTATIVE = 0x04, 0x08, 0x40
_ETHERNET = len("02:00:00:00:00:00")
_FLOOD = 4096  # frames that bridges may copy to links because of the announcements in one segment
_FEW = 10  # open links are few where the segment has this many times as many links

Learned = Mapping[str, Iterable[LearnedRow]]  # scope -> what it learned
Stale = tuple[str, LearnedRow]  # the scope and an entry that is wrong
Held = tuple[Node, str]  # a link, and an address that it has


class Moves:
    """What is at different places in two looks at the kernel, before a run and after it."""

    def __init__(self, before: LiveState, after: LiveState) -> None:
        self._old, self._new = Segments(before.scopes), Segments(after.scopes)
        self._lost, self._fresh = _moved(self._old, self._new), _moved(self._new, self._old)
        self._gone = _placed(self._old, self._new, self._lost)
        self._come = _placed(self._new, self._old, self._fresh)

    # -------------------------------------------------------------- who may remember

    @cached_property
    def survivors(self) -> tuple[Node, ...]:
        """The links that lived before the run and are in a segment where something moved: only they remember."""
        now = {self._new.name(node) for node in (*self._fresh, *(node for node, _ in self._come))}
        was = {self._old.name(node) for node in (*self._lost, *(node for node, _ in self._gone))}
        there = [node for name in now for node in self._new.members(name) if node in self._old]
        left = [node for name in was for node in self._old.members(name) if node in self._new]
        return tuple(dict.fromkeys((*there, *left)))

    @property
    def scopes(self) -> list[str]:
        """The scopes in which wrong entries can be deleted."""
        return sorted({node[0] for node in self.survivors if self._is_ours(node)})

    def _is_ours(self, node: Node) -> bool:
        """Of the host only the links of netrecon: on others, entries are the host's own business."""
        return node[0] != HOST or self._new.row(node).alias.startswith(STAMP)

    @cached_property
    def _heard(self) -> frozenset[Node]:
        """The segments in which others may remember, whose tables cannot be read."""
        others = (node for node in self.survivors if self._new.is_open(node) or not self._is_ours(node))
        return frozenset(self._new.name(node) for node in others)

    # -------------------------------------------------------------- what they remember wrongly

    def stale(self, learned: Learned) -> list[Stale]:
        """The learned entries that contradict where things are now."""
        return [
            (scope, row)
            for scope, rows in learned.items()
            for row in rows
            if (scope, row.index) in self._new and (scope, row.bridge or row.index) in self._new
            if self._is_ours((scope, row.bridge or row.index))
            if (self._is_wrong_port(scope, row) if row.bridge else self._is_wrong_mac(scope, row))
        ]

    def _is_wrong_mac(self, scope: str, row: LearnedRow) -> bool:
        node = scope, row.index
        segment = self._new.name(node)
        now = {self._new.row(holder).mac for holder in self._new.holders(segment, row.address)}
        if row.mac in now:
            return False
        if now and (segment, row.address) in self._arrived:
            return True
        return node in self._old and row.mac in self._left.get((self._old.name(node), row.address), ())

    @cached_property
    def _arrived(self) -> frozenset[tuple[Node, str]]:
        return frozenset((self._new.name(node), address) for node, address in self._come)

    @cached_property
    def _left(self) -> Mapping[tuple[Node, str], set[str]]:
        """The MAC addresses at which an address was in a segment."""
        macs: dict[tuple[Node, str], set[str]] = {}
        for node, address in self._gone:
            macs.setdefault((self._old.name(node), address), set()).add(self._old.row(node).mac)
        return macs

    def _is_wrong_port(self, scope: str, row: LearnedRow) -> bool:
        port, bridge = (scope, row.index), (scope, row.bridge)
        now = self._new.with_mac(self._new.name(bridge), row.mac)
        if now:
            return not now.isdisjoint(self._fresh) and now.isdisjoint(self._new.behind(port))
        if port not in self._old or bridge not in self._old:
            return False
        lost = self._old.with_mac(self._old.name(bridge), row.mac) & self._lost
        return not lost.isdisjoint(self._old.behind(port))

    # -------------------------------------------------------------- what to send

    def announcements(self, stale: Iterable[Stale]) -> list[Announce]:
        """For each address that moved, where others may remember its old place or somebody does (``stale``)."""
        by_segment: dict[Node, list[Announce]] = {}
        for name, one in self._announced(stale, _is_usable):
            by_segment.setdefault(name, []).append(one)
        return [one for name, listed in by_segment.items() for one in self._ways_out(name, listed)]

    def later(self, stale: Iterable[Stale]) -> list[Announce]:
        """The same for addresses that were elsewhere and are not usable before duplicate address detection ends."""
        elsewhere = {address for _, address in self._gone}
        return [one for _, one in self._announced(stale, _is_tentative) if one.address in elsewhere]

    def _announced(
        self, stale: Iterable[Stale], chosen: Callable[[AddressRow], bool]
    ) -> Iterator[tuple[Node, Announce]]:
        wrong = {(self._new.name((scope, row.index)), row.address or row.mac) for scope, row in stale}
        for node, address in sorted(self._come):
            row, name = self._new.row(node), self._new.name(node)
            known = name in self._heard or not wrong.isdisjoint({(name, address), (name, row.mac)})
            there = (one for one in self._new.addresses(node) if ip_of(one) == address)
            if known and row.up and len(row.mac) == _ETHERNET and any(map(chosen, there)):
                yield name, Announce(node[0], row.name, row.mac, address, (node[0], row.name))

    def _ways_out(self, name: Node, listed: list[Announce]) -> Iterable[Announce]:
        """The same announcements; many in a large segment leave only by its open links, where these are few.

        A bridge copies each broadcast to every port: 1,000 of them on 1,000 ports take seconds.  What the links of the
        run remember is deleted anyway.
        """
        members = self._new.members(name)
        ways = [node for node in members if self._new.is_open(node)]
        if len(listed) * len(members) <= _FLOOD or len(members) < _FEW * len(ways) or self._others_listen(members):
            return listed
        places = [(scope, self._new.row((scope, index)).name) for scope, index in ways]
        return [dataclasses.replace(one, scope=scope, link=link) for scope, link in places for one in listed]

    def _others_listen(self, members: Iterable[Node]) -> bool:
        """Whether the host itself listens on a link that is not netrecon's, such as a foreign bridge."""
        others = (node for node in members if not (self._is_ours(node) or self._new.is_open(node)))
        return any(not self._new.row(node).master for node in others)

    def carriers(self, announcements: Iterable[Announce]) -> dict[str, set[str]]:
        """By scope, the links that must be running before these are sent: their own, and the other end of a veth.

        Hardware is left out: it takes seconds to find its carrier, or has none.
        """
        names = {(one.scope, one.link) for one in announcements}
        nodes = {
            node
            for scope in {scope for scope, _ in names}
            for index, row in self._new.scopes[scope].links.items()
            if row.kind and (scope, row.name) in names
            for node in ((scope, index), self._new.scopes[scope].peers.get(index))
            if node is not None and node in self._new
        }
        links: dict[str, set[str]] = {}
        for node in nodes:
            links.setdefault(node[0], set()).add(self._new.row(node).name)
        return links


def forgotten(stale: Iterable[Stale]) -> list[Netlink]:
    """The requests that delete wrong entries; one may be corrected or gone by then."""
    return [_delete(scope, row) for scope, row in stale]


def _delete(scope: str, row: LearnedRow) -> Netlink:
    if not row.bridge:
        family = AF_INET6 if ":" in row.address else AF_INET
        return Netlink(
            scope, "delneigh", {"family": family, "ifindex": row.index}, (("NDA_DST", row.address),), optional=True
        )
    fields = {"family": AF_BRIDGE, "ifindex": row.index, "flags": NTF_MASTER}
    vlan = (("NDA_VLAN", row.vlan),) if row.vlan else ()
    return Netlink(scope, "delneigh", fields, (("NDA_LLADDR", row.mac), *vlan), optional=True)


# ------------------------------------------------------------------ two looks compared


def _moved(here: Segments, there: Segments) -> set[Node]:
    """The links that are not at the same place in the other look, and all that is behind those that are ports."""
    return {node for changed in _changed(here, there) for node in here.behind(changed)}


def _changed(here: Segments, there: Segments) -> Iterator[Node]:
    for scope, state in here.scopes.items():
        other = there.scopes.get(scope)
        if other is state:  # not read again
            continue
        for index, row in state.links.items():
            same = other.links.get(index) if other else None
            if not row.loopback and (other is None or same is None or _place(state, row) != _place(other, same)):
                yield scope, index


def _place(state: ScopeState, row: LinkRow) -> tuple[object, ...]:
    return row.name, row.mac, row.master, row.up, state.peers.get(row.index)


def _placed(here: Segments, there: Segments, moved: set[Node]) -> set[Held]:
    """The addresses of the links that moved, and those that are not on the same link in the other look."""
    held = {(node, ip_of(row)) for node in moved for row in here.addresses(node)}
    for scope, state in here.scopes.items():
        other = there.scopes.get(scope)
        if other is not state:
            known = {(row.index, ip_of(row)) for row in other.addresses} if other else set()
            held.update(
                ((scope, row.index), ip_of(row))
                for row in state.addresses
                if (row.index, ip_of(row)) not in known and row.index in state.links
                if not state.links[row.index].loopback
            )
    return held


def _is_tentative(row: AddressRow) -> bool:
    return row.flags & (IFA_F_TENTATIVE | IFA_F_OPTIMISTIC | IFA_F_DADFAILED) == IFA_F_TENTATIVE


def _is_usable(row: AddressRow) -> bool:
    """Whether a link may speak for the address: not before duplicate address detection ends, nor after it failed."""
    return not (row.flags & IFA_F_DADFAILED or _is_tentative(row))
