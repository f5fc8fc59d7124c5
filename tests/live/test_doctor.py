"""What blocks traffic beside our own objects is said in a line each, and nothing foreign changes."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import socket
from typing import Any

import pytest
from snapshot import differences, snapshot
from throwaway import sh

from reconciler.cli import main
from reconciler.kernel.nftables import nft_tables

pytestmark = pytest.mark.live

TOPOLOGY: dict[str, Any] = {
    "version": 1,
    "name": "case",
    "bridges": {"br0": {"addresses": ["172.16.0.1/24", "fd00:16::1/64"]}},
    "veths": {"v0": {"master": "br0", "peer": {"namespace": "test", "name": "eth0", "addresses": ["172.16.0.2/24"]}}},
    "port_maps": ["9091:172.16.0.2:80", "127.0.0.1:9092:172.16.0.2:80/udp", "[::]:9093:[fd00:16::2]:80"],
    "masquerades": [{"source": "172.16.0.0/24"}],
    "namespaces": {"test": {"routes": [{"to": "default", "via": "172.16.0.1"}]}},
}
ON = "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"


class Run:
    """The command line on one topology."""

    def __init__(self, folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.file = folder / "case.yaml"
        self.write(TOPOLOGY)

    def write(self, data: dict[str, Any]) -> None:
        self.file.write_text(json.dumps(data))

    def __call__(self, *arguments: str, code: int) -> str:
        self._capsys.readouterr()
        assert main.main([*arguments, str(self.file)]) == code, self._capsys.readouterr()
        return self._capsys.readouterr().out

    def findings(self, *without: str) -> list[dict[str, Any]]:
        """What doctor finds, having seen that plan and check -v say the same."""
        code = main.main(["doctor", "--json", str(self.file)])
        found: list[dict[str, Any]] = json.loads(self._capsys.readouterr().out)["findings"]
        assert code == (2 if found else 0)
        main.main(["plan", "--json", str(self.file)])
        assert json.loads(self._capsys.readouterr().out)["warnings"] == found
        main.main(["check", "-v", str(self.file)])
        lines = [line for line in self._capsys.readouterr().out.splitlines() if line.startswith("! ")]
        assert len(lines) == len(found)
        assert all(one["message"] in line and one["hint"] in line for one, line in zip(found, lines, strict=True))
        return [one for one in found if one["topic"] not in without]


@pytest.fixture
def run(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(tmp_path, capsys)


def test_forwarding_that_is_off(run: Run) -> None:
    run("apply", code=0)
    assert [(one["topic"], one["message"].split(" ")[0]) for one in run.findings()] == [
        ("forwarding", "net.ipv4.ip_forward"),
        ("forwarding", "net.ipv6.conf.all.forwarding"),
    ]
    assert "net.ipv4.ip_forward is 0" in run("plan", code=0)
    assert run("check", code=0) == ""
    sh(ON)
    assert run.findings() == []
    assert "nothing found" in run("doctor", code=0)


def test_forwarding_that_the_file_declares_is_not_warned_of(run: Run) -> None:
    run.write({**TOPOLOGY, "sysctls": {"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1}})
    assert "! " not in run("plan", code=2)
    assert "it is declared, so apply sets it" in run("doctor", code=2)
    run("apply", code=0)
    assert run.findings() == []


def rules() -> list[str]:
    """What nft and the old iptables show, without counters."""
    shown = sh("nft list ruleset; iptables-legacy-save; ip6tables-legacy-save")
    return [line.partition(" [")[0] for line in shown.splitlines() if not line.startswith("#")]


def chain(family: str, hook: str, more: str = "policy drop;", flags: str = "") -> str:
    table = f"add table {family} fw {flags}"
    return f"nft '{table}; add chain {family} fw c {{ type filter hook {hook} priority 0; {more} }}'"


CHAINS = {
    "nft_inet": (chain("inet", "forward"), 1),
    "nft_prerouting": (chain("ip", "prerouting"), 4),
    "nft_input": (chain("ip", "input"), 1),
    "nft_arp": ("nft 'add table arp fw; add chain arp fw c { type filter hook input priority 0; }'", 0),
    "nft_that_accepts": (chain("ip", "forward", ""), 0),
    "nft_dormant": (chain("ip", "forward", flags="{ flags dormant; }"), 0),
    "nft_table_of_another_family_with_a_name_like_ours": (chain("ip", "forward").replace("fw", "netrecon-fw"), 1),
    "nft_bridge": (chain("bridge", "forward"), 0),
    "iptables_nft": ("iptables-nft -P FORWARD DROP", 1),
    "ip6tables_nft": ("ip6tables-nft -P FORWARD DROP", 1),
    "iptables_legacy": ("iptables-legacy -P FORWARD DROP", 1),
    "ip6tables_legacy": ("ip6tables-legacy -P FORWARD DROP", 1),
    "iptables_legacy_that_accepts": ("iptables-legacy -A FORWARD -s 192.0.2.1 -j DROP", 0),
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_foreign_chain_that_drops_by_default(run: Run, name: str) -> None:
    command, count = CHAINS[name]
    tool = command.split()[0]
    if not shutil.which(tool):
        pytest.skip(f"{tool} is not installed")
    sh(f"{ON}; {command}")
    before = rules()
    run("apply", code=0)
    found = run.findings()
    assert {one["topic"] for one in found} == ({"barrier"} if count else set())
    assert set(before) <= set(rules())
    if found:  # the commands that it gives are real ones, and then it says no more
        for command in (command for one in found for command in one["commands"]):
            sh(command)
        assert run.findings() == []
        kept = snapshot()
        run("delete", "-q", code=0)
        assert not [line for line in differences(kept, snapshot()) if " fw" in line or "FORWARD" in line]


def test_looking_for_barriers_creates_no_old_iptables_table(run: Run) -> None:
    run.findings()
    for names in ("ip_tables_names", "ip6_tables_names"):
        path = pathlib.Path("/proc/thread-self/net") / names
        assert not path.exists() or path.read_text() == ""


LISTENERS: dict[str, tuple[int, int, str, int, list[str]]] = {
    "everywhere": (socket.AF_INET, socket.SOCK_STREAM, "0.0.0.0", 9091, ["port_map/host/tcp/0.0.0.0:9091"]),
    "on_loopback": (socket.AF_INET, socket.SOCK_STREAM, "127.0.0.1", 9091, ["port_map/host/tcp/0.0.0.0:9091"]),
    "both_families": (socket.AF_INET6, socket.SOCK_STREAM, "::", 9091, ["port_map/host/tcp/0.0.0.0:9091"]),
    "udp": (socket.AF_INET, socket.SOCK_DGRAM, "0.0.0.0", 9092, ["port_map/host/udp/127.0.0.1:9092"]),
    "ipv6": (socket.AF_INET6, socket.SOCK_STREAM, "::", 9093, ["port_map/host/tcp/[::]:9093"]),
    "other_family": (socket.AF_INET, socket.SOCK_STREAM, "0.0.0.0", 9093, []),
    "other_protocol": (socket.AF_INET, socket.SOCK_DGRAM, "0.0.0.0", 9091, []),
    "other_address": (socket.AF_INET, socket.SOCK_DGRAM, "172.16.0.1", 9092, []),
    "loopback_of_ipv6": (socket.AF_INET6, socket.SOCK_STREAM, "::1", 9093, []),
    "other_port": (socket.AF_INET, socket.SOCK_STREAM, "0.0.0.0", 9999, []),
}


@pytest.mark.parametrize("name", LISTENERS)
def test_a_process_that_listens_on_a_published_port(run: Run, name: str) -> None:
    family, kind, address, port, keys = LISTENERS[name]
    sh(ON)
    run("apply", "-q", code=0)
    with socket.socket(family, kind) as sock:
        sock.bind((address, port))
        if kind == socket.SOCK_STREAM:
            sock.listen()
        found = run.findings()
        assert [one["key"] for one in found] == keys
        assert all(f"(pid {os.getpid()})" in one["message"] for one in found)
        assert (f"(pid {os.getpid()})" in run("apply", code=0)) == bool(keys)
    assert run.findings() == []


def test_a_listener_in_a_namespace_that_publishes(run: Run) -> None:
    run.write(
        {**TOPOLOGY, "namespaces": {"test": {"port_maps": ["80:172.16.0.9:80"], "sysctls": {"net.ipv4.ip_forward": 1}}}}
    )
    sh(ON)
    run("apply", "-q", code=0)
    assert run.findings() == []
    sh("ip netns exec test socat TCP-LISTEN:80 STDOUT </dev/null >/dev/null 2>&1 & echo $! >/run/pid; sleep 0.5")
    (found,) = run.findings()
    assert found["key"] == "port_map/test/tcp/0.0.0.0:80"
    pid = pathlib.Path("/run/pid").read_text().strip()
    assert f"socat (pid {pid}) listens on 0.0.0.0:80" in found["message"]
    sh(f"kill {pid}")


def test_doctor_without_a_file_looks_at_all_that_the_kernel_holds(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["doctor"]) == 0
    assert "The kernel holds no topology" in capsys.readouterr().out
    run("apply", "-q", code=0)
    capsys.readouterr()
    assert main.main(["doctor"]) == 2
    assert capsys.readouterr().out.count("is 0: this scope passes no IPv") == 2
    sh(ON)
    assert main.main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["topologies"] == ["case"]


def test_an_element_of_a_protocol_without_ports_stops_neither_doctor_nor_apply(run: Run) -> None:
    sh(ON)
    run("apply", code=0)
    sh("nft add element inet netrecon-case pub_any4 '{ icmp . 8 : 172.16.0.9 . 80 }'")
    assert main.main(["doctor"]) == 0
    run("apply", code=0)
    run("check", code=0)


def test_a_ruleset_that_changes_as_doctor_looks_is_looked_at_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    sh(f"{ON}; {chain('inet', 'forward')}")
    look, changes = nft_tables.Ruleset.of_any_family, iter([True, False, True])

    def changing(ruleset: nft_tables.Ruleset, kind: int) -> Any:
        if next(changes, False):
            raise nft_tables.Changed
        return look(ruleset, kind)

    monkeypatch.setattr(nft_tables.Ruleset, "of_any_family", changing)
    run("doctor", code=2)
    assert next(changes, None) is None


def test_addresses_on_ports_of_bridges(run: Run) -> None:
    sh("ip netns add wire && ip link add eth2 type veth peer name w2 netns wire && ip link set eth2 up")
    sh("ip addr add 192.0.2.99/24 dev eth2 && ip addr add 192.0.2.98/24 dev eth2 valid_lft 400 preferred_lft 300")
    ports = {"eth2": {"master": "br0", "addresses": ["198.51.100.1/24"]}}
    run.write({"version": 1, "name": "case", "bridges": {"br0": {}}, "interfaces": ports})
    run("apply", code=0)
    found = run.findings()
    off = "foreign_addresses: remove on eth2 takes it off, unless it is a lease"
    assert {(one["key"], one["hint"]) for one in found} == {
        ("address/host/eth2/192.0.2.99/24", off),
        ("address/host/eth2/192.0.2.98/24", off),
        ("address/host/eth2/198.51.100.1/24", "give it to br0"),
    }
    assert {one["topic"] for one in found} == {"dead"}
    assert all("eth2 is a port of br0" in one["message"] for one in found)
