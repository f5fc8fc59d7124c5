"""Networks and sandboxes on the real kernel: who reaches whom with real packets, and what stays as it was."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from typing import Any

import pytest
from agents import NETWORKS, agents, netrecon, uplink, written
from nat_lab import NO_DAD
from snapshot import differences, snapshot
from throwaway import ip_json, sh

from reconciler.cli import main

pytestmark = pytest.mark.live

# from, protocol, address, port -> who answers, and what address it sees; "-": nobody does
REACHES = """
# neighbours, both families, both protocols
b tcp 172.20.0.2 80 a 172.20.0.3
b udp 172.20.0.2 80 a 172.20.0.3
b tcp fd00:20::2 80 a fd00:20::3
b tcp 172.23.0.3 80 c 172.23.0.2
# the host reaches every sandbox, and every sandbox its gateway
host tcp 172.21.0.2 80 o 172.21.0.1
host tcp 172.23.0.3 80 c 172.23.0.1
host tcp 172.22.0.2 80 q1 172.22.0.1
q1 tcp 172.22.0.1 81 host 172.22.0.2
c tcp 172.23.0.1 81 host 172.23.0.3
# networks are isolated from each other, and one is opened one way
a tcp 172.21.0.2 80 o 172.20.0.2
o tcp 172.20.0.2 80 -
o udp 172.20.0.2 80 -
a tcp 172.22.0.2 80 -
a tcp 172.23.0.3 80 -
# from outside in, by a route that a neighbour made itself
lan tcp 172.20.0.2 80 -
lan tcp 172.24.0.2 80 -
lan tcp 172.23.0.3 80 -
# from inside out: with the host's address, with its own where nothing is masqueraded, and not at all
a tcp 192.0.2.9 80 lan 192.0.2.1
a tcp 2001:db8::9 80 lan 2001:db8::1
q2 tcp 192.0.2.9 80 lan 192.0.2.1
p tcp 192.0.2.9 80 lan 172.24.0.2
c tcp 192.0.2.9 80 -
# endpoints that do not reach each other, not even by way of the gateway; their published ports they reach
q1 tcp 172.22.0.3 80 -
q2 tcp 172.22.0.2 80 -
q2 udp 172.22.0.2 80 -
q2 tcp 172.22.0.1 9002 q1 172.22.0.1
# published ports
lan tcp 192.0.2.1 9000 a 192.0.2.9
lan udp 192.0.2.1 9000 a 192.0.2.9
lan tcp 2001:db8::1 9000 a 2001:db8::9
lan tcp 192.0.2.1 9002 q1 192.0.2.9
lan tcp 192.0.2.1 9001 refused
o tcp 172.21.0.1 9000 a 172.20.0.1
a tcp 192.0.2.1 9000 a 172.20.0.1
host tcp 127.0.0.1 9001 a 172.20.0.1
host tcp 127.0.0.1 9002 q1 172.22.0.1
"""


def planned(capsys: pytest.CaptureFixture[str], file: str, *options: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    main.main(["plan", "--json", *options, file])
    changes: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["changes"]
    return changes


def address(sandbox: str, link: str = "eth0") -> str:
    (found,) = ip_json(f"-n {sandbox} -4 addr show dev {link}")
    (one,) = found["addr_info"]
    return f"{one['local']}/{one['prefixlen']}"


@pytest.mark.parametrize("bridge_nf", [0, 1])
def test_who_reaches_whom(bridge_nf: int, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    uplink()
    if pathlib.Path("/proc/sys/net/bridge").exists():
        sh(f"sysctl -qw net.bridge.bridge-nf-call-iptables={bridge_nf} net.bridge.bridge-nf-call-ip6tables={bridge_nf}")
    elif bridge_nf:
        pytest.skip("this kernel has no br_netfilter")
    file = written(tmp_path, NETWORKS)
    assert netrecon("apply", "-q", file) == 0, capsys.readouterr()
    lines = [line.split() for line in REACHES.splitlines() if line and not line.startswith("#")]
    wrong = []
    with agents("host", "lan", *"a b o q1 q2 c p".split()) as running:
        for words in lines:
            ask, expected = " ".join(words[:4]), " ".join(words[4:])
            found = running.ask(ask, patient=expected != "-")
            if found != expected.replace("-", "timeout"):
                wrong.append(f"{ask}: {found}, not {expected}")
    assert not wrong, "\n".join(wrong)
    assert netrecon("check", file) == 0, capsys.readouterr()


APART = """
networks: {third: {subnets: [10.63.0.0/24, "fd00:63::/64"], icc: false}}
sandboxes:
  peer: {endpoints: {third: {address: [10.63.0.2, "fd00:63::2"]}}, publish: ["7000:80", "7000:80/udp"]}
  peer2: {endpoints: {third: {}}}
"""
APART_REACHES = """
peer2 tcp 10.63.0.2 80 timeout
peer2 udp 10.63.0.2 80 timeout
peer2 tcp fd00:63::2 80 timeout
peer2 tcp 10.63.0.1 7000 peer
peer2 udp 10.63.0.1 7000 peer
peer2 tcp fd00:63::1 7000 peer
peer tcp 10.63.0.3 80 timeout
"""


@pytest.mark.parametrize(("live", "declared"), [(0, 1), (1, 0), (0, 0), (1, 1)])
def test_apart_as_the_file_declares_it(
    live: int, declared: int, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not pathlib.Path("/proc/sys/net/bridge").exists():
        pytest.skip("this kernel has no br_netfilter")
    sh(f"sysctl -qw {NO_DAD}")
    names = ("net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables")
    for name in names:
        sh(f"sysctl -qw {name}={live}")
    file = written(tmp_path, f"sysctls: {{{', '.join(f'{name}: {declared}' for name in names)}}}\n{APART}")
    assert netrecon("apply", "-q", file) == 0, capsys.readouterr()
    wrong = []
    with agents("peer", "peer2") as running:
        for line in APART_REACHES.split("\n")[1:-1]:
            *ask, expected = line.split()
            found = running.ask(" ".join(ask), patient=expected != "timeout").split()[0]
            if found != expected:
                wrong.append(f"{line}: {found}")
    assert not wrong, "\n".join(wrong)
    assert netrecon("check", "-v", file) == 0, capsys.readouterr()


def test_the_same_objects_as_docker_makes(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """docker0 with two containers, as Docker 20.10 and later leave it; docs/networks.md has it as a table."""
    file = written(
        tmp_path, "networks: {d: {bridge: docker0}}\nsandboxes: {a: {endpoints: {d: {}}}, b: {endpoints: {d: {}}}}\n"
    )
    assert netrecon("apply", "-q", file) == 0, capsys.readouterr()
    (bridge,) = ip_json("-d addr show dev docker0")
    assert [(one["local"], one["prefixlen"]) for one in bridge["addr_info"] if one["family"] == "inet"] == [
        ("172.17.0.1", 16)
    ]
    assert bridge["address"] == "02:42:ac:11:00:01"
    assert bridge["linkinfo"]["info_data"]["stp_state"] == 0
    for name, ip in (("a", "172.17.0.2"), ("b", "172.17.0.3")):
        (link,) = ip_json(f"-n {name} addr show dev eth0")
        assert link["address"] == "02:42:" + ":".join(f"{int(part):02x}" for part in ip.split("."))
        assert [(one["local"], one["prefixlen"]) for one in link["addr_info"]] == [(ip, 16)]  # and no link-local one
        routes = [(one["dst"], one.get("gateway"), one["dev"]) for one in ip_json(f"-n {name} route")]
        assert routes == [("default", "172.17.0.1", "eth0"), ("172.17.0.0/16", None, "eth0")]
    ports = ip_json("link show master docker0")
    assert {one["ifname"] for one in ports} == {"v-a-d", "v-b-d"}
    assert sh("cat /proc/sys/net/ipv4/ip_forward").strip() == "1"


def test_predefined_networks(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, "sandboxes: {alone: {network: none}, shared: {network: host}}\n")
    assert netrecon("apply", "-q", file) == 0, capsys.readouterr()
    assert sh("ls /run/netns").split() == ["alone"]
    assert [one["ifname"] for one in ip_json("-n alone link")] == ["lo"]
    assert netrecon("check", "-v", file) == 0
    assert netrecon("delete", file) == 0


def test_names_and_name_servers(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    pathlib.Path("/etc/resolv.conf").write_text("nameserver 127.0.0.53\nnameserver 192.0.2.53\nsearch lab.example\n")
    text = """
networks: {front: {}, back: {hosts: {ntp: 10.0.0.7}}}
sandboxes:
  app: {endpoints: {front: {}, back: {}}, dns: {nameservers: [172.17.0.1]}}
  db: {endpoints: {back: {aliases: [sql]}}, dns: {nameservers: [172.18.0.1]}}
  edge: {endpoints: {front: {}}}
"""
    file = written(tmp_path, text)
    assert netrecon("apply", "-q", file) == 0, capsys.readouterr()
    inside = f"{sys.executable} -m reconciler exec"
    assert sh(f"{inside} app -- getent hosts db").split() == ["172.18.0.3", "db"]
    assert sh(f"{inside} app -- getent hosts sql").split()[0] == "172.18.0.3"
    assert sh(f"{inside} db -- getent hosts ntp").split()[0] == "10.0.0.7"
    assert "db" not in sh(f"{inside} edge -- cat /etc/hosts")
    lines = sh(f"{inside} edge -- cat /etc/resolv.conf").splitlines()
    assert lines[1:] == ["nameserver 192.0.2.53", "search lab.example"]
    assert "nameserver 172.18.0.1" in sh(f"{inside} db -- cat /etc/resolv.conf")


def test_a_file_of_somebody_else_is_not_overwritten(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    sh("mkdir -p /etc/netns/a && echo nameserver 10.9.9.9 > /etc/netns/a/resolv.conf")
    file = written(tmp_path, "networks: {n: {}}\nsandboxes: {a: {endpoints: {n: {}}}}\n")
    assert netrecon("apply", file) == 1
    assert "dns_file/a/resolv.conf exists already" in capsys.readouterr().err
    assert pathlib.Path("/etc/netns/a/resolv.conf").read_text() == "nameserver 10.9.9.9\n"
    assert netrecon("apply", "--adopt", file) == 0, capsys.readouterr()


def test_nobody_is_renumbered(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    b = "b: {endpoints: {n: {}, m: {}}, publish: [80]}"
    one = f"networks: {{n: {{}}, m: {{}}}}\nsandboxes: {{a: {{endpoints: {{n: {{}}}}}}, {b}}}\n"
    c = "c: {endpoints: {l: {}, n: {}}, publish: [80]}"
    two = f"networks: {{l: {{}}, m: {{}}, n: {{}}}}\nsandboxes: {{{c}, {b}}}\n"
    assert netrecon("apply", written(tmp_path, one)) == 0, capsys.readouterr()
    assert (address("b"), address("b", "eth1")) == ("172.17.0.3/16", "172.18.0.2/16")
    file = written(tmp_path, two)
    kept = [one["key"] for one in planned(capsys, file) if one["key"].startswith(("address/b", "veth/host/v-b"))]
    assert kept == []
    assert netrecon("apply", "-q", file) == 0, capsys.readouterr()
    assert (address("b"), address("b", "eth1")) == ("172.17.0.3/16", "172.18.0.2/16")
    assert (address("c"), address("c", "eth1")) == ("172.19.0.2/16", "172.17.0.2/16")
    assert "tcp . 32768 : 172.17.0.3 . 80" in sh("nft list ruleset")
    assert "tcp . 32769 : 172.19.0.2 . 80" in sh("nft list ruleset")
    assert netrecon("check", "-v", file) == 0, capsys.readouterr()


def test_an_address_removed_by_hand_comes_back_as_it_was(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "networks: {n: {}}\nsandboxes: {%s}\n"
    assert netrecon("apply", written(tmp_path, text % "a: {endpoints: {n: {}}}, b: {endpoints: {n: {}}}")) == 0
    file = written(tmp_path, text % "b: {endpoints: {n: {}}}")
    assert netrecon("apply", file) == 0
    sh("ip -n b addr flush dev eth0")
    assert "address/b/eth0/172.17.0.3/16" in [one["key"] for one in planned(capsys, file)]
    assert netrecon("apply", file) == 0
    assert address("b") == "172.17.0.3/16"


def test_a_bridge_removed_by_hand_comes_back_with_its_subnet(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = "networks: {m: {}, n: {}}\nsandboxes: {b: {endpoints: {n: {}}}}\n"
    assert netrecon("apply", "-q", written(tmp_path, both)) == 0, capsys.readouterr()
    file = written(tmp_path, both.replace("m: {}, ", ""))
    assert netrecon("apply", "-q", file) == 0, capsys.readouterr()
    sh("ip link del br-n")
    assert netrecon("apply", "-q", file) == 0, capsys.readouterr()
    assert [one["local"] for one in ip_json("-4 addr show dev br-n")[0]["addr_info"]] == ["172.18.0.1"]
    assert address("b") == "172.18.0.2/16"
    assert netrecon("check", "-v", file) == 0, capsys.readouterr()


def test_a_free_port_is_one_that_nobody_listens_on(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = written(tmp_path, "networks: {o: {}}\nsandboxes: {o: {endpoints: {o: {}}, publish: [80]}}\n", "other")
    with subprocess.Popen(["socat", "TCP-LISTEN:32768,fork", "SYSTEM:true"]) as listener:
        try:
            sh("for i in $(seq 50); do ss -ltn | grep -q :32768 && break; sleep 0.05; done")
            assert netrecon("apply", other) == 0, capsys.readouterr()
            file = written(tmp_path, "networks: {n: {}}\nsandboxes: {a: {endpoints: {n: {}}, publish: [80]}}\n")
            keys = [one["key"] for one in planned(capsys, file)]
        finally:
            listener.kill()
    assert "port_map/host/tcp/0.0.0.0:32770" in keys
    assert "address/host/br-n/172.18.0.1/16" in keys


def test_two_topologies_at_once_get_different_subnets_and_ports(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "networks: {%s: {}}\nsandboxes: {%s: {endpoints: {%s: {}}, publish: [80]}}\n"
    files = [written(tmp_path, text % (name, name, name), name) for name in ("one", "two")]
    fixed = written(tmp_path, "networks: {three: {subnets: [172.17.0.0/24]}}\n", "three")
    assert netrecon("apply", *files, fixed) == 0, capsys.readouterr()
    assert (address("one"), address("two")) == ("172.18.0.2/16", "172.19.0.2/16")
    assert netrecon("check", "-v", *reversed(files), fixed) == 0, capsys.readouterr()
    assert netrecon("check", "-v", files[1]) == 0, capsys.readouterr()


def test_a_subnet_that_the_host_routes_elsewhere_is_refused(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uplink()
    sh("ip route add 172.20.0.0/16 via 192.0.2.9")
    file = written(tmp_path, "networks: {n: {subnets: [172.20.7.0/24]}}\n")
    before = snapshot()
    for command in ("plan", "apply"):
        assert netrecon(command, file) == 1
        place, what = f"{file}:3:26: networks.n.subnets[0]", "overlaps the host's route to 172.20.0.0/16 through eth0"
        assert f"{place}: 172.20.7.0/24 {what}" in capsys.readouterr().err
    assert differences(before, snapshot()) == []
    sh("ip route del 172.20.0.0/16")
    assert netrecon("apply", "-q", file) == 0, capsys.readouterr()
    assert netrecon("check", "-v", file) == 0, capsys.readouterr()


def test_the_mtu_is_that_of_the_uplink(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    uplink(1400)
    file = written(tmp_path, "networks: {n: {}, big: {mtu: 9000}}\nsandboxes: {a: {endpoints: {n: {}, big: {}}}}\n")
    assert netrecon("apply", "-q", file) == 0, capsys.readouterr()
    mtus = [(one["ifname"], one["mtu"]) for one in ip_json("-n a link show type veth")]
    assert sorted(mtus) == [("eth0", 1400), ("eth1", 9000)]
    assert [one["mtu"] for link in ("br-n", "v-a-n") for one in ip_json(f"link show {link}")] == [1400, 1400]


def test_forwarding_and_places_are_in_the_plan(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = "networks:\n  n: {routes: [{to: 10.9.0.0/16, via: 172.17.0.9}]}\n"
    file = written(tmp_path, f"{network}sandboxes:\n  a:\n    endpoints:\n      n: {{}}\n")
    changes = {one["key"]: one for one in planned(capsys, file)}
    assert changes["sysctl/host/net.ipv4.ip_forward"]["after"] == {"value": "1"}
    places = {"bridge/host/br-n": 4, "veth/host/v-a-n": 8, "namespace/host/a": 6, "route/a/main/10.9.0.0/16": 4}
    assert {key: changes[key]["origin"] for key in places} == {key: f"{file}:{line}" for key, line in places.items()}
    assert netrecon("apply", "-q", file) == 0, capsys.readouterr()
    assert [one["gateway"] for one in ip_json("-n a route show 10.9.0.0/16")] == ["172.17.0.9"]


def test_a_network_gets_ipv6_and_loses_it_again(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    four = "networks: {n: {subnets: [172.20.0.0/24]}}\nsandboxes: {a: {endpoints: {n: {}}}}\n"
    both = four.replace("/24]", '/24, "fd00:20::/64"]')
    for text, addresses in ((four, ["172.20.0.2"]), (both, ["172.20.0.2", "fd00:20::2"]), (four, ["172.20.0.2"])):
        file = written(tmp_path, text)
        assert netrecon("apply", "--json", file) == 0, capsys.readouterr()
        assert json.loads(capsys.readouterr().out)["result"]["failed"] == []
        (link,) = ip_json("-n a addr show dev eth0")
        found = [one["local"] for one in link["addr_info"] if one["scope"] == "global"]
        assert found == addresses
        assert netrecon("check", "-v", file) == 0, capsys.readouterr()
        capsys.readouterr()


@pytest.mark.parametrize("name", ["docker-default-network", "three-tiers", "dual-stack"])
def test_what_lower_prints_is_the_same_network(
    name: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(pathlib.Path(__file__).parents[2] / "topologies" / f"{name}.yaml")
    assert netrecon("apply", "-q", file) == 0, capsys.readouterr()
    capsys.readouterr()
    assert netrecon("lower", file) == 0
    lowered = tmp_path / "lowered.yaml"
    lowered.write_text(capsys.readouterr().out)
    assert netrecon("check", "-v", str(lowered)) == 0, capsys.readouterr()
    before = snapshot()
    assert netrecon("delete", "-q", "--name", name) == 0
    assert netrecon("apply", "-q", str(lowered)) == 0, capsys.readouterr()
    assert [line for line in differences(before, snapshot()) if "v_" not in line and "v-" not in line] == []
    assert netrecon("check", "-v", file) == 0, capsys.readouterr()
