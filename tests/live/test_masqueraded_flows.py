"""Flows through a masquerade survive every unrelated change, and none leaves with a source that is not declared.

The kernel destroys the entry of a masqueraded flow when one of its packets passes postrouting towards another link
(nf_nat_oif_changed in net/netfilter/nf_nat_core.c).  That happens when a bridge gets another MAC address: frames to the
old one are bridged to all ports, and br_netfilter shows them to netfilter as if they left by the bridge.
"""

from __future__ import annotations

import copy
import json
import os
import pathlib
import random
import select
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from throwaway import inside, sh

from reconciler.cli import main

pytestmark = pytest.mark.live

APPLIES = int(os.environ.get("NETRECON_APPLIES", "500"))
LAN = {4: "203.0.113.2", 6: "2001:db8::2"}
TOPOLOGY: dict[str, Any] = {
    "version": 1,
    "name": "m",
    "sysctls": {"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1},
    "bridges": {"b0": {"addresses": ["10.5.0.1/24", "fd05::1/64"]}},
    "veths": {
        "vapp": {
            "master": "b0",
            "peer": {"namespace": "app", "name": "eth0", "addresses": ["10.5.0.2/24", "fd05::2/64"]},
        }
    },
    "namespaces": {"app": {"routes": [{"to": "default", "via": "10.5.0.1"}, {"to": "default", "via": "fd05::1"}]}},
    "masquerades": [
        {"source": "10.5.0.0/24", "except_out": ["b0"]},
        {"source": "fd05::/64", "except_out": ["b0"]},
    ],
}


@pytest.fixture(autouse=True, params=["1", "0"], ids=["bridge-nf", "no-bridge-nf"])
def lan(host: None, request: pytest.FixtureRequest) -> Iterator[None]:
    """A neighbour on the uplink that answers every datagram with the source that it saw."""
    for command in (
        *(f"sysctl -qw net.bridge.bridge-nf-call-{name}={request.param}" for name in ("iptables", "ip6tables")),
        "ip netns add lan",
        "ip link add up0 type veth peer name wire0 netns lan",
        "ip addr add 203.0.113.1/24 dev up0",
        "ip -6 addr add 2001:db8::1/64 dev up0 nodad",
        "ip link set up0 up",
        "ip -n lan addr add 203.0.113.2/24 dev wire0",
        "ip -n lan -6 addr add 2001:db8::2/64 dev wire0 nodad",
        "ip -n lan link set wire0 up",
    ):
        sh(command)
    stop = threading.Event()
    servers = [inside("lan", _bound, family, LAN[family], 9000) for family in (4, 6)]
    thread = threading.Thread(target=_mirror, args=(servers, stop))
    thread.start()
    yield
    stop.set()
    thread.join()
    for server in servers:
        server.close()


def _bound(family: int, address: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, port))
    return sock


def _mirror(servers: list[socket.socket], stop: threading.Event) -> None:
    while not stop.is_set():
        for server in select.select(servers, [], [], 0.1)[0]:
            _data, sender = server.recvfrom(64)
            SEEN.add(sender[0])
            try:
                server.sendto(sender[0].encode(), sender)
            except OSError:  # there is no way back to a source that was not translated
                continue


SEEN: set[str] = set()
_open: list[socket.socket] = []


@pytest.fixture(autouse=True)
def _sockets_are_closed() -> Iterator[None]:
    yield
    while _open:
        _open.pop().close()


def client(family: int, port: int, to: str = "") -> socket.socket:
    sock = inside("app", _bound, family, "", port)
    _open.append(sock)
    sock.connect((to or LAN[family], 9000))
    sock.settimeout(0.3)
    return sock


def answer(sock: socket.socket) -> str:
    """The source that the neighbour sees; a few tries, since it may first have to be found."""
    for _ in range(20):
        try:
            sock.send(b"?")
            return sock.recv(64).decode()
        except TimeoutError:
            continue
    return "nobody"


class Flow(threading.Thread):
    """One UDP flow from the namespace that asks every two milliseconds and counts what was not answered."""

    def __init__(self, family: int) -> None:
        super().__init__()
        self.sock = client(family, 7770 + family)
        self.sock.settimeout(1)
        self.asked = self.lost = 0
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                self.sock.send(b"?")
                self.sock.recv(64)
            except OSError:
                self.lost += 1
            self.asked += 1
            time.sleep(0.002)


def apply(tmp_path: pathlib.Path, topology: dict[str, Any]) -> None:
    file = tmp_path / "topology.yaml"
    file.write_text(json.dumps(topology))
    assert main.main(["apply", "-q", str(file)]) == 0, topology


def changed(chance: random.Random) -> dict[str, Any]:
    """The topology with other veths, ports, masquerades, an isolation, another bridge, in a random choice."""
    data = copy.deepcopy(TOPOLOGY)
    for number in range(3, 3 + chance.randrange(4)):
        peer = {"namespace": f"n{number}", "name": "eth0", "addresses": [f"10.5.0.{number}/24"]}
        data["veths"][f"v{number}"] = {"master": "b0", "peer": peer}
        data["namespaces"][f"n{number}"] = {}
        if chance.random() < 0.4:
            data["veths"][f"v{number}"]["mac"] = f"02:00:00:00:00:{number:02x}"  # lower than any that is drawn
    some = [f"{port}:10.5.0.{chance.choice([2, 3])}:80" for port in chance.sample(range(8000, 8010), 3)]
    for share, section, entries in (
        (0.5, "port_maps", some),
        (0.5, "isolations", [{"link": "b0"}]),
        (0.5, "masquerades", [*data["masquerades"], {"source": f"10.{chance.choice([6, 7])}.0.0/24"}]),
    ):
        if chance.random() < share:
            data[section] = entries
    if chance.random() < 0.3:
        data["bridges"]["b1"] = {"addresses": ["10.6.0.1/24"]}
        data["masquerades"][0]["except_out"] = ["b0", "b1"]
    if chance.random() < 0.3:
        data["bridges"]["b0"]["addresses"].append("10.5.9.1/24")
    if chance.random() < 0.3:
        data["bridges"]["b0"]["ageing_time"] = 20000
    if chance.random() < 0.3:
        data["veths"]["vapp"]["hairpin"] = True
    return data


def test_flows_live_through_every_unrelated_change(tmp_path: pathlib.Path) -> None:
    apply(tmp_path, TOPOLOGY)
    SEEN.clear()
    flows = [Flow(4), Flow(6)]
    for flow in flows:
        assert answer(flow.sock) in ("203.0.113.1", "2001:db8::1")
        flow.start()
    chance = random.Random(5)
    try:
        for _ in range(APPLIES // 2):  # half of them with each setting of bridge-nf
            apply(tmp_path, changed(chance))
    finally:
        for flow in flows:
            flow.stop.set()
            flow.join()
    assert all(flow.asked > APPLIES for flow in flows)
    assert [flow.lost for flow in flows] == [0, 0]
    assert {"203.0.113.1", "2001:db8::1"} == SEEN


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("damage", ["", "flush chain inet netrecon-m postrouting", "delete table inet netrecon-m"])
def test_a_flow_from_before_the_masquerade_leaves_with_the_declared_source(
    tmp_path: pathlib.Path, family: int, damage: str
) -> None:
    """It keeps the entry that it has as long as it lasts; so the entry has to go."""
    before = copy.deepcopy(TOPOLOGY)
    sh("nft add table inet watch")  # without a chain of nat nobody tracks a flow
    sh('nft add chain inet watch nat "{ type nat hook postrouting priority 90; }"')
    if damage:
        apply(tmp_path, before)
        sh(f"nft {damage}")
    else:
        del before["masquerades"]
        apply(tmp_path, before)
    early = client(family, 7778)
    SEEN.clear()
    early.send(b"?")
    with pytest.raises(TimeoutError):
        early.recv(64)
    assert {"10.5.0.2", "fd05::2"} >= SEEN
    apply(tmp_path, TOPOLOGY)
    assert answer(early) in ("203.0.113.1", "2001:db8::1")


def entries(port: int) -> list[str]:
    listed = sh(f"conntrack -L -p udp --orig-port-src {port} -o id 2>/dev/null").splitlines()
    return [line.rpartition(" ")[2] for line in listed]


def test_a_flow_follows_a_changed_source_and_flows_that_do_not_leave_stay(tmp_path: pathlib.Path) -> None:
    sh("ip addr add 203.0.113.77/24 dev up0")
    data = copy.deepcopy(TOPOLOGY)
    apply(tmp_path, data)
    flow, inner = client(4, 7779), client(4, 7780, to="10.5.0.1")
    inner.send(b"?")
    inner_entry = entries(7780)
    assert inner_entry
    answers = []
    for to in ("", "203.0.113.77", ""):
        data["masquerades"][0] = {"source": "10.5.0.0/24", "except_out": ["b0"], **({"to": to} if to else {})}
        apply(tmp_path, data)
        answers.append(answer(flow))
    assert answers == ["203.0.113.1", "203.0.113.77", "203.0.113.1"]
    assert entries(7780) == inner_entry


def test_a_flow_that_gets_answers_with_its_own_source_goes_on(tmp_path: pathlib.Path) -> None:
    """The neighbour has a way back, so the flow works; another source would end it."""
    sh("ip -n lan route add 10.5.0.0/24 via 203.0.113.1")
    before = copy.deepcopy(TOPOLOGY)
    before["masquerades"] = [{"source": "10.9.0.0/24"}]  # so that flows are tracked
    apply(tmp_path, before)
    routed = client(4, 7781)
    assert answer(routed) == "10.5.0.2"
    apply(tmp_path, TOPOLOGY)
    assert answer(routed) == "10.5.0.2"
    fresh = client(4, 7782)
    assert answer(fresh) == "203.0.113.1"
