"""What moved is reached at once by siblings, the host and the LAN, whatever they remember of the time before."""

from __future__ import annotations

import contextlib
import json
import pathlib
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from throwaway import inside, ip_json, sh

from reconciler.cli import main
from reconciler.planning import moved

pytestmark = pytest.mark.live

PORT = 7777
AT_ONCE = 0.9  # seconds


class Answerer:
    """Answers datagrams to any address of some namespaces with the namespace's name."""

    def __init__(self) -> None:
        self._sockets: dict[socket.socket, str] = {}
        self._end = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __call__(self, *scopes: str) -> None:
        for scope in scopes:
            for family, everywhere in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
                sock = inside(scope, socket.socket, family, socket.SOCK_DGRAM)
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.bind((everywhere, PORT))
                self._sockets[sock] = scope

    def forget(self, scope: str) -> None:
        for sock in [sock for sock, name in self._sockets.items() if name == scope]:
            del self._sockets[sock]
            sock.close()

    def _serve(self) -> None:
        while not self._end:
            with contextlib.suppress(OSError, ValueError):  # one was closed meanwhile
                for sock in select.select([*self._sockets], [], [], 0.02)[0]:
                    _, sender = sock.recvfrom(64)
                    sock.sendto(self._sockets[sock].encode(), sender)

    def close(self) -> None:
        self._end = True
        self._thread.join()
        for sock in self._sockets:
            sock.close()


@pytest.fixture
def answer() -> Iterator[Answerer]:
    answerer = Answerer()
    yield answerer
    answerer.close()


def ask(scope: str, address: str, seconds: float = AT_ONCE) -> str:
    """Who answers a datagram within this time: the name of a namespace, "nobody" for none."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with inside(scope, socket.socket, family, socket.SOCK_DGRAM) as sock:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            sock.settimeout(min(left, 0.1))
            with contextlib.suppress(OSError):
                sock.sendto(b"?", (address, PORT))
                return sock.recv(64).decode()
            time.sleep(0.01)
    return "nobody"


class Frames:
    """The announcements that come in by a link: (address, MAC address), and whether a router sent it."""

    def __init__(self, scope: str, link: str) -> None:
        self._socket = inside(scope, socket.socket, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self._socket.bind((link, 3))
        self._socket.setblocking(False)

    def close(self) -> None:
        self._socket.close()

    def heard(self) -> list[tuple[str, str, bool]]:
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                frame, (_, _, kind, _, _) = self._socket.recvfrom(2048)
                if kind != 4 and (one := announcement(frame)):  # PACKET_OUTGOING
                    found.append(one)
        return sorted(found)


@pytest.fixture
def frames() -> Iterator[Callable[[str, str], Frames]]:
    """``frames(scope, link)``: a Frames from now on."""
    with contextlib.ExitStack() as stack:
        yield lambda scope, link: stack.enter_context(contextlib.closing(Frames(scope, link)))


def announcement(frame: bytes) -> tuple[str, str, bool] | None:
    target, source, protocol = frame[:6], frame[6:12], frame[12:14]
    if protocol == b"\x08\x06" and frame[28:32] == frame[38:42]:
        assert (target, frame[22:28]) == (b"\xff" * 6, source)
        return socket.inet_ntoa(frame[28:32]), source.hex(":"), False
    if protocol == b"\x86\xdd" and frame[20] == 58 and frame[54] == 136 and frame[38:54] == ALL_NODES:
        assert (frame[21], frame[58] & 0x60) == (255, 0x20), "hop limit; override, and not solicited"
        assert (frame[62:78], frame[78:80], frame[80:86]) == (frame[22:38], b"\x02\x01", source)
        assert checksum(frame[22:54] + struct.pack(">II", len(frame) - 54, 58) + frame[54:]) == 0xFFFF
        return socket.inet_ntop(socket.AF_INET6, frame[62:78]), source.hex(":"), bool(frame[58] & 0x80)
    return None


ALL_NODES = socket.inet_pton(socket.AF_INET6, "ff02::1")


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


Apply = Callable[..., None]
Listening = Callable[[str, str], Frames]


@pytest.fixture
def apply(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> Apply:
    def run(topology: dict[str, Any], *options: str, command: str = "apply", code: int = 0) -> None:
        file = tmp_path / "topology.yaml"
        file.write_text(json.dumps({"version": 1, "name": "moving", **topology}))
        ended = main.main([command, "-q", *options, str(file)])
        said = capsys.readouterr()
        assert ended == code, said.out + said.err

    return run


# ------------------------------------------------------------------ topologies

NAMES = ("blue", "red", "sib")
GATEWAY = {"addresses": ["10.9.0.1/24", "fd09::1/64"]}


def addresses(number: int) -> list[str]:
    return [f"10.9.0.{number}/24", f"fd09::{number}/64"]


def veth(number: int, name: str, **words: Any) -> dict[str, Any]:
    return {
        "master": words.pop("master", "br0"),
        "peer": {"namespace": name, "name": "eth0", "addresses": addresses(number), **words},
    }


def base(**places: Any) -> dict[str, Any]:
    """A bridge with three sandboxes, red (5), blue (6) and sib (7); ``places`` replaces veths."""
    veths = {"vred": veth(5, "red"), "vblue": veth(6, "blue"), "vsib": veth(7, "sib")}
    return {
        "bridges": {"br0": GATEWAY},
        "veths": {name: one for name, one in {**veths, **places}.items() if one},
        "namespaces": {name: {} for name in NAMES},
    }


def mac(number: int) -> str:
    return f"02:00:00:00:09:{number:02x}"


SWAPPED = base(vred=veth(6, "red"), vblue=veth(5, "blue"))
WITH_MACS = base(vred=veth(5, "red", mac=mac(5)), vblue=veth(6, "blue", mac=mac(6)))
MAC_CHANGED = base(vred=veth(5, "red", mac=mac(0x55)), vblue=veth(6, "blue", mac=mac(6)))
MACS_SWAPPED = base(vred=veth(5, "red", mac=mac(6)), vblue=veth(6, "blue", mac=mac(5)))
BARE = base(vred=veth(5, "red"), vblue={"master": "br0", "peer": {"namespace": "blue", "name": "eth0"}})
TO_BLUE = base(
    vred={"master": "br0", "peer": {"namespace": "red", "name": "eth0"}}, vblue=veth(5, "blue"), vsib=veth(7, "sib")
)
TWO_LINKS = base(
    vred2={"master": "br0", "peer": {"namespace": "red", "name": "eth1"}},
)
ON_THE_SECOND = base(
    vred={"master": "br0", "peer": {"namespace": "red", "name": "eth0"}},
    vred2={"master": "br0", "peer": {"namespace": "red", "name": "eth1", "addresses": addresses(5)}},
)
ON_THE_BRIDGE = {
    **base(vred={"master": "br0", "peer": {"namespace": "red", "name": "eth0"}}),
    "bridges": {"br0": {"addresses": [*GATEWAY["addresses"], *addresses(5)]}},
}
BRIDGE_MAC = {**base(), "bridges": {"br0": {**GATEWAY, "mac": mac(0xBB)}}}
LOW = {"vlow": {"master": "br0", "mac": "02:00:00:00:00:01", "peer": {"namespace": "sib", "name": "eth9"}}}
LOWER_PORT = {**base(), "veths": {**base()["veths"], **LOW}}
RED_GONE = {**base(vred=None, vblue=veth(5, "blue")), "namespaces": {"blue": {}, "sib": {}}}
ANOTHER_NAME = base(vred=None, vred9=veth(5, "red"))

R4, R6, B4, B6 = "10.9.0.5", "fd09::5", "10.9.0.6", "fd09::6"
BOTH = [(R4, "red"), (R6, "red"), (B4, "blue"), (B6, "blue")]
SWAP = [(R4, "blue"), (R6, "blue"), (B4, "red"), (B6, "red")]
GATEWAYS = [*BOTH, ("10.9.0.1", "host"), ("fd09::1", "host")]
TRYING = (
    "for ip in 10.9.0.5 fd09::5; do ping -c1 -W1 $ip; ip netns exec sib ping -c1 -W1 $ip; done >/dev/null 2>&1; true"
)
BLUE_HAS_IT = [(R4, "blue"), (R6, "blue")]

# given, by hand, wanted -> who answers then
CASES: dict[str, tuple[dict[str, Any], str, dict[str, Any], list[tuple[str, str]]]] = {
    "two_sandboxes_swap_their_addresses": (base(), "", SWAPPED, SWAP),
    "a_veth_deleted_by_hand": (base(), "ip link del vred", base(), BOTH),
    "a_namespace_deleted_by_hand": (base(), "ip netns del red; ip link del vred", base(), BOTH),
    "a_declared_mac_changes": (WITH_MACS, "", MAC_CHANGED, BOTH),
    "two_macs_swap": (WITH_MACS, "", MACS_SWAPPED, BOTH),
    "the_macs_and_the_addresses_swap": (
        WITH_MACS,
        "",
        base(vred=veth(6, "red", mac=mac(6)), vblue=veth(5, "blue", mac=mac(5))),
        SWAP,
    ),
    "an_address_moves_to_another_namespace": (BARE, "", TO_BLUE, BLUE_HAS_IT),
    "an_address_moves_to_another_link_of_its_namespace": (TWO_LINKS, "", ON_THE_SECOND, BOTH),
    "an_address_moves_from_a_port_to_the_bridge": (base(), "", ON_THE_BRIDGE, [(R4, "host"), (R6, "host")]),
    "the_bridge_gets_another_mac": (base(), "", BRIDGE_MAC, GATEWAYS),
    "a_namespace_leaves_and_another_takes_its_address": (base(), "", RED_GONE, BLUE_HAS_IT),
    "a_bridge_deleted_by_hand": (base(), "ip link del br0", base(), GATEWAYS),
    "a_port_off_its_bridge": (base(), f"ip link set vred nomaster; {TRYING}", base(), BOTH),
    "an_end_that_was_down": (base(), f"ip -n red link set eth0 down; {TRYING}", base(), BOTH),
    "an_address_deleted_by_hand": (base(), f"ip -n red addr flush dev eth0; {TRYING}", base(), BOTH),
    "a_bridge_that_takes_the_mac_of_a_new_port": (base(), "", LOWER_PORT, GATEWAYS),
    "a_veth_under_another_name": (base(), "", ANOTHER_NAME, BOTH),
}


def warm(*scopes: str, addresses: Iterable[str]) -> None:
    for scope in scopes:
        for address in addresses:
            ask(scope, address, 3.0)


@pytest.mark.parametrize("name", CASES)
def test_siblings_and_the_host_reach_it_at_once(name: str, apply: Apply, answer: Answerer) -> None:
    given, by_hand, wanted, expected = CASES[name]
    apply(given)
    answer(*NAMES, "host")
    there = [address for address in ("10.9.0.1", "fd09::1", R4, R6, B4, B6) if ask("sib", address, 0.5) != "nobody"]
    warm("host", *([] if "10.9.0.6" not in there else ["blue"]), "red", addresses=there)
    if by_hand:
        answer.forget("red")  # the namespace may be another one afterwards
        sh(by_hand)
    elif "red" not in wanted["namespaces"]:
        answer.forget("red")
    sh("ip -n sib neigh replace 10.9.0.200 lladdr 02:00:00:00:00:aa dev eth0 nud permanent")
    sh("ip -n sib neigh replace 10.9.0.201 lladdr 02:00:00:00:00:ab dev eth0 nud stale")
    apply(wanted)
    if by_hand:
        answer("red")
    for scope in ("sib", "host"):
        assert [(address, ask(scope, address)) for address, _ in expected] == expected, scope
    there = {one["dst"]: one["lladdr"] for one in ip_json("-n sib neigh") if "lladdr" in one}
    assert (there["10.9.0.200"], there["10.9.0.201"]) == ("02:00:00:00:00:aa", "02:00:00:00:00:ab")
    apply(wanted)
    apply(wanted, command="check")


# ------------------------------------------------------------------ the LAN


def lan() -> None:
    """Another machine, joined to eth1 of the host."""
    sh("ip netns add lan; ip link add eth1 type veth peer name eth0 netns lan; ip link set eth1 up")
    sh("ip -n lan link set eth0 up; ip -n lan addr add 10.9.0.100/24 dev eth0")
    sh("ip -n lan addr add fd09::100/64 dev eth0 nodad")


def on_interface(number: int, **words: Any) -> dict[str, Any]:
    return {"interfaces": {"eth1": {"addresses": addresses(number), **words}}}


def link_mac(scope: str, link: str) -> str:
    (row,) = ip_json(f"link show {link}" if scope == "host" else f"-n {scope} link show {link}")
    return str(row["address"])


def both(number: int, mac: str, router: bool = False) -> list[tuple[str, str, bool]]:
    return [(f"10.9.0.{number}", mac, False), (f"fd09::{number}", mac, router)]


def test_an_address_of_the_host_is_announced_to_the_lan(apply: Apply, answer: Answerer, frames: Listening) -> None:
    lan()
    heard = frames("lan", "eth0").heard
    apply(on_interface(5))
    assert heard() == both(5, link_mac("host", "eth1"))
    apply(on_interface(5))
    apply(on_interface(5), command="plan")
    assert heard() == [], "nothing moved"
    apply({"interfaces": {"eth1": {"addresses": [*addresses(5), *addresses(6)]}}})
    assert heard() == both(6, link_mac("host", "eth1")), "and only what is new"
    answer("host")
    assert [ask("lan", address) for address in (R4, R6, B4, B6)] == ["host"] * 4
    apply(on_interface(5, mac=mac(0x77)))
    assert [one for one in heard() if not one[0].startswith("fe80")] == both(5, mac(0x77))
    assert [ask("lan", address) for address in (R4, R6)] == ["host"] * 2


def test_a_router_says_that_it_is_one(apply: Apply, frames: Listening) -> None:
    """Else whoever hears it gives up the default route that it has from it."""
    lan()
    sh("sysctl -qw net.ipv6.conf.all.forwarding=1")
    heard = frames("lan", "eth0").heard
    apply(on_interface(5))
    assert heard() == both(5, link_mac("host", "eth1"), router=True)


def bridged(**places: Any) -> dict[str, Any]:
    return {**base(**places), "interfaces": {"eth1": {"master": "br0"}}}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (bridged(vred=veth(6, "red"), vblue=veth(5, "blue")), SWAP),
        ({**bridged(), "bridges": BRIDGE_MAC["bridges"]}, GATEWAYS),
        (
            {**bridged(), "bridges": ON_THE_BRIDGE["bridges"], "veths": ON_THE_BRIDGE["veths"]},
            [(R4, "host"), (R6, "host")],
        ),
    ],
)
def test_the_lan_reaches_at_once_what_is_behind_a_bridge(
    wanted: dict[str, Any], expected: list[tuple[str, str]], apply: Apply, answer: Answerer
) -> None:
    lan()
    apply(bridged())
    answer(*NAMES, "host")
    warm("lan", addresses=("10.9.0.1", "fd09::1", R4, R6, B4, B6))
    apply(wanted)
    assert [(address, ask("lan", address)) for address, _ in expected] == expected


def test_a_veth_repaired_is_announced_to_the_lan(apply: Apply, answer: Answerer, frames: Listening) -> None:
    lan()
    apply(bridged())
    answer(*NAMES, "host")
    warm("lan", "sib", addresses=(R4, R6, B4, B6))
    sh("ip link del vred")
    heard = frames("lan", "eth0").heard
    apply(bridged())
    assert [one for one in heard() if one[0] in (R4, R6)] == both(5, link_mac("red", "eth0"))
    assert [(address, ask("lan", address)) for address, _ in BOTH] == BOTH


def test_what_an_earlier_run_deleted_and_a_later_one_makes_anew(apply: Apply, answer: Answerer) -> None:
    """The LAN remembers it, and nobody else knows that it was there."""
    lan()
    apply(bridged())
    answer("red")
    warm("lan", addresses=(R4, R6))
    answer.forget("red")
    apply({**bridged(vred=None), "namespaces": {"blue": {}, "sib": {}}})
    apply(
        {**bridged(vred=None, vgreen=veth(5, "green")), "namespaces": {name: {} for name in ("blue", "sib", "green")}}
    )
    answer("green")
    assert [ask("lan", address) for address in (R4, R6)] == ["green"] * 2


def test_many_are_announced_by_the_link_to_the_lan(
    apply: Apply, answer: Answerer, frames: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moved, "_FLOOD", 1)
    monkeypatch.setattr(moved, "_FEW", 1)
    lan()
    apply(bridged())
    answer(*NAMES)
    warm("lan", "sib", "host", addresses=(R4, R6, B4, B6))
    heard = frames("lan", "eth0").heard
    apply(bridged(vred=veth(6, "red"), vblue=veth(5, "blue")))
    assert heard() == sorted([*both(6, link_mac("red", "eth0")), *both(5, link_mac("blue", "eth0"))])
    found = [(scope, address, ask(scope, address)) for scope in ("lan", "sib", "host") for address, _ in SWAP]
    assert found == [(scope, *one) for scope in ("lan", "sib", "host") for one in SWAP]


def test_containers_and_foreign_bridges_are_told_too(apply: Apply, answer: Answerer) -> None:
    """Their tables are somebody else's: only the announcement reaches them."""
    sh("ip link add br9 type bridge; ip link set br9 up; ip addr add 10.9.0.1/24 dev br9")
    sh("ip netns add lan; ip link add c0 type veth peer name eth0 netns lan; ip link set c0 master br9 up")
    sh("ip -n lan link set eth0 up; ip -n lan addr add 10.9.0.100/24 dev eth0")
    topology = {"interfaces": {"br9": {}}, "namespaces": {"red": {}, "blue": {}}}

    def with_veths(red: int, blue: int) -> dict[str, Any]:
        veths = {"vred": veth(red, "red", master="br9"), "vblue": veth(blue, "blue", master="br9")}
        return {**topology, "veths": veths}

    apply(with_veths(5, 6))
    answer("red", "blue")
    warm("lan", "host", addresses=(R4, B4))
    apply(with_veths(6, 5))
    found = [(scope, address, ask(scope, address)) for scope in ("lan", "host") for address in (R4, B4)]
    assert found == [(scope, *one) for scope in ("lan", "host") for one in ((R4, "blue"), (B4, "red"))]


def test_a_macvlan_takes_an_address_over_from_the_link_below(apply: Apply, answer: Answerer) -> None:
    lan()
    sh("ip link add mv0 link eth1 type macvlan mode bridge; ip link set mv0 up")
    apply(on_interface(5))
    answer("host")
    warm("lan", addresses=(R4, R6))
    apply({"interfaces": {"eth1": {}, "mv0": {"addresses": addresses(5)}}})
    known = {one["dst"]: one["lladdr"] for one in ip_json("-n lan neigh") if "lladdr" in one}
    assert {known[R4], known[R6]} == {link_mac("host", "mv0")}
    assert [ask("lan", address) for address in (R4, R6)] == ["host"] * 2


def test_the_address_of_an_interface_moves_to_a_bridge_over_it(apply: Apply, answer: Answerer) -> None:
    lan()
    apply(on_interface(5))
    answer("host")
    warm("lan", addresses=(R4, R6))
    apply(
        {"interfaces": {"eth1": {"master": "br0"}}, "bridges": {"br0": {"addresses": addresses(5), "mac": mac(0xBB)}}}
    )
    assert [ask("lan", address) for address in (R4, R6)] == ["host"] * 2


def test_a_veth_without_a_bridge(apply: Apply, answer: Answerer) -> None:
    def pair(number: int) -> dict[str, Any]:
        far = {"namespace": "red", "name": "eth0", "mac": mac(number), "addresses": addresses(5)}
        return {"veths": {"vred": {"addresses": GATEWAY["addresses"], "peer": far}}, "namespaces": {"red": {}}}

    apply(pair(5))
    answer("red", "host")
    warm("host", addresses=(R4, R6))
    apply(pair(6))
    assert [ask("host", address) for address in (R4, R6)] == ["red"] * 2


def test_after_changes_that_nobody_confirms(apply: Apply, answer: Answerer) -> None:
    lan()
    apply(bridged())
    answer(*NAMES, "host")
    warm("sib", "host", "lan", addresses=(R4, R6, B4, B6))
    apply(bridged(vred=veth(6, "red"), vblue=veth(5, "blue")), "--confirm-within", "1s", code=3)
    found = [(scope, address, ask(scope, address)) for scope in ("sib", "host", "lan") for address, _ in BOTH]
    assert found == [(scope, *one) for scope in ("sib", "host", "lan") for one in BOTH]


def test_an_address_is_announced_when_duplicate_address_detection_ends(
    apply: Apply, answer: Answerer, frames: Listening
) -> None:
    """A link-local address that the kernel tries again when the link comes up, with another MAC address."""
    lan()
    sh("ip link set eth1 address 02:00:00:00:00:66; ip addr add fe80::66/64 dev eth1")
    time.sleep(2.5)
    answer("host")
    sh("ip netns exec lan ping -c1 -W1 fe80::66%eth0")
    sh("ip link set eth1 down; ip link set eth1 up; ip addr add fe80::66/64 dev eth1")
    heard = frames("lan", "eth0").heard
    apply({"interfaces": {"eth1": {"mac": mac(0x77)}}})
    assert ("fe80::66", mac(0x77), False) in heard()
    sh("ip netns exec lan ping -c1 -W1 fe80::66%eth0")


# ------------------------------------------------------------------ from one bridge to another

TWO_BRIDGES = {**base(), "bridges": {"br0": GATEWAY, "br1": {"addresses": ["10.9.1.1/24"]}}}


def on_the_other(**words: Any) -> dict[str, Any]:
    return {**TWO_BRIDGES, "veths": {**TWO_BRIDGES["veths"], "vred": veth(5, "red", master="br1", mac=mac(5))}}


def test_a_veth_on_another_bridge_and_back(apply: Apply, answer: Answerer) -> None:
    """Blue gets the address of red, which has gone to another bridge, and then red comes back."""
    red, blue = veth(5, "red", mac=mac(5)), {"master": "br0", "peer": {"namespace": "blue", "name": "eth0"}}
    apply({**TWO_BRIDGES, "veths": {**TWO_BRIDGES["veths"], "vred": red, "vblue": blue}})
    answer(*NAMES, "host")
    warm("sib", "host", addresses=(R4, R6))
    away = on_the_other()["veths"]["vred"]
    apply({**TWO_BRIDGES, "veths": {**TWO_BRIDGES["veths"], "vred": away, "vblue": veth(5, "blue")}})
    assert [(scope, address, ask(scope, address)) for scope in ("sib", "host") for address in (R4, R6)] == [
        (scope, address, "blue") for scope in ("sib", "host") for address in (R4, R6)
    ]
    apply({**TWO_BRIDGES, "veths": {**TWO_BRIDGES["veths"], "vred": red, "vblue": blue}})
    assert [ask(scope, address) for scope in ("sib", "host") for address in (R4, R6)] == ["red"] * 4


def test_what_a_bridge_learned_of_a_port_that_is_elsewhere_now(apply: Apply) -> None:
    """A bridge that does not learn from the new port keeps what it has: the entry itself must go, and no other."""
    quiet = {"master": "br0", "learning": False, "peer": {"namespace": "red", "name": "eth0", "mac": mac(5)}}
    apply(base(vred=quiet))
    sh(f"bridge fdb replace {mac(5)} dev vblue master dynamic; bridge fdb replace {mac(9)} dev vblue master dynamic")
    sh(f"bridge fdb replace {mac(8)} dev vblue master static")
    sh("ip link del vred")
    apply(base(vred=quiet))
    there = [one["mac"] for one in ip_json_bridge("fdb show br br0") if one["ifname"] == "vblue"]
    assert {mac(5), mac(8), mac(9)} & {*there} == {mac(8), mac(9)}


def ip_json_bridge(arguments: str) -> Any:
    return json.loads(sh(f"bridge -j {arguments}"))


# ------------------------------------------------------------------ going back, deleting

BROKEN = {"sysctls": {"net.ipv4.tcp_congestion_control": "nosuch"}}


def test_after_a_rollback_the_old_places_are_reached_at_once(apply: Apply, answer: Answerer) -> None:
    lan()
    apply(bridged())
    answer(*NAMES, "host")
    warm("sib", "host", "lan", addresses=(R4, R6, B4, B6))
    apply({**bridged(vred=veth(6, "red"), vblue=veth(5, "blue")), **BROKEN}, code=3)
    found = [(scope, address, ask(scope, address)) for scope in ("sib", "host", "lan") for address, _ in BOTH]
    assert found == [(scope, *one) for scope in ("sib", "host", "lan") for one in BOTH]


def test_who_learned_the_new_place_learns_the_old_one_again(
    apply: Apply, answer: Answerer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where packets flowed before the failure: here the apply waits for a proof that never comes."""
    from reconciler.run import converge

    lan()
    apply(bridged())
    answer(*NAMES, "host")
    warm("sib", "lan", addresses=(R4, R6, B4, B6))

    def disprove(_kernel: Any, _planned: Any, result: Any) -> None:
        assert [(scope, address, ask(scope, address)) for scope in ("sib", "lan") for address, _ in SWAP] == [
            (scope, *one) for scope in ("sib", "lan") for one in SWAP
        ]
        result.trouble = "disproved"

    monkeypatch.setattr(converge, "_verify", disprove)
    apply(bridged(vred=veth(6, "red"), vblue=veth(5, "blue")), "--verify", code=3)
    found = [(scope, address, ask(scope, address)) for scope in ("sib", "lan") for address, _ in BOTH]
    assert found == [(scope, *one) for scope in ("sib", "lan") for one in BOTH]


def test_neighbours_of_what_is_deleted_are_forgotten(apply: Apply, answer: Answerer) -> None:
    apply(base())
    answer(*NAMES)
    warm("sib", "host", addresses=(R4, R6, B4, B6))
    answer.forget("red")
    apply({**base(vred=None), "namespaces": {"blue": {}, "sib": {}}})
    known = {one["dst"] for scope in ("-n sib ", "") for one in ip_json(f"{scope}neigh") if "lladdr" in one}
    assert known & {R4, R6, B4, B6} == {B4, B6}


def test_a_first_apply_on_an_empty_host_announces_nothing(apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
    from reconciler.kernel.netlink import neighbours

    def never(*_: Any) -> Any:
        raise AssertionError("nobody can remember anything")

    monkeypatch.setattr(neighbours, "read_learned", never)
    monkeypatch.setattr(neighbours, "announce", never)
    apply(base())


def test_settings_are_as_before(apply: Apply) -> None:
    apply(base())
    before = sh("sysctl -a 2>/dev/null | grep -E 'arp_notify|ndisc_notify|arp_accept'")
    apply(SWAPPED)
    assert sh("sysctl -a 2>/dev/null | grep -E 'arp_notify|ndisc_notify|arp_accept'") == before


def test_the_lan_reaches_a_published_port_on_a_bridge_that_has_just_been_made(apply: Apply, answer: Answerer) -> None:
    """A bridge whose link-local address is still being looked for asks for no neighbour on behalf of the LAN."""
    sh("ip netns add lan; ip link add eth1 type veth peer name eth0 netns lan; ip link set eth1 up")
    sh("ip addr add 203.0.113.1/24 dev eth1; ip addr add 2001:db8::1/64 dev eth1 nodad")
    sh("ip -n lan link set eth0 up; ip -n lan addr add 203.0.113.2/24 dev eth0")
    sh("ip -n lan addr add 2001:db8::2/64 dev eth0 nodad")
    network: dict[str, Any] = {"subnets": ["10.9.0.0/24", "fd09::/64"]}
    box = {"endpoints": {"web": {"address": ["10.9.0.5", "fd09::5"]}}, "publish": [f"{PORT}:{PORT}/udp"]}
    time.sleep(2.5)  # eth1's own link-local address
    for number, by_hand in enumerate(["", "", "ip link del br2"]):
        apply({"networks": {"web": {**network, "bridge": f"br{number}"}}, "sandboxes": {"blue": box}})
        if not number:
            answer("blue")
        assert [ask("lan", address) for address in ("203.0.113.1", "2001:db8::1")] == ["blue"] * 2, number
        if by_hand:
            sh(by_hand)
            apply({"networks": {"web": {**network, "bridge": "br2"}}, "sandboxes": {"blue": box}})
            assert [ask("lan", address) for address in ("203.0.113.1", "2001:db8::1")] == ["blue"] * 2
