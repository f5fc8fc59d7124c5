"""Networks are lowered for the host as the plan leaves it: the first apply is right and the second has nothing to do.

A situation is (commands on the host, files that are applied first, files that are then planned, what the plan must
have: object -> attributes, or a text that the plan is refused with).
"""

from __future__ import annotations

import json
import pathlib
from typing import Any, NamedTuple

import pytest
from throwaway import sh

from reconciler.cli import main

pytestmark = pytest.mark.live

UPLINK = """
ip link add up0 type veth peer name far0; ip link set up0 up; ip link set far0 up
ip addr add 192.0.2.1/24 dev up0; ip route add default via 192.0.2.9
"""
WEB = "networks: {web: {subnets: [10.63.0.0/24]}}\nsandboxes: {app: {endpoints: {web: {}}}}\n"
PUBLISHED = 'networks: {web: {subnets: [10.63.0.0/24]}}\nsandboxes: {app: {endpoints: {web: {}}, publish: ["80"]}}\n'
QUIET = (
    "networks: {q: {subnets: [10.63.0.0/24], icc: false}}\n"
    'sandboxes: {a: {endpoints: {q: {}}, publish: ["7000:80"]}, b: {endpoints: {q: {}}}}\n'
)
NF = "net.bridge.bridge-nf-call-iptables"
APART, TOGETHER = {"isolated": True}, {"isolated": False}
RESOLVER = "dns_file/app/resolv.conf"


NOTHING: dict[str, Any] = {}


class Situation(NamedTuple):
    """``given``: shell commands; ``before``: files applied first; ``files``: those that are planned; by their names."""

    files: dict[str, str]
    wanted: dict[str, dict[str, Any]] = NOTHING
    refused: str = ""
    given: str = ""
    before: dict[str, str] = NOTHING


SITUATIONS = {
    # settings
    "bridge_nf_declared_off": Situation(
        {"q": f"sysctls: {{{NF}: 0}}\n{QUIET}"}, {"veth/host/v-a-q": APART}, given=f"sysctl -qw {NF}=1"
    ),
    "bridge_nf_declared_on": Situation(
        {"q": f"sysctls: {{{NF}: 1}}\n{QUIET}"}, {"veth/host/v-a-q": TOGETHER}, given=f"sysctl -qw {NF}=0"
    ),
    "bridge_nf_declared_in_the_other_file": Situation(
        {"q": QUIET, "base": f"sysctls: {{{NF}: 1}}\n"}, {"veth/host/v-a-q": TOGETHER}, given=f"sysctl -qw {NF}=0"
    ),
    "bridge_nf_goes_back": Situation(
        {"q": QUIET},
        {"veth/host/v-a-q": APART},
        given=f"sysctl -qw {NF}=0",
        before={"q": f"sysctls: {{{NF}: 1}}\n{QUIET}"},
    ),
    "bridge_nf_of_one_bridge": Situation(
        {"q": QUIET},
        {"veth/host/v-a-q": TOGETHER},
        given=f"sysctl -qw {NF}=0; NETRECON apply -q q.yaml; ip link set br-q type bridge nf_call_iptables 1",
        before={"q": QUIET},
    ),
    # the MTU of the way out
    "mtu_of_the_uplink_declared": Situation(
        {"w": f"interfaces: {{up0: {{mtu: 1400}}}}\n{WEB}"}, {"bridge/host/br-web": {"mtu": 1400}}, given=UPLINK
    ),
    "mtu_of_the_uplink_declared_in_the_other_file": Situation(
        {"w": WEB, "base": "interfaces: {up0: {mtu: 1400}}\n"}, {"bridge/host/br-web": {"mtu": 1400}}, given=UPLINK
    ),
    "mtu_of_the_uplink_goes_back": Situation(
        {"w": WEB},
        {"bridge/host/br-web": {"mtu": 1500}, "interface/host/up0": {"mtu": 1500}},
        given=UPLINK,
        before={"w": f"interfaces: {{up0: {{mtu: 1400}}}}\n{WEB}"},
    ),
    "default_route_declared": Situation(
        {
            "w": "interfaces: {up1: {addresses: [198.51.100.1/24]}}\n"
            f"routes: [{{to: default, via: 198.51.100.9}}]\n{WEB}"
        },
        {"bridge/host/br-web": {"mtu": 1380}},
        given="ip link add up1 mtu 1380 type veth peer name far1; ip link set up1 up; ip link set far1 up",
    ),
    "default_route_by_a_bridge_that_is_made": Situation(
        {
            "w": "bridges: {lan0: {addresses: [192.0.2.1/24]}}\ninterfaces: {up0: {master: lan0, mtu: 1420}}\n"
            f"routes: [{{to: default, via: 192.0.2.9}}]\n{WEB}"
        },
        {"bridge/host/br-web": {"mtu": 1420}},
        given="ip link add up0 type veth peer name far0; ip link set up0 up; ip link set far0 up",
    ),
    "uplink_no_longer_declared": Situation(
        {"w": WEB},
        {"bridge/host/br-web": {"mtu": 1500}},
        given=UPLINK,
        before={
            "w": "bridges: {lan0: {mtu: 1300, addresses: [10.9.0.1/24]}}\n"
            f"routes: [{{to: 0.0.0.0/1, via: 10.9.0.2}}, {{to: 128.0.0.0/1, via: 10.9.0.2}}]\n{WEB}"
        },
    ),
    "way_out_no_longer_declared": Situation(
        {"w": f"bridges: {{lan0: {{mtu: 1300, addresses: [10.9.0.1/24]}}}}\n{WEB}"},
        {"bridge/host/br-web": {"mtu": 1500}},
        given=UPLINK,
        before={
            "w": "bridges: {lan0: {mtu: 1300, addresses: [10.9.0.1/24]}}\n"
            f"routes: [{{to: 0.0.0.0/1, via: 10.9.0.2}}, {{to: 128.0.0.0/1, via: 10.9.0.2}}]\n{WEB}"
        },
    ),
    "default_route_by_a_network_itself": Situation(
        {
            "w": "routes: [{to: default, via: 10.63.0.2}]\n"
            "networks: {web: {subnets: [10.63.0.0/24], mtu: 1400}, b: {subnets: [10.64.0.0/24]}}\n"
            "sandboxes: {app: {endpoints: {web: {address: 10.63.0.2}, b: {}}}}\n"
        },
        {"bridge/host/br-web": {"mtu": 1400}},
    ),
    # addresses and routes
    "address_declared_in_the_subnet": Situation(
        {"w": f"interfaces: {{up0: {{addresses: [10.63.0.9/24]}}}}\n{WEB}"},
        refused="10.63.0.0/24 through up0",
        given=UPLINK,
    ),
    "address_no_longer_declared": Situation(
        {"w": WEB},
        {"bridge/host/br-web": {}},
        given=UPLINK,
        before={"w": "interfaces: {up0: {addresses: [10.63.0.9/24]}}\n"},
    ),
    "address_declared_in_a_pool": Situation(
        {"w": "interfaces: {up0: {addresses: [172.17.0.9/16]}}\nnetworks: {web: {}}\n"},
        {"address/host/br-web/172.18.0.1/16": {}},
        given=UPLINK,
    ),
    "bridge_declared_in_a_pool": Situation(
        {"w": "bridges: {lan0: {addresses: [172.17.0.9/16]}}\nnetworks: {web: {}}\n"},
        {"address/host/br-web/172.18.0.1/16": {}},
    ),
    "route_declared_in_a_pool": Situation(
        {
            "w": "bridges: {lan0: {addresses: [10.9.0.1/24]}}\nroutes: [{to: 172.17.0.0/16, via: 10.9.0.2}]\n"
            "networks: {web: {}}\n"
        },
        {"address/host/br-web/172.18.0.1/16": {}},
    ),
    "bridge_declared_in_the_subnet": Situation(
        {"w": f"bridges: {{lan0: {{addresses: [10.63.0.9/25]}}}}\n{WEB}"}, refused="10.63.0.0/25 through lan0"
    ),
    "route_declared_in_a_pool_by_the_other_file": Situation(
        {"w": "networks: {web: {}}\n", "base": "routes: [{to: 172.17.0.0/16, via: 192.0.2.7}]\n"},
        {"address/host/br-web/172.18.0.1/16": {}},
        given=UPLINK,
    ),
    "route_no_longer_declared": Situation(
        {"w": WEB},
        {"bridge/host/br-web": {}},
        given=UPLINK,
        before={"w": "routes: [{to: 10.63.0.0/25, via: 192.0.2.7}]\n"},
    ),
    # ports
    "port_published_by_the_other_file": Situation(
        {"w": PUBLISHED, "base": 'port_maps: ["32768:192.0.2.9:80"]\n'},
        {"port_map/host/tcp/0.0.0.0:32769": {}},
        given=UPLINK,
    ),
    "port_named_by_the_other_file": Situation(
        {"w": PUBLISHED, "x": 'networks: {x: {}}\nsandboxes: {x: {endpoints: {x: {}}, publish: ["32768:80", "81"]}}\n'},
        {"port_map/host/tcp/0.0.0.0:32769": {}, "port_map/host/tcp/0.0.0.0:32770": {}},
    ),
    "subnet_named_by_the_other_file": Situation(
        {"w": "networks: {w: {}}\n", "x": "networks: {x: {subnets: [172.17.0.0/24]}, y: {}}\n"},
        {"address/host/br-w/172.18.0.1/16": {}, "address/host/br-y/172.19.0.1/16": {}},
    ),
    "subnet_let_go_by_the_other_file": Situation(
        {"w": "networks: {w: {}}\n", "x": ""},
        {"address/host/br-w/172.18.0.1/16": {}},
        before={"x": "networks: {x: {}}\n"},
    ),
    # name servers
    "name_servers_declared": Situation(
        {"w": f"dns: {{nameservers: [10.0.0.53], search: [lab.example]}}\n{WEB}"},
        {RESOLVER: {"lines": ["nameserver 10.0.0.53", "search lab.example"]}},
        given="echo 'nameserver 127.0.0.53' > /etc/resolv.conf",
    ),
    "name_servers_declared_in_the_other_file": Situation(
        {"w": WEB, "base": "dns: {nameservers: [10.0.0.53]}\n"},
        {RESOLVER: {"lines": ["nameserver 10.0.0.53"]}},
        given="echo > /etc/resolv.conf",
    ),
    "name_servers_no_longer_declared": Situation(
        {"w": WEB},
        {RESOLVER: {"lines": ["nameserver 10.9.9.9"]}},
        given="echo 'nameserver 10.9.9.9' > /etc/resolv.conf",
        before={"w": f"dns: {{nameservers: [10.0.0.53]}}\n{WEB}"},
    ),
}


def written(folder: pathlib.Path, files: dict[str, str]) -> list[str]:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(f"version: 1\nname: {name}\n{text}")
    return [str(folder / f"{name}.yaml") for name in files]


def described(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    capsys.readouterr()
    main.main([*words])
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_first_apply_is_right(name: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = SITUATIONS[name]
    if NF in f"{case}" and not pathlib.Path(f"/proc/sys/{NF.replace('.', '/')}").exists():
        pytest.skip("this kernel has no br_netfilter")
    given, _, later = case.given.partition("NETRECON apply -q q.yaml;")
    sh(given or "true")
    if case.before:
        assert main.main(["apply", "-q", *written(tmp_path, case.before)]) == 0, capsys.readouterr().err
    sh(later or "true")
    files = written(tmp_path, case.files)
    if case.refused:
        assert main.main(["plan", *files]) == 1
        assert case.refused in capsys.readouterr().err
        return
    plan = {change["key"]: change["after"] for change in described(capsys, "plan", "--json", *files)["changes"]}
    for key, attributes in case.wanted.items():
        assert {word: plan[key].get(word) for word in attributes} == attributes, plan[key]
    applied = described(capsys, "apply", "--json", *files)
    assert (applied["result"]["verified"], applied["result"]["applied"]) == (True, len(plan))
    again = described(capsys, "plan", "--json", *files)
    assert (again["in_sync"], again["changes"]) == (True, [])
