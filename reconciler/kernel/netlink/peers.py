"""Finds the peer of each veth, and the link below each other link, across namespaces."""

from __future__ import annotations

import os
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import decode, transport
from reconciler.model import data as dataclasses
from reconciler.model.rows import LinkRow, ScopeState

RTM_GETLINK, RTM_GETNSID = 18, 90
IFLA_TARGET_NETNSID = 46
NETNSA_NSID, NETNSA_FD = 1, 3
_RTGEN = bytes(4)  # rtgenmsg and its padding
_MANY = 4  # with more candidates than this for one veth, asking for the peer's MAC is cheaper than asking about each

End = tuple[str, int]  # scope, ifindex
Pair = tuple[End, End]


def resolve_peers(kernel: Kernel, states: Mapping[str, ScopeState]) -> None:
    """Fill ``peers`` and ``below`` of every state; peers in namespaces that were not read are left out.

    A dump gives the peer's ifindex (IFLA_LINK) and the nsid of the peer's namespace (IFLA_LINK_NETNSID), which is a
    number local to this namespace.  RTM_GETNSID, which changes nothing, tells which namespace it is: it is sent once
    for each pair of namespaces that may be joined, in windows, on the socket of the one with more veths.
    """
    _within(states)
    resolve_below(kernel, states)
    pairs = set(_candidates(kernel, states))
    known = _nsids(kernel, states, pairs)
    for near, far in pairs:
        if known.get((near[0], far[0])) == states[near[0]].links[near[1]].peer_nsid:
            states[near[0]].peers[near[1]] = far
            states[far[0]].peers[far[1]] = near


def resolve_below(kernel: Kernel, states: Mapping[str, ScopeState]) -> None:
    """Fill ``below`` of every state: the link under each VLAN, macvlan and the like, where its namespace was read."""
    uppers = [(scope, row) for scope, state in states.items() for row in state.links.values() if leans(row)]
    for scope, row in uppers:
        if row.peer_nsid < 0 and row.peer in states[scope].links:
            states[scope].below[row.index] = (scope, row.peer)
    crossing = [
        ((scope, row.index), (other, row.peer))
        for scope, row in uppers
        if row.peer_nsid >= 0
        for other, state in states.items()
        if other != scope and row.peer in state.links
    ]
    known = _nsids(kernel, states, crossing)
    for (scope, index), far in crossing:
        if known.get((scope, far[0])) == states[scope].links[index].peer_nsid:
            states[scope].below[index] = far


def leans(row: LinkRow) -> bool:
    """Whether a link lies on another one.  The same attribute, IFLA_LINK, of a veth names its peer."""
    return row.kind != "veth" and row.peer > 0 and row.peer != (row.index if row.peer_nsid < 0 else 0)


def carry_over(
    before: Mapping[str, ScopeState], fresh: Mapping[str, ScopeState], kept: Mapping[str, ScopeState]
) -> dict[str, ScopeState]:
    """Fill in ``peers`` of the ``fresh`` scopes, which were read again, with peers in the ``kept`` scopes.

    A veth whose IFLA_LINK and nsid are as they were ``before`` has the same peer.  Returns the kept scopes, without
    peers that are gone.
    """
    for scope in fresh.keys() & before:
        state, old = fresh[scope], before[scope]
        for index, far in old.peers.items():
            if far[0] in kept and index in state.links and _peer_of(state.links[index]) == _peer_of(old.links[index]):
                state.peers[index] = far
    if before.keys() == kept.keys():
        return dict(kept)
    return {scope: _without_lost(state, fresh, kept) for scope, state in kept.items()}


def _without_lost(state: ScopeState, fresh: Mapping[str, ScopeState], kept: Mapping[str, ScopeState]) -> ScopeState:
    present = {
        index: (scope, far)
        for index, (scope, far) in state.peers.items()
        if scope in kept or (scope in fresh and fresh[scope].peers.get(far) == (state.scope, index))
    }
    return state if len(present) == len(state.peers) else dataclasses.replace(state, peers=present)


def _peer_of(row: LinkRow) -> tuple[str, int, int]:
    return row.kind, row.peer, row.peer_nsid


def _within(states: Mapping[str, ScopeState]) -> None:
    """Fill in the peers of veths with both ends in one namespace."""
    for scope, state in states.items():
        for row in state.links.values():
            if row.kind == "veth" and row.peer and row.peer_nsid < 0:
                other = state.links.get(row.peer)
                if other is not None and other.peer == row.index and other.peer_nsid < 0:
                    state.peers[row.index] = (scope, row.peer)


# ------------------------------------------------------------------ possible peers


def _candidates(kernel: Kernel, states: Mapping[str, ScopeState]) -> Iterator[Pair]:
    """Pairs of ends that name each other's ifindex; the first end is in the namespace that is asked for the nsid."""
    crossing = {scope: _crossing(state) for scope, state in states.items()}
    by_indexes: dict[tuple[int, int], list[str]] = defaultdict(list)
    for scope, rows in crossing.items():
        for row in rows:
            by_indexes[row.index, row.peer].append(scope)
    macs = _peer_macs(kernel, crossing, by_indexes)
    for scope, rows in crossing.items():
        for row in rows:
            others = by_indexes[row.peer, row.index]
            mac = macs.get((scope, row.index))
            for other in others:
                if other != scope and (mac is None or states[other].links[row.peer].mac == mac):
                    yield _ordered(crossing, (scope, row.index), (other, row.peer))


def _crossing(state: ScopeState) -> list[LinkRow]:
    rows = state.links.values()
    return [row for row in rows if row.kind == "veth" and row.peer and row.peer_nsid >= 0]


def _ordered(crossing: Mapping[str, list[LinkRow]], end: End, other: End) -> Pair:
    if (len(crossing[other[0]]), other[0]) > (len(crossing[end[0]]), end[0]):
        return other, end
    return end, other


def _peer_macs(
    kernel: Kernel, crossing: Mapping[str, list[LinkRow]], by_indexes: Mapping[tuple[int, int], list[str]]
) -> dict[End, str]:
    """The MAC address of the peer, for the ends that have many candidates.

    n namespaces that each have their veth at ifindex 2 make n² possible pairs.  The kernel gives the peer itself
    when it is asked by nsid (IFLA_TARGET_NETNSID); that is slow, but it is one request per end.
    """
    macs: dict[End, str] = {}
    for scope, rows in crossing.items():
        many = [row for row in rows if len(by_indexes.get((row.peer, row.index), ())) > _MANY]
        if many:
            macs.update({(scope, index): mac for index, mac in _macs_by_nsid(kernel, scope, many).items()})
    return macs


def _macs_by_nsid(kernel: Kernel, scope: str, rows: list[LinkRow]) -> dict[int, str]:
    requests = [
        transport.message(
            RTM_GETLINK,
            struct.pack("=BxHiII", 0, 0, row.peer, 0, 0)
            + transport.attribute(IFLA_TARGET_NETNSID, struct.pack("=i", row.peer_nsid))
            + transport.attribute(decode.IFLA_EXT_MASK, struct.pack("=I", 8)),
        )
        for row in rows
    ]
    answers = transport.exchange(kernel.socket(scope), requests)
    return {
        row.index: decode.link(body).mac for row, (failure, body) in zip(rows, answers, strict=True) if failure is None
    }


# ------------------------------------------------------------------ nsids


def _nsids(kernel: Kernel, states: Mapping[str, ScopeState], pairs: Iterable[Pair]) -> dict[tuple[str, str], int]:
    """(scope, other scope) -> the nsid that the other one has in the first, -1 for none."""
    asked: dict[str, set[str]] = defaultdict(set)
    for near, far in pairs:
        asked[near[0]].add(far[0])
    nsids: dict[tuple[str, str], int] = {}
    for scope, others in asked.items():
        listed = sorted(others)
        for at in range(0, len(listed), transport.WINDOW):
            window = listed[at : at + transport.WINDOW]
            for other, nsid in zip(window, _ask(kernel, scope, window), strict=True):
                nsids[scope, other] = nsid
    return nsids


def _ask(kernel: Kernel, scope: str, others: list[str]) -> list[int]:
    fds: list[int] = []
    try:
        fds.extend(kernel.open(other) for other in others)
        requests = [
            transport.message(RTM_GETNSID, _RTGEN + transport.attribute(NETNSA_FD, struct.pack("=I", fd))) for fd in fds
        ]
        answers = transport.exchange(kernel.socket(scope), requests)
    finally:
        for fd in fds:
            os.close(fd)
    return [-1 if failure is not None else _nsid(body) for failure, body in answers]


def _nsid(body: bytes) -> int:
    value = decode.attributes(body, 4).get(NETNSA_NSID, b"")
    return int(struct.unpack("=i", value)[0]) if len(value) == 4 else -1
