"""What a topology expects of its traffic is proved with real packets, and an apply that disproves it goes back."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
from snapshot import differences, snapshot
from throwaway import sh

from reconciler.cli import main

pytestmark = pytest.mark.live
TOPOLOGY: dict[str, Any] = {
    "version": 1,
    "name": "expecting",
    "bridges": {"front": {"addresses": ["10.1.0.1/24"]}, "back": {"addresses": ["10.2.0.1/24", "fd02::1/64"]}},
    "veths": {
        "v0": {"master": "front", "peer": {"namespace": "app", "name": "eth0", "addresses": ["10.1.0.2/24"]}},
        "v1": {
            "master": "back",
            "peer": {"namespace": "db", "name": "eth0", "addresses": ["10.2.0.2/24", "fd02::2/64"]},
        },
        "v2": {"master": "front", "peer": {"namespace": "lan", "name": "eth0", "addresses": ["10.1.0.3/24"]}},
    },
    "sysctls": {"net.ipv4.ip_forward": 1},
    "isolations": [{"link": "back", "allow": []}],
    "port_maps": ["15432:10.2.0.2:5432", "5353:10.2.0.2:53/udp"],
    "namespaces": {
        "app": {"routes": [{"to": "default", "via": "10.1.0.1"}], "hosts": {"database": "10.2.0.2"}},
        "lan": {"routes": [{"to": "default", "via": "10.1.0.1"}]},
        "db": {"routes": [{"to": "default", "via": "10.2.0.1"}]},
    },
}
HOLDS: list[dict[str, Any]] = [
    {"from": "app", "to": "10.1.0.1:15432", "reach": True},  # published: the listener is in db
    {"from": "app", "to": "10.1.0.1:5353/udp"},
    {"from": "host", "to": "db:5432"},
    {"from": "host", "to": "[fd02::2]:5432"},
    {"from": "host", "to": "db"},
    {"from": "app", "to": "lan"},
    {"from": "lan", "to": "app:80"},
    {"from": "app", "to": "db:5432", "reach": False},  # isolated
    {"from": "app", "to": "database:53/udp", "reach": False},
    {"from": "lan", "to": "db", "reach": False},
    {"from": "db", "to": "app:22"},
]


def written(folder: pathlib.Path, expect: list[dict[str, Any]], **more: Any) -> str:
    path = folder / "expecting.yaml"
    path.write_text(json.dumps({**TOPOLOGY, "expect": expect, **more}))
    return str(path)


def test_what_holds_is_proved(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, HOLDS)
    assert main.main(["apply", "-q", "--verify", file]) == 0
    before = snapshot()
    code = main.main(["verify", "--json", file])
    found = json.loads(capsys.readouterr().out)
    assert [one for one in found["expectations"] if not one["holds"]] == []
    assert code == 0
    assert len(found["expectations"]) == len(HOLDS)
    assert main.main(["verify", file]) == 0
    assert "10.1.0.1:15432" in capsys.readouterr().out
    assert differences(before, snapshot()) == []


def test_the_contrary_is_disproved(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, [{**one, "reach": not one.get("reach", True)} for one in HOLDS])
    assert main.main(["apply", "-q", file]) == 0
    capsys.readouterr()
    assert main.main(["verify", "--json", file]) == 2
    assert [one for one in json.loads(capsys.readouterr().out)["expectations"] if one["holds"]] == []
    assert main.main(["verify", file]) == 2
    assert capsys.readouterr().out.count("NOT SO") == len(HOLDS)


def test_a_service_that_listens_already_is_asked_itself(tmp_path: pathlib.Path) -> None:
    file = written(tmp_path, [{"from": "host", "to": "db:5432"}])
    assert main.main(["apply", "-q", file]) == 0
    sh("ip netns exec db python3 -m http.server --bind 10.2.0.2 5432 >/dev/null 2>&1 & echo $! > /run/server")
    sh("for i in $(seq 50); do ip netns exec db ss -ltn | grep -q 5432 && break; sleep 0.1; done")
    try:
        assert main.main(["verify", "-q", file]) == 0
    finally:
        sh("kill $(cat /run/server)")


def test_an_apply_that_disproves_goes_back(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["apply", "-q", written(tmp_path, HOLDS)]) == 0
    before = snapshot()
    assert main.main(["apply", "--verify", written(tmp_path, HOLDS, isolations=[])]) == 3
    assert "not as expected: app reaches db:5432" in capsys.readouterr().err
    assert differences(before, snapshot()) == []


@pytest.mark.parametrize(
    ("expectation", "reason"),
    [
        ({"from": "nobody", "to": "db:1"}, 'expect[0].from: no namespace "nobody"'),
        ({"from": "app", "to": "nobody:1"}, 'expect[0].to: nothing here is called "nobody"'),
        ({"from": "app", "to": "db:70000"}, "a port is a number up to 65535"),
        ({"from": "app", "to": "db:80/sctp"}, "expect[0].to"),
        ({"from": "app"}, "expect[0]"),
    ],
)
def test_an_expectation_that_says_nothing_is_a_problem(
    expectation: dict[str, Any], reason: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["validate", written(tmp_path, [expectation])]) == 1
    assert reason in capsys.readouterr().err


# ------------------------------------------------------------------ without expectations


UPLINK = (
    "ip netns add lab-router && ip link add up0 type veth peer name e0 netns lab-router"
    " && ip addr add 10.99.0.2/24 dev up0 && ip link set up0 up"
    " && ip -n lab-router addr add 10.99.0.1/24 dev e0 && ip -n lab-router link set e0 up"
    " && ip route add default via 10.99.0.1"
)
SILENT = {**TOPOLOGY, "masquerades": [{"source": "10.1.0.0/24"}]}


def chain(rule: str, policy: str = "accept", hook: str = "forward") -> str:
    """The command that makes a chain with one rule."""
    made = f"add chain inet fw c {{ type filter hook {hook} priority 5; policy {policy}; }}"
    return f"nft 'add table inet fw; {made}; add rule inet fw c {rule}'"


def told(file: str, capsys: pytest.CaptureFixture[str], code: int) -> dict[tuple[str, str], dict[str, Any]]:
    """What verify says of each probe, by (from, to)."""
    capsys.readouterr()
    assert main.main(["verify", "--json", file]) == code, capsys.readouterr()
    return {(one["from"], one["to"]): one for one in json.loads(capsys.readouterr().out)["expectations"]}


@pytest.fixture
def silent(tmp_path: pathlib.Path) -> str:
    path = tmp_path / "silent.yaml"
    path.write_text(json.dumps(SILENT))
    sh(UPLINK)
    assert main.main(["apply", "-q", str(path)]) == 0
    return str(path)


def test_what_is_implied_is_proved(silent: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = snapshot()
    found = told(silent, capsys, 0)
    assert all(one["holds"] and one["implied"] for one in found.values())
    assert found["app", "elsewhere (IPv4)"]["shows"] == "left by up0 as 10.99.0.2"
    assert {("host", "10.2.0.1:15432"), ("app", "10.1.0.1:5353/udp"), ("db", "10.2.0.1")} <= set(found)
    assert not found["app", "10.2.0.2:33434"]["reached"]
    assert main.main(["verify", silent]) == 0
    assert "published port at " in capsys.readouterr().out
    assert differences(before, snapshot()) == []


DROPS = {
    "a_rule_for_a_port": ("udp dport 53 drop", "accept", {("app", "10.1.0.1:5353/udp")}),
    "a_set": ("tcp dport { 5000-6000 } reject", "accept", {("app", "10.1.0.1:15432")}),
    "a_policy": (
        "ip saddr 10.2.0.2 accept",
        "drop",
        {
            ("app", "10.1.0.1:15432"),
            ("app", "10.1.0.1:5353/udp"),
            ("app", "elsewhere (IPv4)"),
            ("lan", "elsewhere (IPv4)"),
        },
    ),
    "the_way_out": ("oifname up0 drop", "accept", {("app", "elsewhere (IPv4)"), ("lan", "elsewhere (IPv4)")}),
}


@pytest.mark.parametrize("name", DROPS)
def test_what_is_implied_and_dropped(name: str, silent: str, capsys: pytest.CaptureFixture[str]) -> None:
    rule, policy, lost = DROPS[name]
    sh(chain(rule, policy))
    assert {place for place, one in told(silent, capsys, 2).items() if not one["holds"]} == lost


def test_a_gateway_that_does_not_answer_and_an_isolation_that_is_open(
    silent: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sh(f"ip netns exec app {chain('ip daddr 10.1.0.1 drop', hook='output')}")
    table = "inet netrecon-expecting"
    sh(f"nft delete element {table} isolated '{{ \"back\" }}'")
    lost = {place for place, one in told(silent, capsys, 2).items() if not one["holds"]}
    assert {("app", "10.1.0.1"), ("lan", "10.2.0.2:33434")} <= lost | {
        ("lan", "10.2.0.2:33434"),
        ("app", "10.2.0.2:33434"),
    }
    assert ("app", "10.1.0.1") in lost
    assert lost & {("app", "10.2.0.2:33434"), ("lan", "10.2.0.2:33434")}


def test_a_program_that_has_the_port_and_does_not_answer(silent: str, capsys: pytest.CaptureFixture[str]) -> None:
    sh("ip netns exec db socat -u udp4-recv:53 /dev/null >/dev/null 2>&1 & echo $! > /run/server; sleep 0.5")
    try:
        found = told(silent, capsys, 0)
        assert found["host", "10.2.0.1:5353/udp"]["shows"] == "arrived, a program listens there"
    finally:
        sh("kill $(cat /run/server)")


def test_a_port_that_somebody_else_takes(silent: str, capsys: pytest.CaptureFixture[str]) -> None:
    made = "add chain ip taking c { type nat hook output priority -110; }"
    sh(f"nft 'add table ip taking; {made}; add rule ip taking c tcp dport 15432 dnat to 10.1.0.3:7'")
    sh("ip netns exec lan socat tcp4-listen:7 EXEC:cat >/dev/null 2>&1 & echo $! > /run/server; sleep 0.5")
    try:
        lost = {place: one["shows"] for place, one in told(silent, capsys, 2).items() if not one["holds"]}
        assert lost == {("host", "10.2.0.1:15432"): "answered by another program"}
    finally:
        sh("kill $(cat /run/server)")


OPENED = {
    "ports_of_a_bridge": ("bridge link set dev v0 isolated off; bridge link set dev v2 isolated off", "10.1.0.0"),
    "an_internal_link": ("nft delete element inet netrecon-shut internal '{ \"inner\" }'", "10.3.0.0"),
}


@pytest.mark.parametrize("name", OPENED)
def test_an_isolation_that_is_open(name: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    command, _ = OPENED[name]
    veths = {
        f"v{at}": {
            "master": bridge,
            "isolated": bridge == "front",
            "peer": {"namespace": space, "name": "eth0", "addresses": [address]},
        }
        for at, (bridge, space, address) in enumerate(
            (("front", "app", "10.1.0.2/24"), ("inner", "in", "10.3.0.2/24"), ("front", "lan", "10.1.0.3/24"))
        )
    }
    topology = {
        "version": 1,
        "name": "shut",
        "bridges": {"front": {"addresses": ["10.1.0.1/24"]}, "inner": {"addresses": ["10.3.0.1/24"]}},
        "veths": veths,
        "sysctls": {"net.ipv4.ip_forward": 1},
        "isolations": [{"link": "inner", "internal": True}],
        "masquerades": [{"source": "10.3.0.0/24"}],
        "namespaces": {
            "app": {"routes": [{"to": "default", "via": "10.1.0.1"}]},
            "lan": {},
            "in": {"routes": [{"to": "default", "via": "10.3.0.1"}]},
        },
    }
    path = tmp_path / "shut.yaml"
    path.write_text(json.dumps(topology))
    sh(UPLINK)
    assert main.main(["apply", "-q", str(path)]) == 0
    assert told(str(path), capsys, 0)["in", "elsewhere (IPv4)"]["shows"] == "did not leave"
    sh(command)
    lost = {place for place, one in told(str(path), capsys, 2).items() if not one["holds"]}
    assert (
        lost
        == {
            "ports_of_a_bridge": {("app", "10.1.0.3:33434"), ("lan", "10.1.0.2:33434")},
            "an_internal_link": {("in", "10.1.0.2:33434"), ("in", "elsewhere (IPv4)")},
        }[name]
    )


def test_ten_thousand_ports(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "many.yaml"
    path.write_text(
        json.dumps(
            {**TOPOLOGY, "port_maps": ["10000-14999:10.2.0.2:10000-14999", "10000-14999:10.2.0.2:10000-14999/udp"]}
        )
    )
    assert main.main(["apply", "-q", str(path)]) == 0
    capsys.readouterr()
    assert main.main(["verify", str(path)]) == 0
    assert "10.2.0.1:10000-14999/udp" in capsys.readouterr().out
