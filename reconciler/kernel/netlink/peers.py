"""Which veth is whose peer, and which link lies on which, across namespaces."""

from __future__ import annotations

import dataclasses
import os
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import decode, transport
from reconciler.model.rows import LinkRow, ScopeState

RTM_GETLINK, RTM_GETNSID = 18, 90
IFLA_TARGET_NETNSID = 46
NETNSA_NSID, NETNSA_FD = 1, 3
_RTGEN = bytes(4)  # rtgenmsg and its padding
_CROWD = 4  # candidates for one veth beyond which it pays to look at the peer itself

End = tuple[str, int]  # scope, ifindex
Pair = tuple[End, End]


def resolve_peers(kernel: Kernel, states: Mapping[str, ScopeState]) -> None:
    """Fill ``peers`` of every state; a peer in a namespace that was not read stays out.

    A dump gives the peer's ifindex and the nsid under which this namespace knows the peer's; the
    nsid's meaning is asked of the kernel (RTM_GETNSID changes nothing), once for each two namespaces
    that may be neighbours, in windows on the socket of the one with more veths.
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
    """Fill ``below`` of every state: what links other than veths lie on, where that was read."""
    leaning = [(scope, row) for scope, state in states.items() for row in state.links.values() if leans(row)]
    for scope, row in leaning:
        if row.peer_nsid < 0 and row.peer in states[scope].links:
            states[scope].below[row.index] = (scope, row.peer)
    crossing = [
        ((scope, row.index), (other, row.peer))
        for scope, row in leaning
        if row.peer_nsid >= 0
        for other, state in states.items()
        if other != scope and row.peer in state.links
    ]
    known = _nsids(kernel, states, crossing)
    for (scope, index), far in crossing:
        if known.get((scope, far[0])) == states[scope].links[index].peer_nsid:
            states[scope].below[index] = far


def leans(row: LinkRow) -> bool:
    """Whether a link lies on another one; of a veth its peer is told in the same place."""
    return row.kind != "veth" and row.peer > 0 and row.peer != (row.index if row.peer_nsid < 0 else 0)


def carry_over(
    before: Mapping[str, ScopeState], fresh: Mapping[str, ScopeState], kept: Mapping[str, ScopeState]
) -> dict[str, ScopeState]:
    """Fill in the peers that veths in ``fresh`` scopes, read again, have in those ``kept`` from ``before``.

    A veth whose end is as it was has the peer that it had.  Gives the kept scopes, without peers that are no more.
    """
    for scope in fresh.keys() & before:
        state, old = fresh[scope], before[scope]
        for index, far in old.peers.items():
            if far[0] in kept and index in state.links and _tie(state.links[index]) == _tie(old.links[index]):
                state.peers[index] = far
    if before.keys() == kept.keys():
        return dict(kept)
    return {scope: _without_lost(state, fresh, kept) for scope, state in kept.items()}


def _without_lost(state: ScopeState, fresh: Mapping[str, ScopeState], kept: Mapping[str, ScopeState]) -> ScopeState:
    left = {
        index: (scope, far)
        for index, (scope, far) in state.peers.items()
        if scope in kept or (scope in fresh and fresh[scope].peers.get(far) == (state.scope, index))
    }
    return state if len(left) == len(state.peers) else dataclasses.replace(state, peers=left)


def _tie(row: LinkRow) -> tuple[str, int, int]:
    return row.kind, row.peer, row.peer_nsid


def _within(states: Mapping[str, ScopeState]) -> None:
    for scope, state in states.items():
        for row in state.links.values():
            if row.kind == "veth" and row.peer and row.peer_nsid < 0:
                other = state.links.get(row.peer)
                if other is not None and other.peer == row.index and other.peer_nsid < 0:
                    state.peers[row.index] = (scope, row.peer)


# ------------------------------------------------------------------ who could it be


def _candidates(kernel: Kernel, states: Mapping[str, ScopeState]) -> Iterator[Pair]:
    """Pairs of ends that name each other's index; the first end is in the namespace to ask."""
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


def _ordered(crossing: Mapping[str, list[LinkRow]], one: End, other: End) -> Pair:
    if (len(crossing[other[0]]), other[0]) > (len(crossing[one[0]]), one[0]):
        return other, one
    return one, other


def _peer_macs(
    kernel: Kernel, crossing: Mapping[str, list[LinkRow]], by_indexes: Mapping[tuple[int, int], list[str]]
) -> dict[End, str]:
    """The peers' MAC addresses of the ends that have a crowd of candidates.

    Namespaces joined in pairs, each with its veth at index 2, all look alike: n of them would make n² pairs
    to ask about.  A link can be looked at through an nsid, which is slow, but once per end.
    """
    found: dict[End, str] = {}
    for scope, rows in crossing.items():
        crowded = [row for row in rows if len(by_indexes.get((row.peer, row.index), ())) > _CROWD]
        if crowded:
            macs = _look_through(kernel, scope, crowded)
            found.update({(scope, index): mac for index, mac in macs.items()})
    return found


def _look_through(kernel: Kernel, scope: str, rows: list[LinkRow]) -> dict[int, str]:
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


# ------------------------------------------------------------------ what an nsid means


def _nsids(kernel: Kernel, states: Mapping[str, ScopeState], pairs: Iterable[Pair]) -> dict[tuple[str, str], int]:
    """(scope, other scope) -> the nsid under which the first knows the second, -1 for none."""
    asked: dict[str, set[str]] = defaultdict(set)
    for near, far in pairs:
        asked[near[0]].add(far[0])
    found: dict[tuple[str, str], int] = {}
    for scope, others in asked.items():
        listed = sorted(others)
        for at in range(0, len(listed), transport.WINDOW):
            window = listed[at : at + transport.WINDOW]
            for other, nsid in zip(window, _ask(kernel, scope, window), strict=True):
                found[scope, other] = nsid
    return found


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
