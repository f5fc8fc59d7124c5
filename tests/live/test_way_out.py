"""Networks have the MTU of the way that the kernel takes to the outside: policy routing, VPNs, MTUs of routes."""

from __future__ import annotations

import json
import pathlib

import pytest
from throwaway import ip_json, sh

from reconciler.cli import main
from reconciler.kernel.netlink import path

pytestmark = pytest.mark.live

LINKS = """
for one in up0:1500 vpn0:1420 six0:1380; do
  ip link add ${one%:*} mtu ${one#*:} type veth peer name far-${one%:*}
  ip link set ${one%:*} up; ip link set far-${one%:*} up
done
ip addr add 192.0.2.1/24 dev up0; ip -6 addr add 2001:db8::1/64 dev up0 nodad
ip addr add 10.200.0.2/32 dev vpn0
"""
FOUR, SIX = "ip route add default via 192.0.2.9", "ip -6 route add default via 2001:db8::9 dev up0"
# as wg-quick(8) writes them
WIREGUARD = """
ip route add default dev vpn0 table 51820
ip rule add not fwmark 51820 table 51820; ip rule add table main suppress_prefixlength 0
"""
WIREGUARD6 = WIREGUARD.replace("vpn0", "six0").replace("ip r", "ip -6 r")
OPENVPN = "ip route add 0.0.0.0/1 dev vpn0; ip route add 128.0.0.0/1 dev vpn0"
OPENVPN6 = "ip -6 route add ::/1 dev six0; ip -6 route add 8000::/1 dev six0; ip -6 route add 2000::/3 dev six0"

# what stands on the host, what the file has beside its networks -> MTU of a network with IPv4, with IPv6, with both
WAYS: dict[str, tuple[list[str], str, tuple[int, int, int]]] = {
    "no_way_out": ([], "", (1500, 1500, 1500)),
    "one_uplink": ([FOUR, SIX], "", (1500, 1500, 1500)),
    "wireguard": ([FOUR, WIREGUARD], "", (1420, 1420, 1420)),
    "wireguard_of_ipv6": ([FOUR, SIX, WIREGUARD6], "", (1500, 1380, 1380)),
    "wireguard_of_both": ([FOUR, SIX, WIREGUARD, WIREGUARD6], "", (1420, 1380, 1380)),
    "wireguard_without_another_way": ([WIREGUARD], "", (1420, 1420, 1420)),
    "openvpn": ([FOUR, OPENVPN], "", (1420, 1420, 1420)),
    "openvpn_of_both": ([FOUR, SIX, OPENVPN, OPENVPN6], "", (1420, 1380, 1380)),
    "mtu_of_the_route": (["ip route add default via 192.0.2.9 mtu 1350"], "", (1350, 1350, 1350)),
    "mtu_of_a_route_is_more_than_the_links": (["ip route add default via 192.0.2.9 mtu 9000"], "", (1500, 1500, 1500)),
    "mtu_of_a_route_of_a_rule": (
        [FOUR, "ip route add default via 192.0.2.9 mtu 1350 table 7; ip rule add table 7 priority 100"],
        "",
        (1350, 1350, 1350),
    ),
    "several_ways_the_least_metric": (
        ["ip route add default via 192.0.2.9 metric 200; ip route add default dev vpn0 metric 100"],
        "",
        (1420, 1420, 1420),
    ),
    "outside_is_unreachable": (["ip route add unreachable default metric 9"], "", (1500, 1500, 1500)),
    # what the file changes
    "route_declared_beside_wireguard": (
        [WIREGUARD],
        "routes: [{to: default, via: 192.0.2.9}]",
        (1420, 1420, 1420),
    ),
    "openvpn_declared": (
        [FOUR],
        "interfaces: {vpn0: {}}\nroutes: [{to: 0.0.0.0/1, dev: vpn0}, {to: 128.0.0.0/1, dev: vpn0}]",
        (1420, 1420, 1420),
    ),
    "mtu_of_a_declared_route": ([], "routes: [{to: default, via: 192.0.2.9, mtu: 1350}]", (1350, 1350, 1350)),
    "mtu_of_the_tunnel_declared": ([FOUR, WIREGUARD], "interfaces: {vpn0: {mtu: 1390}}", (1390, 1390, 1390)),
    "better_metric_declared": (
        ["ip route add default via 192.0.2.9 metric 200"],
        "interfaces: {vpn0: {}}\nroutes: [{to: default, dev: vpn0, metric: 100}]",
        (1420, 1420, 1420),
    ),
}
NETWORKS = """
networks:
  four: {subnets: [10.61.0.0/24]}
  six: {subnets: ["fd00:61::/64"]}
  both: {subnets: [10.62.0.0/24, "fd00:62::/64"]}
  given: {subnets: [10.63.0.0/24], mtu: 1300}
sandboxes: {app: {endpoints: {four: {}}}}
"""


@pytest.mark.parametrize("name", WAYS)
def test_the_networks_have_the_mtu_of_the_way_out(
    name: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands, text, (four, six, both) = WAYS[name]
    sh(LINKS)
    for command in commands:
        sh(command)
    file = tmp_path / "lab.yaml"
    file.write_text(f"version: 1\nname: lab\n{text}\n{NETWORKS}")
    assert main.main(["apply", "-q", str(file)]) == 0, capsys.readouterr().err
    found = {one["ifname"]: one["mtu"] for one in ip_json("link")}
    bridges = [found[f"br-{network}"] for network in ("four", "six", "both", "given")]
    assert (bridges, found["v-app-four"]) == ([four, six, both, 1300], four)
    capsys.readouterr()
    assert main.main(["plan", "--json", str(file)]) == 0
    assert json.loads(capsys.readouterr().out)["changes"] == []


def test_a_tunnel_that_comes_and_goes(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    sh(LINKS)
    sh(FOUR)
    file = tmp_path / "lab.yaml"
    file.write_text(f"version: 1\nname: lab\n{NETWORKS}")
    mtus = []
    gone = "ip rule del table 51820; ip rule del table main suppress_prefixlength 0; ip route flush table 51820"
    for command in ("true", WIREGUARD, gone):
        sh(command)
        assert main.main(["apply", "-q", str(file)]) == 0, capsys.readouterr().err
        assert main.main(["check", str(file)]) == 0
        mtus += [one["mtu"] for one in ip_json("link show dev br-four")]
    assert mtus == [1500, 1420, 1500]


def test_networks_with_an_mtu_ask_for_no_way(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: object) -> None:
        raise AssertionError("asked for the way")

    monkeypatch.setattr(path, "ways", asked)
    file = tmp_path / "lab.yaml"
    file.write_text("version: 1\nname: lab\nnetworks: {web: {mtu: 1400}}\n")
    assert main.main(["plan", "-q", str(file)]) == 2
    file.write_text("version: 1\nname: lab\nnetworks: {web: {}}\n")
    with pytest.raises(AssertionError):
        main.main(["--debug", "plan", "-q", str(file)])
