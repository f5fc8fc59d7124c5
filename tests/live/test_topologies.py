"""Every example topology on a throwaway host: applied, quiet the second time, gone after delete; and real packets."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable

import pytest
import throwaway

from reconciler.cli import main

TOPOLOGIES = sorted((pathlib.Path(__file__).parent.parent.parent / "topologies").glob("*.yaml"))
PATHS = {file.stem: str(file) for file in TOPOLOGIES}
# One answer within some seconds: a router asks for an IPv6 neighbour only once its link-local address is no
# longer tentative.
PING = "ping -n -q -c 1 -w 8"
# What must get through (a command per line) once the example of that name is applied.
REACHES = {
    "docker-by-hand": [f"ip netns exec test {PING} 172.16.0.1"],
    "router-two-lans": [
        f"ip netns exec desk1 {PING} 10.2.0.11",
        f"ip netns exec desk1 {PING} cam1",
        f"ip netns exec cam1 {PING} fd00:1::12",
    ],
    "multi-homed-lab": [
        f"ip netns exec server {PING} 192.0.2.1",
        f"ip netns exec server {PING} -I 10.255.0.1 203.0.113.1",
        "ip -n server route show table 100 | grep -q 'via 203.0.113.1 dev up-b'",
        "! ip -n server route get 10.1.2.3",
    ],
    "docker-default-network": [
        f"ip netns exec client {PING} nginx",
        "ip netns exec client ip -4 addr show eth0 | grep -q 172.17.0.3/16",
        "ip -n nginx link show eth0 | grep -q 02:42:ac:11:00:02",
    ],
    "three-tiers": [
        f"ip netns exec edge {PING} app-1",
        f"ip netns exec app-2 {PING} postgres",
        f"! ip netns exec edge {PING.replace('-w 8', '-w 1')} 172.28.3.10",
        'test -z "$(ip -n db route show default)"',
        'test "$(ip -n backup -br addr)" = "lo               UNKNOWN        127.0.0.1/8 ::1/128 "',
    ],
    "dual-stack": [
        f"ip netns exec site {PING} 172.29.0.2",
        f"ip netns exec site {PING} fd00:29::2",
        f"ip netns exec collector {PING} fd00:29::2",
        f"! ip netns exec site {PING.replace('-w 8', '-w 1')} fd00:29:1::2",
    ],
    "published-services": [
        f"ip netns exec web {PING} dns",
        f"ip netns exec web {PING} fd00:30::1",
        "ip netns exec web grep -qx 'nameserver 172.30.0.3' /etc/resolv.conf",
    ],
}

pytestmark = pytest.mark.live


def holdings(sh: Callable[[str], str]) -> list[str]:
    """What the host has, in a form to compare."""
    commands = (
        "ip -br link | awk '{print $1}'",
        "ip -br address | awk '{$2 = \"\"; print}'",
        "ip rule",
        "nft list tables",
        "ls /run/netns /etc/netns",
        "cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding",
    )
    return [sh(command) for command in commands]


@pytest.mark.parametrize("name", PATHS)
def test_example_is_applied_once_and_leaves_nothing(
    name: str, sh: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = holdings(sh)
    assert main.main(["plan", "-q", PATHS[name]]) == 2
    assert main.main(["apply", PATHS[name]]) == 0, capsys.readouterr()
    for command in REACHES[name]:
        sh(command)
    scopes = ("host", *sh("ls /run/netns").split())
    assert throwaway.changes(lambda: main.main(["apply", PATHS[name]]), *scopes) == (0, [])
    assert main.main(["check", PATHS[name]]) == 0, capsys.readouterr()
    assert main.main(["delete", "--name", name]) == 0, capsys.readouterr()
    assert holdings(sh) == before


def test_all_examples_live_side_by_side(sh: Callable[[str], str], capsys: pytest.CaptureFixture[str]) -> None:
    before = holdings(sh)
    folder = str(TOPOLOGIES[0].parent)
    assert main.main(["apply", folder]) == 0, capsys.readouterr()
    assert main.main(["check", folder]) == 0
    assert main.main(["delete", PATHS["router-two-lans"]]) == 0
    capsys.readouterr()
    assert main.main(["check", "--json", folder]) == 2
    drift = json.loads(capsys.readouterr().out)["changes"]
    assert {change["origin"].partition(":")[0] for change in drift} == {PATHS["router-two-lans"]}
    assert main.main(["delete", folder]) == 0
    assert holdings(sh) == before
