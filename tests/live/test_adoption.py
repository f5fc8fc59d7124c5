"""What was made by hand is taken over without a packet lost, and without a change that nobody asked for."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from throwaway import ip_json, sh

from reconciler.cli import main

pytestmark = pytest.mark.live
BY_HAND = [
    "ip netns add blue",
    "ip link add br0 type bridge stp_state 0 ageing_time 12345 forward_delay 0",
    "ip link set br0 addrgenmode none",
    "ip link set br0 mtu 1450 alias uplink group 7 up",
    "ip addr add 10.1.0.1/24 brd + dev br0",
    "ip addr add fd01::1/64 dev br0 nodad",
    "ip link add v0 txqueuelen 77 type veth peer name eth0 netns blue",
    "ip link set v0 addrgenmode none",
    "ip link set v0 master br0 up",
    "bridge link set dev v0 cost 42 learning on",
    "ip -n blue link set lo up",
    "ip -n blue link set eth0 addrgenmode none",
    "ip -n blue link set eth0 up",
    "ip -n blue addr add 10.1.0.2/24 dev eth0",
    "ip -n blue route add default via 10.1.0.1 advmss 1300",
    "ip route add 10.9.0.0/16 via 10.1.0.2 proto static initcwnd 20",
]
WANTED: dict[str, Any] = {
    "version": 1,
    "name": "adopter",
    "bridges": {"br0": {"addresses": ["10.1.0.1/24", "fd01::1/64"]}},
    "veths": {"v0": {"master": "br0", "peer": {"namespace": "blue", "name": "eth0", "addresses": ["10.1.0.2/24"]}}},
    "routes": [{"to": "10.9.0.0/16", "via": "10.1.0.2"}],
    "namespaces": {"blue": {"routes": [{"to": "default", "via": "10.1.0.1"}]}},
}


@pytest.fixture
def by_hand() -> None:
    for command in BY_HAND:
        sh(command)
    sh("ip netns exec blue ping -c1 -W2 10.1.0.1")


def written(folder: pathlib.Path, topology: dict[str, Any]) -> str:
    path = folder / "adopter.yaml"
    path.write_text(json.dumps(topology))
    return str(path)


@contextmanager
def pinged(lost: list[int]) -> Iterator[None]:
    """A ping through the link every 10 ms; how many got no answer is put into ``lost``."""
    command = ["ip", "netns", "exec", "blue", "ping", "-i", "0.01", "-W", "1", "10.1.0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as ping:
        time.sleep(0.3)
        yield
        time.sleep(0.3)
        ping.send_signal(2)
        answered = {int(number) for number in re.findall(r"icmp_seq=(\d+)", ping.communicate()[0])}
        assert len(answered) > 10
        lost.append(max(answered) - len(answered))  # what was on its way at the end is not counted


def details() -> list[str]:
    """All that ip tells of links and addresses, but the stamps and what counts by itself."""
    found = [
        *ip_json("-d addr show dev br0"),
        *ip_json("-d addr show dev v0"),
        *ip_json("-n blue -d addr show dev eth0"),
    ]
    text = json.dumps(found, indent=1, sort_keys=True)
    ticking = "[a-z_]*_timer|ifalias|protocol"
    return [line for line in text.splitlines() if not re.search(f'"({ticking})"', line)]


def routing() -> list[str]:
    """The routes with all their metrics, but for whose they are."""
    text = sh("ip -N route; ip -N -6 route; ip -n blue -N route")
    return sorted(re.sub(r"proto \S+ ", "", line) for line in text.splitlines())


def carrier_changes() -> list[str]:
    return [sh(f"cat /sys/class/net/{name}/carrier_changes").strip() for name in ("br0", "v0")]


def test_adopted_without_a_packet_lost(
    by_hand: None, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, WANTED)
    routes = routing()
    before, carriers, lost = details(), carrier_changes(), []  # type: ignore[var-annotated]
    with pinged(lost):
        assert main.main(["apply", "--json", "--adopt", file]) == 0
    changes = json.loads(capsys.readouterr().out)["changes"]
    adopted = {change["key"] for change in changes if change["action"] == "adopt"}
    assert {"bridge/host/br0", "veth/host/v0", "namespace/host/blue", "route/host/main/10.9.0.0/16"} <= adopted
    assert [change["key"] for change in changes if change["action"] != "adopt"] == []
    assert lost == [0]
    assert carrier_changes() == carriers
    assert details() == before
    assert routing() == routes
    assert ip_json("link show br0")[0]["ifalias"] == "netrecon:adopter"
    assert main.main(["check", file]) == 0


def test_adopted_with_a_change_in_place(by_hand: None, tmp_path: pathlib.Path) -> None:
    topology = {**WANTED, "bridges": {"br0": {**WANTED["bridges"]["br0"], "ageing_time": 20000}}}
    carriers, lost = carrier_changes(), []  # type: ignore[var-annotated]
    with pinged(lost):
        assert main.main(["apply", "-q", "--adopt", written(tmp_path, topology)]) == 0
    assert lost == [0]
    assert carrier_changes() == carriers
    assert ip_json("-d link show br0")[0]["linkinfo"]["info_data"]["ageing_time"] == 20000


def test_what_would_need_a_replace_is_refused(
    by_hand: None, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    veth = {"master": "br0", "peer": {"namespace": "blue", "name": "eth9", "addresses": ["10.1.0.2/24"]}}
    before = details()
    assert main.main(["apply", "--adopt", written(tmp_path, {**WANTED, "veths": {"v0": veth}})]) == 1
    message = capsys.readouterr().err
    assert "veth/host/v0 cannot be adopted: peer.name cannot change in place" in message
    assert details() == before


def test_an_adoption_that_fails_gives_everything_back(
    by_hand: None, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    impossible = {**WANTED, "routes": [*WANTED["routes"], {"to": "10.123.0.0/16", "via": "192.0.2.77"}]}
    before = everything()
    assert main.main(["apply", "-q", "--adopt", written(tmp_path, impossible)]) == 3
    assert everything() == before


def everything() -> list[str]:
    """All that ip tells, but for timers, and the operational state, which comes when it likes."""
    text = sh("ip -d addr; ip route; ip -6 route; ip -n blue -d addr; ip -n blue route; ip -n blue -6 route")
    return re.sub(r"[a-z_]+_timer +\S+|state \S+", "", text).splitlines()
