"""What moved between two looks, what is announced for it, and which learned entries are wrong: without a kernel."""

from __future__ import annotations

import dataclasses
import errno
import socket
import struct
from typing import cast

import pytest

from reconciler.kernel import writer
from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import neighbours
from reconciler.model.errors import Failure
from reconciler.model.keys import HOST
from reconciler.model.requests import Request
from reconciler.model.rows import AddressRow, LearnedRow, LinkRow, LiveState, ScopeState
from reconciler.planning import moved
from reconciler.planning.moved import Moves, forgotten
from reconciler.planning.segments import Segments
from reconciler.safety import announcing

OURS = "netrecon:case"


def link(index: int, name: str, kind: str = "veth", master: int = 0, alias: str = OURS, mac: str = "") -> LinkRow:
    return LinkRow(
        index, name, kind, True, False, 1500, mac or f"02:00:00:00:00:{index:02x}", master, alias, 0, 0, -1, 0, 0
    )


def address(index: int, text: str, flags: int = 0x80) -> AddressRow:
    return AddressRow(index, text, True, 0, 0, flags)


def sandbox(scope: str, port: int, number: int, mac: str = "", flags: int = 0x80, at: int = 2) -> ScopeState:
    """A namespace with eth0, whose peer is port ``port`` of the host, and the addresses 10.0.0.N and fd00::N."""
    rows = [address(at, f"10.0.0.{number}/24", flags), address(at, f"fd00::{number}/64", flags)] if number else []
    eth0 = link(at, "eth0", mac=mac or f"02:00:00:00:{port:02x}:{at:02x}")
    return ScopeState(scope, {at: eth0}, rows, peers={at: (HOST, port)})


def live(*sandboxes: ScopeState, bridge: LinkRow | None = None, others: tuple[LinkRow, ...] = ()) -> LiveState:
    """A host with bridge br0 (1), a port for each sandbox, and other links."""
    links = {1: bridge or link(1, "br0", "bridge")}
    peers = {}
    for one in sandboxes:
        for index, (_, port) in one.peers.items():
            links[port] = link(port, f"v{port}", master=1)
            peers[port] = (one.scope, index)
    links |= {row.index: row for row in others}
    host = ScopeState(HOST, links, [address(1, "10.0.0.1/24")], peers=peers)
    return LiveState({HOST: host, **{one.scope: one for one in sandboxes}})


RED, BLUE, SIB = sandbox("red", 5, 5), sandbox("blue", 6, 6), sandbox("sib", 7, 7)
MAC_RED, MAC_BLUE = RED.links[2].mac, BLUE.links[2].mac
BEFORE = live(RED, BLUE, SIB)
SWAPPED = live(sandbox("red", 5, 6), sandbox("blue", 6, 5), SIB)
UPLINK = link(9, "eth1", "", master=1, alias="")
OLD = LearnedRow(2, "10.0.0.5", MAC_RED)
UNRELATED = LearnedRow(2, "10.0.0.9", MAC_RED)
RIGHT = LearnedRow(2, "fd00::5", MAC_BLUE)


def told(moves: Moves, stale: list[tuple[str, LearnedRow]] | None = None) -> list[tuple[str, str, str]]:
    return [(one.scope, one.link, one.address) for one in moves.announcements(stale or [])]


def test_nothing_moved() -> None:
    moves = Moves(BEFORE, live(RED, BLUE, SIB))
    assert moves.survivors == ()
    assert told(moves) == []


def test_what_was_born_together_has_nothing_to_remember() -> None:
    apart = link(9, "eth1", "", alias="")
    moves = Moves(LiveState({HOST: ScopeState(HOST, {9: apart})}), live(RED, BLUE, SIB, others=(apart,)))
    assert moves.survivors == ()
    assert told(moves) == []


def test_a_swap_makes_the_entries_of_both_wrong_and_no_others() -> None:
    moves = Moves(BEFORE, SWAPPED)
    assert moves.scopes == ["blue", HOST, "red", "sib"]
    asked = LearnedRow(2, "10.0.0.6", "")
    learned = {"sib": [OLD, UNRELATED, RIGHT, asked], HOST: [dataclasses.replace(OLD, index=1)]}
    assert moves.stale(learned) == [("sib", OLD), ("sib", asked), (HOST, dataclasses.replace(OLD, index=1))]


def test_only_what_somebody_remembers_is_announced_where_all_are_known() -> None:
    moves = Moves(BEFORE, SWAPPED)
    assert told(moves) == []
    assert told(moves, [("sib", OLD)]) == [("blue", "eth0", "10.0.0.5")]


def test_all_is_announced_where_others_may_remember() -> None:
    moves = Moves(live(RED, BLUE, SIB, others=(UPLINK,)), live(*SWAPPED_STATES, SIB, others=(UPLINK,)))
    assert told(moves) == [
        *(("blue", "eth0", one) for one in ("10.0.0.5", "fd00::5")),
        *(("red", "eth0", one) for one in ("10.0.0.6", "fd00::6")),
    ]


SWAPPED_STATES = (SWAPPED.scopes["red"], SWAPPED.scopes["blue"])


def test_many_leave_by_the_open_link_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moved, "_FLOOD", 1)
    monkeypatch.setattr(moved, "_FEW", 1)
    moves = Moves(live(RED, BLUE, SIB, others=(UPLINK,)), live(*SWAPPED_STATES, SIB, others=(UPLINK,)))
    assert {(one.scope, one.link, one.holder) for one in moves.announcements([])} == {
        (HOST, "eth1", ("red", "eth0")),
        (HOST, "eth1", ("blue", "eth0")),
    }
    monkeypatch.setattr(moved, "_FEW", 10)
    assert {one.scope for one in moves.announcements([])} == {"red", "blue"}, "one in eight is not few"
    monkeypatch.setattr(moved, "_FEW", 1)
    foreign = link(1, "br0", "bridge", alias="")
    before, after = live(RED, BLUE, SIB, bridge=foreign), live(*SWAPPED_STATES, SIB, bridge=foreign)
    assert {one.scope for one in Moves(before, after).announcements([])} == {"red", "blue"}, "the host must hear it"


def test_entries_on_foreign_links_of_the_host_are_left_alone() -> None:
    foreign = link(1, "br0", "bridge", alias="")
    moves = Moves(live(RED, BLUE, SIB, bridge=foreign), live(*SWAPPED_STATES, SIB, bridge=foreign))
    assert moves.stale({HOST: [dataclasses.replace(OLD, index=1)]}) == []
    assert len(told(moves)) == 4


def test_the_same_address_in_another_segment_is_another_one() -> None:
    elsewhere = ScopeState("far", {2: link(2, "eth0", "dummy")}, [address(2, "10.0.0.5/24")])
    before, after = (LiveState({**one.scopes, "far": elsewhere}) for one in (BEFORE, SWAPPED))
    moves = Moves(before, after)
    assert "far" not in moves.scopes
    assert moves.stale({"far": [OLD]}) == []


def test_of_what_is_gone_only_the_former_place_is_wrong() -> None:
    moves = Moves(BEFORE, live(BLUE, SIB))
    taken_over = LearnedRow(2, "10.0.0.5", "02:99:00:00:00:01")
    assert moves.stale({"sib": [OLD, taken_over, UNRELATED]}) == [("sib", OLD)]
    assert told(moves, [("sib", OLD)]) == []


def test_a_mac_that_is_behind_another_port() -> None:
    """The veth of red was deleted and made again with the MAC it had, as another port."""
    moves = Moves(BEFORE, live(sandbox("red", 8, 5, mac=MAC_RED, at=3), BLUE, SIB))
    wrong = LearnedRow(6, "", MAC_RED, bridge=1, vlan=4)
    right, other = LearnedRow(8, "", MAC_RED, bridge=1), LearnedRow(6, "", "02:99:00:00:00:02", bridge=1)
    assert moves.stale({HOST: [wrong, right, other]}) == [(HOST, wrong)]
    (request,) = forgotten([(HOST, wrong)])
    assert (request.command, request.fields["family"], request.fields["ifindex"]) == ("delneigh", 7, 6)
    assert request.attributes == (("NDA_LLADDR", MAC_RED), ("NDA_VLAN", 4))


def test_a_mac_that_is_gone() -> None:
    moves = Moves(BEFORE, live(sandbox("red", 5, 5, mac="02:99:00:00:00:05"), BLUE, SIB))
    former, unknown = LearnedRow(5, "", MAC_RED, bridge=1), LearnedRow(5, "", "02:99:00:00:00:02", bridge=1)
    assert moves.stale({HOST: [former, unknown]}) == [(HOST, former)]
    assert moves.stale({HOST: [LearnedRow(6, "", MAC_RED, bridge=1)]}) == [], "another machine has it now"


def test_a_port_on_another_bridge_takes_along_what_is_behind_it() -> None:
    after = live(RED, BLUE, SIB, others=(link(2, "br1", "bridge"), link(5, "v5", master=2)))
    moves = Moves(live(RED, BLUE, SIB, others=(link(2, "br1", "bridge"),)), after)
    assert moves.stale({"sib": [OLD, UNRELATED], HOST: [LearnedRow(5, "", MAC_RED, bridge=2)]}) == [("sib", OLD)]


@pytest.mark.parametrize(("flags", "now", "later"), [(0x80, 2, 0), (0xC0, 0, 2), (0xC4, 2, 0), (0x88, 0, 0)])
def test_an_address_under_duplicate_address_detection_is_announced_later(flags: int, now: int, later: int) -> None:
    """IFA_F_TENTATIVE, the same with IFA_F_OPTIMISTIC, IFA_F_DADFAILED."""
    before = live(RED, SIB, others=(UPLINK,))
    moves = Moves(before, live(sandbox("red", 5, 5, mac="02:99:00:00:00:05", flags=flags), SIB, others=(UPLINK,)))
    assert (len(moves.announcements([])), len(moves.later([]))) == (now, later)


def test_carriers_are_waited_for_but_not_those_of_hardware() -> None:
    moves = Moves(live(RED, BLUE, SIB, others=(UPLINK,)), live(*SWAPPED_STATES, SIB, others=(UPLINK,)))
    assert moves.carriers(moves.announcements([])) == {"red": {"eth0"}, "blue": {"eth0"}, HOST: {"v5", "v6"}}
    before, after = LiveState({HOST: alone()}), LiveState({HOST: alone("10.0.0.9/24")})
    announced = Moves(before, after).announcements([])
    assert [one.address for one in announced] == ["10.0.0.9"]
    assert Moves(before, after).carriers(announced) == {}


def alone(*addresses: str) -> ScopeState:
    return ScopeState(HOST, {9: link(9, "eth1", "", alias="")}, [address(9, one) for one in addresses])


def test_what_cannot_be_announced_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        def __init__(self, *_: object) -> None: ...

        def send(self, batch: list[list[Request]]) -> list[Failure | None]:
            return [Failure(errno.EPERM) for _ in batch]

    monkeypatch.setattr(writer, "Writer", Refusing)
    monkeypatch.setattr(neighbours, "read_learned", lambda *_: {})
    monkeypatch.setattr(neighbours, "await_running", lambda *_: None)
    before, after = live(RED, BLUE, SIB, others=(UPLINK,)), live(*SWAPPED_STATES, SIB, others=(UPLINK,))
    (line,) = announcing.tell(cast("Kernel", None), before, after)
    assert line.startswith("10.0.0.5 on eth0 in blue and 3 more were not announced to neighbours: ")


def test_without_packet_sockets_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(socket, "socket", refuse)
    (failure,) = neighbours._send([("eth0", 0x0806, b"")])
    assert failure is not None
    assert failure.errno == errno.EPERM


# ------------------------------------------------------------------ segments


def test_which_links_hear_each_other() -> None:
    rows = [link(1, "br0", "bridge"), link(2, "p", "", master=1), link(3, "mv", "macvlan"), link(4, "vrf0", "vrf")]
    routed = [link(5, "e", "", master=4), link(6, "f", "", master=4), link(7, "vlan7", "vlan")]
    state = ScopeState(HOST, {row.index: row for row in (*rows, *routed)}, below={3: (HOST, 2), 7: (HOST, 2)})
    segments = Segments({HOST: state})
    assert {*segments.members(segments.name((HOST, 3)))} == {(HOST, 1), (HOST, 2), (HOST, 3)}
    assert segments.name((HOST, 5)) != segments.name((HOST, 6))
    assert segments.behind((HOST, 2)) == {(HOST, 2), (HOST, 3)}
    assert [segments.is_open((HOST, index)) for index in (1, 2, 3, 7)] == [False, True, False, True]


# ------------------------------------------------------------------ packets and dumps


def test_a_gratuitous_arp() -> None:
    frame = neighbours.gratuitous_arp(bytes.fromhex("020000000005"), socket.inet_aton("10.0.0.5"))
    head, body = "ffffffffffff0200000000050806", "0001080006040001"
    assert frame.hex() == head + body + "020000000005" + "0a000005" + "000000000000" + "0a000005"


@pytest.mark.parametrize(("router", "flags"), [(False, 0x20), (True, 0xA0)])
def test_an_unsolicited_advertisement(router: bool, flags: int) -> None:
    source = socket.inet_pton(socket.AF_INET6, "fd00::5")
    frame = neighbours.advertisement(bytes.fromhex("020000000005"), source, router)
    assert frame[:14].hex() == "333300000001" + "020000000005" + "86dd"
    assert frame[14:22].hex() == "60000000" + "0020" + "3a" + "ff"
    assert frame[22:54] == source + socket.inet_pton(socket.AF_INET6, "ff02::1")
    assert (frame[54], frame[55], frame[58]) == (136, 0, flags)
    assert frame[62:] == source + bytes.fromhex("0201020000000005")
    words = struct.unpack(">36H", frame[22:54] + struct.pack(">II", 32, 58) + frame[54:])
    assert sum(words) % 0xFFFF == 0


def entry(family: int, index: int, state: int, flags: int, *attributes: tuple[int, bytes]) -> bytes:
    packed = (struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4) for kind, value in attributes)
    return struct.pack("=BxxxiHBB", family, index, state, flags, 0) + b"".join(packed)


MAC = bytes.fromhex("020000000005")
DST, LLADDR = (1, socket.inet_aton("10.0.0.5")), (2, MAC)
MASTER, VLAN = (9, struct.pack("=I", 1)), (5, struct.pack("=H", 7))


@pytest.mark.parametrize(
    ("body", "row"),
    [
        (entry(2, 3, 0x02, 0, DST, LLADDR), LearnedRow(3, "10.0.0.5", "02:00:00:00:00:05")),
        (entry(2, 3, 0x04, 0x80, DST, LLADDR), LearnedRow(3, "10.0.0.5", "02:00:00:00:00:05")),
        (entry(2, 3, 0x01, 0, DST), LearnedRow(3, "10.0.0.5", "")),
        (entry(2, 3, 0x20, 0, DST), None),
        (entry(2, 3, 0x80, 0, DST, LLADDR), None),
        (entry(2, 3, 0x40, 0, DST, LLADDR), None),
        (entry(2, 3, 0x02, 0x10, DST, LLADDR), None),
        (entry(2, 3, 0x00, 0x08, DST), None),
        (entry(7, 3, 0x02, 0, LLADDR, MASTER), LearnedRow(3, "", "02:00:00:00:00:05", 1)),
        (entry(7, 3, 0x02, 0, LLADDR, MASTER, VLAN), LearnedRow(3, "", "02:00:00:00:00:05", 1, 7)),
        (entry(7, 3, 0x80, 0, LLADDR, MASTER), None),
        (entry(7, 3, 0x02, 0x02, LLADDR), None),
        (entry(7, 3, 0x02, 0x40, LLADDR, MASTER), None),
        (entry(7, 3, 0x40, 0, LLADDR, MASTER), None),
    ],
)
def test_only_what_was_learned_is_read(body: bytes, row: LearnedRow | None) -> None:
    assert neighbours.learned(body) == row
