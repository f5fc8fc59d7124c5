"""A network that stands is planned, checked and repaired whatever routes come; a new one must not overlap any."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
from throwaway import ip_json, sh

from reconciler.cli import main

pytestmark = pytest.mark.live

UPLINK = """
ip netns add lan; ip link add up0 type veth peer name eth0 netns lan
ip addr add 203.0.113.1/24 dev up0; ip link set up0 up; ip -n lan addr add 203.0.113.2/24 dev eth0
ip -n lan link set eth0 up; ip -6 addr add 2001:db8::1/64 dev up0 nodad; ip -6 -n lan addr add 2001:db8::2/64 dev eth0
ip link add tun0 type veth peer name far0; ip link set tun0 up; ip link set far0 up
"""
LAB = """
networks:
  n: {subnets: [10.61.0.0/24, "fd00:61::/64"]}
sandboxes: {a: {endpoints: {n: {}}, publish: ["8080:80"]}, b: {endpoints: {n: {}}}}
"""
# the route that comes -> texts of the warnings
ROUTES = {
    "ip route add 10.0.0.0/8 via 203.0.113.2 proto ospf metric 20": [
        "10.61.0.0/24 overlaps the host's route to 10.0.0.0/8 through up0"
    ],
    "ip route add 10.0.0.0/8 via 203.0.113.2; ip route add 10.56.0.0/13 dev lo": [
        "10.61.0.0/24 overlaps the host's route to 10.0.0.0/8 through up0, the host's route to 10.56.0.0/13 through lo"
    ],
    "ip addr add 10.8.0.1/8 dev tun0": ["10.61.0.0/24 overlaps the host's route to 10.0.0.0/8 through tun0"],
    "ip route add 10.61.0.128/25 dev tun0": ["10.61.0.0/24 overlaps the host's route to 10.61.0.128/25 through tun0"],
    "ip route add 10.61.0.0/24 dev tun0 metric 50": [
        "10.61.0.0/24 overlaps the host's route to 10.61.0.0/24 through tun0"
    ],
    "ip -6 route add fd00::/8 via 2001:db8::2": ["fd00:61::/64 overlaps the host's route to fd00::/8 through up0"],
    "ip -6 addr add fd00:61::99/48 dev tun0 nodad; ip route add 10.0.0.0/8 dev tun0": [
        "10.61.0.0/24 overlaps the host's route to 10.0.0.0/8 through tun0",
        "fd00:61::/64 overlaps the host's route to fd00:61::/48 through tun0",
    ],
    "for n in $(seq 1 9); do ip route add 10.61.0.$((n * 8))/29 dev tun0; done": [
        "10.61.0.0/24 overlaps the host's route to 10.61.0.8/29 through tun0, "
        + ", ".join(f"the host's route to 10.61.0.{n}/29 through tun0" for n in (16, 24, 32))
        + " and 5 more"
    ],
}
WIDE = "ip route add 10.0.0.0/8 via 203.0.113.2; ip -6 route add fd00::/8 via 2001:db8::2"
DAMAGE = [
    "ip link del br-n",
    "ip addr flush dev br-n",
    "ip addr flush dev br-n; ip -n a addr flush dev eth0; ip -n b addr flush dev eth0",
    "ip link del v-a-n; ip link del v-b-n",
    "ip link del v-a-n; ip link del v-b-n; ip link del br-n",  # the masquerade is left
    "ip netns del a; ip netns del b; ip addr flush dev br-n",
    "nft delete table inet netrecon-lab; ip link del br-n",
    "nft delete table inet netrecon-lab; ip addr flush dev br-n",
]


@pytest.fixture
def lab(tmp_path: pathlib.Path) -> str:
    sh(UPLINK)
    file = tmp_path / "lab.yaml"
    file.write_text(f"version: 1\nname: lab\n{LAB}")
    return str(file)


def told(capsys: pytest.CaptureFixture[str], code: int, *words: str) -> Any:
    capsys.readouterr()
    assert main.main([*words]) == code
    return json.loads(capsys.readouterr().out)


def overlaps(document: Any) -> list[str]:
    found = [one for one in document["warnings"] if one["topic"] == "overlap"]
    assert all((one["scope"], one["key"]) == ("host", "bridge/host/br-n") and one["hint"] for one in found)
    return sorted(one["message"] for one in found)


@pytest.mark.parametrize("command", ROUTES)
def test_a_route_over_a_network_that_stands(command: str, lab: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["apply", "-q", lab]) == 0, capsys.readouterr().err
    sh(command)
    plan = told(capsys, 0, "plan", "--json", lab)
    assert (plan["in_sync"], overlaps(plan)) == (True, ROUTES[command])
    assert overlaps(told(capsys, 0, "apply", "--json", lab)) == ROUTES[command]
    assert main.main(["check", lab]) == 0
    assert main.main(["check", "-v", lab]) == 0
    sh("ip link set v-a-n nomaster")
    assert main.main(["check", "-q", lab]) == 2
    assert main.main(["apply", "-q", lab]) == 0
    assert main.main(["check", lab]) == 0
    assert main.main(["delete", "-q", lab]) == 0


@pytest.mark.parametrize("command", DAMAGE)
def test_what_stands_in_part_is_repaired(command: str, lab: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["apply", "-q", lab]) == 0, capsys.readouterr().err
    addresses = ip_json("addr show dev br-n")[0]["addr_info"]
    sh(WIDE)
    sh(command)
    assert main.main(["apply", "-q", lab]) == 0, capsys.readouterr().err
    assert main.main(["check", lab]) == 0
    found = ip_json("addr show dev br-n")[0]["addr_info"]
    assert {one["local"] for one in found} >= {one["local"] for one in addresses if one["scope"] == "global"}


def test_a_network_that_is_made_first(lab: str, capsys: pytest.CaptureFixture[str]) -> None:
    sh(WIDE)
    for command in ("plan", "apply", "check"):
        assert main.main([command, lab]) == 1
        assert "10.61.0.0/24 overlaps the host's route to 10.0.0.0/8 through up0" in capsys.readouterr().err


def test_a_standing_network_that_gets_another_subnet(lab: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["apply", "-q", lab]) == 0, capsys.readouterr().err
    sh("ip route add 10.62.0.0/16 via 203.0.113.2")
    file = pathlib.Path(lab)
    file.write_text(file.read_text().replace("10.61.0.0/24", "10.62.0.0/24"))
    assert main.main(["plan", lab]) == 1
    assert "10.62.0.0/24 overlaps the host's route to 10.62.0.0/16 through up0" in capsys.readouterr().err


def test_a_chosen_subnet_stays_under_a_wider_route(
    lab: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "auto.yaml"
    file.write_text("version: 1\nname: auto\nnetworks: {n: {}}\nsandboxes: {a: {endpoints: {n: {}}}}\n")
    assert main.main(["apply", "-q", str(file)]) == 0, capsys.readouterr().err
    sh("ip route add 172.16.0.0/12 via 203.0.113.2 proto bgp")
    plan = told(capsys, 0, "plan", "--json", str(file))
    assert overlaps(plan) == ["172.17.0.0/16 overlaps the host's route to 172.16.0.0/12 through up0"]
    file.write_text("version: 1\nname: auto\nnetworks: {n: {}, m: {}}\nsandboxes: {a: {endpoints: {n: {}}}}\n")
    plan = told(capsys, 2, "plan", "--json", str(file))
    assert "address/host/br-m/192.168.0.1/20" in {one["key"] for one in plan["changes"]}
