"""doctor --trace sends probes, names the rule that drops them, and leaves everything as it was."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
from throwaway import sh

from reconciler.cli import main

pytestmark = pytest.mark.live

TOPOLOGY: dict[str, Any] = {
    "version": 1,
    "name": "tracing",
    "bridges": {"br0": {"addresses": ["172.16.0.1/24", "fd00:16::1/64"]}},
    "veths": {
        f"v-{name}": {
            "master": "br0",
            "peer": {"namespace": name, "name": "eth0", "addresses": [f"172.16.0.{at}/24", f"fd00:16::{at}/64"]},
        }
        for name, at in (("test", 2), ("other", 3))
    },
    "sysctls": {"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1},
    "port_maps": ["9091:172.16.0.2:80", "9092:172.16.0.2:81/udp", "[::]:9093:[fd00:16::2]:80"],
    "masquerades": [{"source": "172.16.0.0/24"}],
    "namespaces": {name: {"routes": [{"to": "default", "via": "172.16.0.1"}]} for name in ("test", "other")},
}
UPLINK = (
    "ip netns add lab-router && ip link add up0 type veth peer name e0 netns lab-router"
    " && ip addr add 10.99.0.2/24 dev up0 && ip link set up0 up"
    " && ip -n lab-router addr add 10.99.0.1/24 dev e0 && ip -n lab-router link set e0 up"
    " && ip route add default via 10.99.0.1"
)


def chain(rule: str, policy: str = "accept", hook: str = "forward", scope: str = "") -> None:
    made = f"add chain inet fw c {{ type filter hook {hook} priority 5; policy {policy}; }}"
    text = f"add table inet fw; {made}" + (f"; add rule inet fw c {rule}" if rule else "")
    sh(f"{f'ip netns exec {scope} ' if scope else ''}nft '{text}'")


@pytest.fixture
def file(tmp_path: pathlib.Path) -> str:
    path = tmp_path / "tracing.yaml"
    path.write_text(json.dumps(TOPOLOGY))
    sh(UPLINK)
    assert main.main(["apply", "-q", str(path)]) == 0
    return str(path)


def trace(file: str, capsys: pytest.CaptureFixture[str], code: int) -> dict[str, Any]:
    capsys.readouterr()
    assert main.main(["doctor", "--trace", "--json", file]) == code, capsys.readouterr()
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def lost(found: dict[str, Any]) -> set[tuple[str, str, int]]:
    return {(one["from"], one["protocol"], one["port"]) for one in found["trace"] if not one["arrived"]}


def traced(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in found["findings"] if one["topic"] == "traced"]


def test_nothing_is_dropped_and_nothing_stays(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    chain("tcp dport 1 accept")
    before = sh("nft -a list ruleset"), sh("ip netns exec test nft -a list ruleset")
    sh("conntrack -I -s 10.99.0.2 -d 10.99.0.1 -p udp --sport 61001 --dport 9 -t 600 -u SEEN_REPLY")
    found = trace(file, capsys, 0)
    assert lost(found) == set()
    assert {(one["from"], one["protocol"], one["port"]) for one in found["trace"]} >= {
        ("host", "tcp", 9091),
        ("other", "tcp", 9091),
        ("host", "udp", 9092),
        ("other", "tcp", 9093),
        ("test", "udp", 53),
    }
    assert all(one["steps"] for one in found["trace"])
    assert any(step["rule"] == "ip saddr @masq4 masquerade" for one in found["trace"] for step in one["steps"])
    assert any("from outside" in one["why"] for one in found["untraced"])
    assert (sh("nft -a list ruleset"), sh("ip netns exec test nft -a list ruleset")) == before
    entries = sh("conntrack -L 2>/dev/null; ip netns exec test conntrack -L 2>/dev/null")
    assert "dport=9 " in entries
    assert not [line for line in entries.splitlines() if "dport=909" in line or "dst=192.0.2.1" in line]
    assert main.main(["doctor", "--trace", "-v", file]) == 0
    assert "traced: TCP from host to 10.99.0.2:9091: connected" in capsys.readouterr().out


DROPS = {
    "a_policy": (("", "drop"), "its policy", {("test", "udp", 53), ("other", "tcp", 9091), ("host", "tcp", 9091)}),
    "a_rule_that_rejects": (
        ("tcp dport 80 reject", "accept"),
        "`tcp dport 80 reject`",
        {("other", "tcp", 9091), ("other", "tcp", 9093)},
    ),
    "a_set": (("udp dport { 81, 90-99 } drop", "accept"), "`udp dport { 81, 90-99 } drop`", {("other", "udp", 9092)}),
    "the_answers": (("tcp sport 80 drop", "accept"), "`tcp sport 80 drop`", {("other", "tcp", 9091)}),
}


@pytest.mark.parametrize("name", DROPS)
def test_the_rule_that_drops_is_named(name: str, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    (rule, policy), words, wanted = DROPS[name]
    chain(rule, policy)
    found = trace(file, capsys, 2)
    told = traced(found)
    assert lost(found) >= wanted - {("host", "tcp", 9091)}  # the host's own packets are not forwarded
    assert any(words in one["message"] and "chain c of table inet fw" in one["message"] for one in told)
    assert all(one["commands"] == [] and one["scope"] == "host" and one["hint"] for one in told)
    drops = [step for one in found["trace"] for step in one["steps"] if step["verdict"] == "drop"]
    assert {(step["table"], step["chain"]) for step in drops} == {("fw", "c")}
    assert "netrecon_trace" not in sh("nft list tables")


def test_a_rule_within_the_target_namespace(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    chain("udp dport 81 drop", hook="input", scope="test")
    found = trace(file, capsys, 2)
    assert {("host", "udp", 9092), ("other", "udp", 9092)} == lost(found)
    assert [(one["scope"], "`udp dport 81 drop`" in one["message"]) for one in traced(found)] == [("test", True)]


def test_a_topology_in_a_namespace(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    inner = {key: TOPOLOGY[key] for key in ("bridges", "sysctls", "port_maps")}
    veths = {
        "v-test": {
            "master": "br0",
            "peer": {"namespace": "test", "name": "eth0", "addresses": ["172.16.0.2/24", "fd00:16::2/64"]},
        }
    }
    path = tmp_path / "inner.yaml"
    spaces = {"router": {**inner, "veths": veths}, "test": {}}
    path.write_text(json.dumps({"version": 1, "name": "inner", "namespaces": spaces}))
    assert main.main(["apply", "-q", str(path)]) == 0
    assert lost(trace(str(path), capsys, 0)) == set()
    chain("tcp dport 80 drop", hook="output", scope="router")
    found = trace(str(path), capsys, 2)
    assert {one["scope"] for one in traced(found)} == {"router"}
    assert ("router", "tcp", 9091) in lost(found)


def test_legacy_rules_are_said_to_be_invisible(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    sh("iptables-legacy -A FORWARD -p udp --dport 81 -j DROP")
    found = trace(file, capsys, 2)
    assert "the rules of iptables-legacy" in [one["what"] for one in found["untraced"]]
    assert ["no rule of nftables dropped it" in one["message"] for one in traced(found)] == [True]


def test_a_table_that_a_killed_run_left_is_removed(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    sh("nft add table inet netrecon_trace_4194399; nft add table inet netrecon_trace_1")
    trace(file, capsys, 0)
    assert "netrecon_trace_4194399" not in sh("nft list tables")
    assert "netrecon_trace_1" in sh("nft list tables")  # of a process that lives


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_ended_leaves_no_table(number: signal.Signals, file: str) -> None:
    release = tuple(map(int, os.uname().release.split(".")[:2]))
    if number == signal.SIGKILL and release < (5, 12):
        pytest.skip("this kernel has no tables that belong to a socket")
    chain("", "drop")  # so that the probes last
    words = [sys.executable, "-c", "from reconciler.cli.main import run; run()", "doctor", "--trace", file]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        seen, end = False, time.monotonic() + 120
        while not seen and run.poll() is None and time.monotonic() < end:
            seen = "netrecon_trace" in sh("nft list tables")
        assert seen
        os.kill(run.pid, number)
        run.wait(20)
    time.sleep(0.2)
    assert "netrecon_trace" not in sh("nft list tables")
