"""Bridges while the kernel changes them: ports that join and leave under traffic, zero MACs, and the spanning tree."""

from __future__ import annotations

import contextlib
import json
import pathlib
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest
from throwaway import ip_json, sh

from reconciler.cli import main

pytestmark = pytest.mark.live
Apply = Callable[..., int]


@pytest.fixture
def netrecon(tmp_path: pathlib.Path) -> Apply:
    """``netrecon(command, topology, options...)``: the exit code."""

    def run(command: str, topology: dict[str, Any], *options: str) -> int:
        file = tmp_path / "topology.yaml"
        file.write_text(json.dumps({"version": 1, "name": "case", **topology}))
        return main.main([command, *options, str(file)])

    return run


def mac(link: str = "br0") -> str:
    return str(ip_json(f"link show {link}")[0]["address"])


def shown(word: str, link: str = "br0") -> Any:
    return ip_json(f"-d link show {link}")[0]["linkinfo"]["info_data"][word]


def until(reached: Callable[[], bool], seconds: float = 40) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.1)


# ------------------------------------------------------------------ MAC addresses

ADDRESSES = ["10.5.0.1/24", "fd05::1/64"]
APP: dict[str, Any] = {
    "bridges": {"br0": {"addresses": ADDRESSES}},
    "veths": {
        "v0": {
            "master": "br0",
            "mac": "f2:00:00:00:00:01",
            "peer": {"namespace": "app", "name": "eth0", "addresses": ["10.5.0.2/24", "fd05::2/64"]},
        }
    },
    "namespaces": {"app": {}},
}
LOWER = {"master": "br0", "mac": "02:00:00:00:00:01", "peer": {"name": "p1"}}
BY_HAND = (
    "ip link add br0 type bridge; ip link set br0 up",
    "ip addr add 10.5.0.1/24 dev br0; ip addr add fd05::1/64 dev br0 nodad",
    "ip netns add app; ip link add v0 address f2:00:00:00:00:01 type veth peer name eth0 netns app",
    "ip link set v0 up master br0; ip -n app link set lo up; ip -n app link set eth0 up",
    "ip -n app addr add 10.5.0.2/24 dev eth0; ip -n app addr add fd05::2/64 dev eth0 nodad",
)
STAMPS = (
    "ip link set br0 alias netrecon:case; ip link set v0 alias netrecon:case",
    "ip -n app link set lo alias netrecon:case; ip -n app link set eth0 alias netrecon:case",
)


@pytest.mark.parametrize("made", ["by_us", "by_an_earlier_release", "adopted"])
def test_no_packet_is_lost_while_ports_join_and_leave(made: str, netrecon: Apply) -> None:
    if made == "by_us":
        assert netrecon("apply", APP, "-q") == 0
    else:
        sh("; ".join([*BY_HAND, *(STAMPS if made == "by_an_earlier_release" else ())]))
    before = mac()
    command = "ip netns exec app ping -i 0.01 -q -c 400 -W 1"
    pings = [
        subprocess.Popen(f"{command} {to}", shell=True, stdout=subprocess.PIPE, text=True)
        for to in ("10.5.0.1", "fd05::1")
    ]
    time.sleep(0.5)
    joined = {**APP, "veths": {**APP["veths"], "v1": LOWER}}
    assert netrecon("apply", joined, "-q", "--adopt") == 0
    time.sleep(0.3)
    assert netrecon("apply", APP, "-q") == 0
    assert netrecon("check", APP) == 0
    assert mac() == before
    for ping in pings:
        assert " 0% packet loss" in ping.communicate(timeout=60)[0]


def test_the_port_with_the_lowest_mac_goes_first(netrecon: Apply) -> None:
    """An earlier release made it: its MAC address becomes its own before the port that has it is deleted."""
    sh("; ".join([*BY_HAND, *STAMPS]))
    sh("ip link add v1 address 02:00:00:00:00:01 type veth peer name p1; ip link set v1 up master br0")
    sh("ip link set v1 alias netrecon:case; ip link set p1 up alias netrecon:case")
    ping = subprocess.Popen(
        "ip netns exec app ping -i 0.01 -q -c 200 -W 1 10.5.0.1", shell=True, stdout=subprocess.PIPE, text=True
    )
    time.sleep(0.5)
    assert netrecon("apply", APP, "-q") == 0
    assert mac() == "02:00:00:00:00:01"
    assert " 0% packet loss" in ping.communicate(timeout=60)[0]


FOREIGN = (
    "ip link add br0 type bridge; ip link set br0 up",
    "ip addr add 10.5.0.1/24 dev br0; ip addr add fd05::1/64 dev br0 nodad",
    "ip netns add app; ip link add v0 address fe:54:00:00:00:01 type veth peer name eth0 netns app",
    "ip link set v0 up master br0; ip -n app link set lo up; ip -n app link set eth0 up",
    "ip -n app addr add 10.5.0.2/24 dev eth0; ip -n app addr add fd05::2/64 dev eth0 nodad",
)
BESIDE: dict[str, Any] = {"interfaces": {"br0": {}}}


@pytest.mark.parametrize("where", ["end", "peer", "moved"])
def test_a_strangers_bridge_keeps_its_mac_while_our_ports_join_and_leave(where: str, netrecon: Apply) -> None:
    """It has the lowest MAC address of its ports, which none of ours may be."""
    sh("; ".join(FOREIGN))
    before = mac()
    free: dict[str, Any] = {f"v{at}": {"peer": {"name": f"p{at}"}} for at in range(1, 6)}
    port = {"master": "br0", "peer": {"name": "p1"}} if where != "peer" else {"peer": {"name": "p1", "master": "br0"}}
    joined = {name: {**port, "peer": {**port["peer"], **veth["peer"]}} for name, veth in free.items()}
    left = {**BESIDE, "veths": free if where == "moved" else {}}
    assert netrecon("apply", left, "-q") == 0
    command = "ip netns exec app ping -i 0.01 -q -c 300 -W 1"
    pings = [
        subprocess.Popen(f"{command} {to}", shell=True, stdout=subprocess.PIPE, text=True)
        for to in ("10.5.0.1", "fd05::1")
    ]
    time.sleep(0.5)
    for _ in range(3):
        assert netrecon("apply", {**BESIDE, "veths": joined}, "-q") == 0
        assert mac() == before
        assert netrecon("check", {**BESIDE, "veths": joined}) == 0
        assert netrecon("apply", left, "-q") == 0
        assert mac() == before
    for ping in pings:
        assert " 0% packet loss" in ping.communicate(timeout=60)[0]


def test_a_strangers_bridge_without_other_ports_keeps_the_mac_of_our_first_one(netrecon: Apply) -> None:
    sh("ip link add br0 type bridge; ip link set br0 up; ip addr add 10.5.0.1/24 dev br0")
    first = {"v9": {"master": "br0", "peer": {"namespace": "app", "name": "eth0", "addresses": ["10.5.0.2/24"]}}}
    alone: dict[str, Any] = {**BESIDE, "namespaces": {"app": {}}, "veths": first}
    others = {f"v{at}": {"master": "br0", "peer": {"name": f"p{at}"}} for at in range(1, 5)}
    assert netrecon("apply", alone, "-q") == 0
    before = mac()
    ping = subprocess.Popen(
        "ip netns exec app ping -i 0.01 -q -c 200 -W 1 10.5.0.1", shell=True, stdout=subprocess.PIPE, text=True
    )
    time.sleep(0.3)
    for _ in range(3):
        assert netrecon("apply", {**alone, "veths": {**first, **others}}, "-q") == 0
        assert mac() == before
        assert netrecon("apply", alone, "-q") == 0
        assert mac() == before
    assert " 0% packet loss" in ping.communicate(timeout=60)[0]


def test_a_declared_mac_on_a_strangers_bridge_is_as_declared(netrecon: Apply) -> None:
    sh("; ".join(FOREIGN))
    assert netrecon("apply", {**BESIDE, "veths": {"v1": {**LOWER}}}, "-q") == 0
    assert mac("v1") == LOWER["mac"]


@pytest.mark.parametrize("alias", ["", "netrecon:case"])
def test_a_bridge_with_a_mac_of_zeros_comes_back(alias: str, netrecon: Apply, tmp_path: pathlib.Path) -> None:
    """A bridge without ports that once had some: it cannot be given such an address, only be made again."""
    sh("ip link add br0 type bridge; ip addr add 10.5.0.1/24 dev br0; ip link set br0 up")
    sh("ip link add v0 type veth peer name p0; ip link set v0 master br0; ip link del v0")
    if alias:
        sh(f"ip link set br0 alias {alias}")
    assert mac() == "00:00:00:00:00:00"
    file = tmp_path / "failing.yaml"
    declared = {} if alias else {"interfaces": {"br0": {"up": False}}}
    file.write_text(
        json.dumps(
            {
                "version": 1,
                "name": "case",
                **declared,
                "bridges": {"b1": {}},
                "expect": [{"from": "host", "to": "10.5.0.77", "reach": True}],
            }
        )
    )
    assert main.main(["apply", "-q", "--verify", "--force", str(file)]) == 3
    assert [one["local"] for one in ip_json("-4 addr show br0")[0]["addr_info"]] == ["10.5.0.1"]
    assert ip_json("link show br0")[0]["flags"].count("UP") == 1


@pytest.mark.parametrize("declared", [{}, {"interfaces": {"br0": {"txqueuelen": 500}}}])
def test_a_strangers_bridge_still_follows_its_ports_after_a_rollback(declared: dict[str, Any], netrecon: Apply) -> None:
    sh("ip link add br0 type bridge; ip link set br0 up")
    sh("ip link add a0 address 02:00:00:00:00:05 mtu 1450 type veth peer name a1; ip link set a0 up master br0")
    failing = {
        **declared,
        "veths": {"v0": {"master": "br0", "mac": "02:00:00:00:00:01", "mtu": 1300, "peer": {"name": "p0"}}},
        "expect": [{"from": "host", "to": "10.5.0.77", "reach": True}],
    }
    if not declared:
        failing["interfaces"] = {"a0": {"txqueuelen": 500}, "br0": {}}
    assert netrecon("apply", failing, "-q", "--verify", "--force") == 3
    assert (mac(), ip_json("link show br0")[0]["mtu"]) == ("02:00:00:00:00:05", 1450)
    sh("ip link add b0 address 02:00:00:00:00:03 mtu 1400 type veth peer name b1; ip link set b0 up master br0")
    assert (mac(), ip_json("link show br0")[0]["mtu"]) == ("02:00:00:00:00:03", 1400)


def test_two_hosts_with_one_file_have_two_macs(netrecon: Apply, fresh_host: Any) -> None:
    found = []
    for _ in range(2):
        with fresh_host():
            assert netrecon("apply", {"bridges": {"br0": {"addresses": ["10.5.0.1/24"]}}}, "-q") == 0
            found.append(mac())
    assert len(set(found)) == 2


# ------------------------------------------------------------------ the spanning tree

LOOP = {
    "v0": {"master": "br0", "peer": {"namespace": "n", "name": "e0"}},
    "v1": {"master": "br0", "peer": {"namespace": "n", "name": "e1"}},
}


def spanning(**words: Any) -> dict[str, Any]:
    bridge = {"stp": True, "forward_delay": 200, "ageing_time": 30000, **words}
    return {"bridges": {"br0": bridge}, "veths": LOOP, "namespaces": {"n": {}}}


def changing() -> bool:
    return bool(shown("topology_change"))


def test_an_ageing_time_that_stp_lowers_is_no_drift(netrecon: Apply) -> None:
    assert netrecon("apply", spanning(), "-q") == 0
    until(lambda: changing() and shown("ageing_time") == 400)
    assert netrecon("check", spanning(), "-v") == 0
    # A change that is asked for meanwhile is made, and a rollback does not go back to what STP made of it.
    assert netrecon("check", spanning(ageing_time=20000)) == 2
    assert netrecon("apply", spanning(ageing_time=20000), "-q") == 0
    assert netrecon("check", spanning(ageing_time=20000)) == 0
    assert netrecon("apply", spanning(ageing_time=10000), "-q") == 0
    assert changing()
    failing = {**spanning(mcast_snooping=False), "expect": [{"from": "host", "to": "10.5.0.77", "reach": True}]}
    assert netrecon("apply", failing, "-q", "--verify", "--force") == 3
    until(lambda: not changing())
    assert shown("ageing_time") == 10000
    assert netrecon("check", spanning(ageing_time=10000)) == 0


@pytest.mark.parametrize("words", [{"ageing_time": 30000}, {}])
def test_stp_is_switched_off_while_it_lowers_the_ageing_time(words: dict[str, Any], netrecon: Apply) -> None:
    topology = spanning()
    topology["bridges"]["br0"] = {"stp": True, "forward_delay": 200, **words}
    assert netrecon("apply", topology, "-q") == 0
    until(changing)
    topology["bridges"]["br0"] = {"stp": False, "forward_delay": 200, **words}
    topology["veths"] = {}
    assert netrecon("apply", topology, "-q") == 0
    assert netrecon("check", topology) == 0
    assert shown("ageing_time") == 30000


def test_timers_of_the_root_are_no_drift(netrecon: Apply) -> None:
    """A bridge that is not the root uses the root's timers, and shows them; its own count when it becomes the root."""
    mine = {"stp": True, "priority": 40960, "forward_delay": 1000, "hello_time": 300, "max_age": 1200}
    root = {"stp": True, "priority": 4096, "forward_delay": 400, "hello_time": 100, "max_age": 600}
    topology = {
        "bridges": {"br0": mine, "br1": root},
        "veths": {"v0": {"master": "br0", "peer": {"name": "v1", "master": "br1"}}},
    }
    assert netrecon("apply", topology, "-q") == 0
    with contextlib.suppress(AssertionError):
        until(lambda: bool(shown("root_port")), 5)
    if not shown("root_port"):
        pytest.skip("this kernel hears no STP in a namespace of its own")
    assert shown("forward_delay") == 400
    assert netrecon("check", topology, "-v") == 0
    mine["forward_delay"] = 1100
    assert netrecon("check", topology) == 2
    assert netrecon("apply", topology, "-q") == 0
    assert netrecon("check", topology) == 0
    sh("ip link set br1 down")
    until(lambda: not shown("root_port"))
    assert [shown(word) for word in ("forward_delay", "hello_time", "max_age")] == [1100, 300, 1200]
