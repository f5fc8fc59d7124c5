"""After an apply the scopes that it can have changed are read again, and no others."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from throwaway import ip_json, sh

from reconciler.cli import main
from reconciler.kernel.netlink import reader
from reconciler.kernel.nftables import nft_tables
from reconciler.run import converge

pytestmark = pytest.mark.live


def namespace(number: int) -> dict[str, Any]:
    return {"routes": [{"to": "default", "via": "10.0.0.1"}], "sysctls": {"net.ipv4.conf.eth0.arp_notify": 1}}


def veth(number: int, name: str) -> dict[str, Any]:
    peer = {"namespace": name, "name": "eth0", "mtu": 1500, "addresses": [f"10.0.0.{number}/24"]}
    return {"master": "br0", "peer": peer}


NAMES = ("blue", "green", "red")
TOPOLOGY: dict[str, Any] = {
    "version": 1,
    "name": "rooms",
    "bridges": {"br0": {"addresses": ["10.0.0.1/24"]}},
    "veths": {f"v{number}": veth(number, name) for number, name in enumerate(NAMES, 2)},
    "sysctls": {"net.ipv4.ip_forward": 1},
    "port_maps": ["9091:10.0.0.2:80", "9092:10.0.0.2:80/udp", "127.0.0.1:9093:10.0.0.2:80"],
    "namespaces": {name: namespace(number) for number, name in enumerate(NAMES, 2)} | {"loose": {"exclusive": False}},
}
ALL = ["blue", "green", "host", "loose", "red"]
MACVLAN = "ip link add up0 type veth peer name up1; ip link add mv0 link up0 netns loose type macvlan"

# what is done by hand -> what is read to put it right and to see that it is
DAMAGE: dict[str, tuple[str, list[str]]] = {
    "a_route_in_one_namespace": ("ip -n blue route del default", ["blue"]),
    "a_setting_of_one_namespace": ("ip netns exec red sysctl -qw net.ipv4.conf.eth0.arp_notify=0", ["red"]),
    "an_address_of_the_host": ("ip addr del 10.0.0.1/24 dev br0", ["host"]),
    "a_port": ("nft flush map inet netrecon-rooms pub_any4", ["nft of host"]),
    "a_port_and_a_route": (
        "nft flush map inet netrecon-rooms pub_any4; ip -n red route del default",
        ["red", "nft of host"],
    ),
    "a_rule_of_the_table": ("nft flush chain inet netrecon-rooms prerouting", ["nft of host"]),
    "an_end_that_is_down": ("ip -n blue link set eth0 down", ["blue", "host"]),
    "a_veth": ("ip link del v3", ["green", "host"]),
    "a_namespace_and_its_veth": ("ip netns del red; while ip link show v4; do sleep 0.1; done", ["host", "red"]),
    "two_namespaces": ("ip -n blue route del default; ip -n red route del default", ["blue", "red"]),
    "a_link_on_which_none_lies": ("ip link del v3; " + MACVLAN, ["green", "host", "loose"]),
}


@pytest.fixture
def path(tmp_path: pathlib.Path) -> str:
    return written(tmp_path, TOPOLOGY)


def written(folder: pathlib.Path, topology: dict[str, Any]) -> str:
    path = folder / "rooms.yaml"
    path.write_text(json.dumps(topology))
    return str(path)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The scopes of each look at the kernel, or "nft of" those of which nftables alone were read."""
    found: list[list[str]] = []
    read, read_tables = reader.read, nft_tables.read_tables

    def noted(kernel: Any, scopes: Sequence[str], tables: Any) -> Any:
        found.append(sorted(scopes))
        return read(kernel, scopes, tables)

    def noted_tables(kernel: Any, scope: str) -> Any:
        if scope not in found[-1]:
            found[-1].append(f"nft of {scope}")
        return read_tables(kernel, scope)

    monkeypatch.setattr(reader, "read", noted)
    monkeypatch.setattr(nft_tables, "read_tables", noted_tables)
    return found


def applied(path: str, looks: list[list[str]]) -> list[list[str]]:
    looks.clear()
    assert main.main(["apply", path, "-q"]) == 0
    return list(looks)


@pytest.mark.parametrize("name", DAMAGE)
def test_repair_reads_again_what_it_can_have_changed(path: str, looks: list[list[str]], name: str) -> None:
    command, again = DAMAGE[name]
    applied(path, looks)
    sh(command)
    first, *later = applied(path, looks)
    there = [scope for scope in ALL if scope != "red" or name != "a_namespace_and_its_veth"]
    assert (first, later) == (there, [again])
    assert main.main(["check", path]) == 0


def test_namespaces_that_go_take_along_what_only_a_whole_look_shows(
    tmp_path: pathlib.Path, path: str, looks: list[list[str]]
) -> None:
    applied(path, looks)
    left = dict(TOPOLOGY, namespaces={name: TOPOLOGY["namespaces"][name] for name in ("blue", "green", "loose")})
    left["veths"] = {name: TOPOLOGY["veths"][name] for name in ("v2", "v3")}
    assert applied(written(tmp_path, left), looks) == [ALL, ["blue", "green", "host", "loose"]]


@pytest.mark.parametrize(
    "command",
    [
        "nft delete element inet netrecon-rooms pub_any4 { tcp . 9091 }",
        "nft delete element inet netrecon-rooms pub_any4 { udp . 9092 }",
        "nft delete element inet netrecon-rooms pub_addr4 { 127.0.0.1 . tcp . 9093 }",
        "nft add element inet netrecon-rooms pub_addr4 { 0.0.0.0 . tcp . 9091 : 10.0.0.9 . 80 }",
        "nft add element inet netrecon-rooms pub_addr4 { 0.0.0.0 . udp . 9092 : 10.0.0.9 . 80 }",
        "nft add element inet netrecon-rooms pub_any4 { tcp . 9099 : 10.0.0.9 . 80 }",
        "nft add element inet netrecon-rooms isolated { br0 }",
        "nft flush chain inet netrecon-rooms forward",
        "nft delete table inet netrecon-rooms",
    ],
)
def test_nftables_undone_as_soon_as_done_are_seen_and_done_again(
    monkeypatch: pytest.MonkeyPatch, path: str, looks: list[list[str]], command: str
) -> None:
    applied(path, looks)
    sh("nft delete element inet netrecon-rooms pub_any4 { tcp . 9091 }")
    meanwhile(monkeypatch, command)
    assert applied(path, looks) == [ALL, ["nft of host"], ALL, ["nft of host"]]
    assert "10.0.0.2 . 80" in sh("nft list ruleset")
    assert main.main(["check", path]) == 0


def test_namespace_that_is_gone_when_its_tables_are_read_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, looks: list[list[str]]
) -> None:
    path = written(
        tmp_path, {"version": 1, "name": "rooms", "namespaces": {"red": {"port_maps": ["9091:10.0.0.2:80"]}}}
    )
    applied(path, looks)
    sh("ip netns exec red nft flush map inet netrecon-rooms pub_any4")
    meanwhile(monkeypatch, "ip netns del red")
    applied(path, looks)
    assert main.main(["check", path]) == 0


def meanwhile(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """Run a command once, when the first changes have been sent."""
    carry_out: Callable[..., Any] = converge.carry_out
    todo = [command]

    def sent(*arguments: Any) -> Any:
        outcome = carry_out(*arguments)
        while todo:
            sh(todo.pop())
        return outcome

    monkeypatch.setattr(converge, "carry_out", sent)


@pytest.mark.parametrize(
    "command",
    [
        "ip -n blue route del default",
        "ip -n blue addr flush dev eth0",
        "ip -n blue link set eth0 down",
        "ip link set v2 nomaster",
        "ip link del v2",
        "ip netns exec blue sysctl -qw net.ipv4.conf.eth0.arp_notify=0",
        "ip netns del blue",
    ],
)
def test_undone_as_soon_as_done_is_seen_and_done_again(
    monkeypatch: pytest.MonkeyPatch, path: str, looks: list[list[str]], command: str
) -> None:
    applied(path, looks)
    sh("ip link del v2")
    meanwhile(monkeypatch, command)
    assert len(applied(path, looks)) == 4  # it was not right, so all was read; and then the second round was
    assert ip_json("-n blue route show default")
    assert main.main(["check", path]) == 0


@pytest.mark.parametrize(
    "command",
    [
        "ip -n blue link set eth0 mtu 1450",
        'ip -n blue link set eth0 alias ""',
        "ip -n blue link add stray0 type bridge; ip -n blue link set eth0 master stray0",
        "ip -n blue link del eth0",
    ],
)
def test_end_of_a_veth_whose_other_end_is_not_read_again(
    monkeypatch: pytest.MonkeyPatch, path: str, looks: list[list[str]], command: str
) -> None:
    applied(path, looks)
    sh("ip -n blue route del default")
    meanwhile(monkeypatch, command)
    assert applied(path, looks)[:3] == [ALL, ["blue"], ALL]
    assert main.main(["check", path]) == 0


def test_what_is_in_the_way_afterwards_is_no_success(
    monkeypatch: pytest.MonkeyPatch, path: str, looks: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """A stamp taken off meanwhile: the namespace is nobody's now, and an apply may not touch it."""
    applied(path, looks)
    sh("ip -n blue route del default")
    meanwhile(monkeypatch, 'ip -n blue link set lo alias ""')
    assert main.main(["apply", path, "-q"]) == 3
    assert "namespace/host/blue exists already, bears no stamp" in capsys.readouterr().err
    assert ip_json("-n blue route show default") == []


def test_what_is_in_the_way_is_not_forgotten_over_what_can_be_done(
    monkeypatch: pytest.MonkeyPatch, path: str, looks: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """The second round has one route to set elsewhere, and succeeds with that; the first problem is still there."""
    applied(path, looks)
    sh("ip -n blue route del default")
    meanwhile(monkeypatch, 'ip -n blue link set lo alias ""; ip -n red route del default')
    assert main.main(["apply", path, "-q"]) == 3
    assert "namespace/host/blue exists already, bears no stamp" in capsys.readouterr().err


def test_secondary_addresses_that_go_with_their_primary_are_made_again(
    tmp_path: pathlib.Path, looks: list[list[str]]
) -> None:
    """What is made in the same plan and needs one of them does not fail over it."""
    topology = {"version": 1, "name": "rooms", "bridges": {"br0": {"addresses": ["10.1.0.2/25", "10.1.0.1/25"]}}}
    applied(written(tmp_path, topology), looks)
    topology["bridges"] = {"br0": {"addresses": ["10.1.0.1/25", "fd00:1::1/64"]}}
    routes = {"routes": [{"to": "default", "via": "10.1.0.100", "metric": 50}]}
    path = written(tmp_path, topology | routes)
    applied(path, looks)
    assert [one["local"] for one in ip_json("-4 addr show br0")[0]["addr_info"]] == ["10.1.0.1"]
    assert main.main(["check", path]) == 0


def test_an_interface_does_not_go_with_the_namespace_of_its_other_end(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    topology = {"version": 1, "name": "rooms", "interfaces": {"up0": {}}}
    sh("ip link add up0 type veth peer name up1")
    assert main.main(["apply", "-q", written(tmp_path, topology | {"namespaces": {"green": {}}})]) == 0
    sh("ip link set up1 netns green")
    without = written(tmp_path, topology)
    assert main.main(["apply", "-q", without]) == 1
    assert "interfaces.up0: up0 would go with namespace/host/green" in capsys.readouterr().err
    assert ip_json("link show up0")
    sh(f"ip -n green link set up1 netns {os.getpid()}")
    assert main.main(["apply", "-q", without]) == 0
    assert main.main(["check", without]) == 0


def test_a_link_that_goes_gives_the_one_below_its_old_address_back(
    tmp_path: pathlib.Path, looks: list[list[str]]
) -> None:
    """A passthru macvlan lends its MAC to the link that it lies on: here a veth's end, of which nothing was planned."""
    peer = {"namespace": "blue", "name": "eth0", "mac": "02:00:00:00:00:aa", "addresses": ["10.0.0.2/24"]}
    path = written(
        tmp_path,
        {
            "version": 1,
            "name": "rooms",
            "bridges": {"br0": {"addresses": ["10.0.0.1/24"]}},
            "veths": {"v2": {"master": "br0", "peer": peer}},
            "namespaces": {"blue": {"routes": [{"to": "default", "via": "10.0.0.1"}]}},
        },
    )
    applied(path, looks)
    sh("ip -n blue link set eth0 address 02:00:00:00:00:bb")
    passthru("blue", "eth0", "blue")
    assert applied(path, looks)[:3] == [["blue", "host"], ["blue"], ["blue", "host"]]
    assert main.main(["check", path]) == 0


def test_a_link_that_goes_gives_one_of_another_namespace_its_old_address_back(
    tmp_path: pathlib.Path, looks: list[list[str]]
) -> None:
    links = {"up0": {"mac": "02:00:00:00:00:aa"}}
    path = written(tmp_path, {"version": 1, "name": "rooms", "interfaces": links, "namespaces": {"green": {}}})
    sh("ip link add up0 type veth peer name up1; ip link set up1 up")
    applied(path, looks)
    sh("ip link set up0 address 02:00:00:00:00:bb up")
    passthru("host", "up0", "green")
    applied(path, looks)
    assert main.main(["check", path]) == 0


def passthru(lower: str, link: str, upper: str) -> None:
    """Put a macvlan of one namespace on a link of another, and give it the MAC that the link should have."""
    inside = "" if lower == "host" else f"-n {lower} "
    sh(f"ip {inside}link add mv0 link {link} type macvlan mode passthru")
    if lower != upper:
        sh(f"ip {inside}link set mv0 netns {upper}")
    sh(f"ip -n {upper} link set mv0 up; ip -n {upper} link set mv0 address 02:00:00:00:00:aa")


def test_what_somebody_else_does_elsewhere_meanwhile_is_left_to_the_next_check(
    monkeypatch: pytest.MonkeyPatch, path: str, looks: list[list[str]]
) -> None:
    applied(path, looks)
    sh("ip -n blue route del default")
    meanwhile(monkeypatch, "ip -n red route del default")
    assert applied(path, looks) == [ALL, ["blue"]]
    assert main.main(["check", path]) == 2
    assert applied(path, looks) == [ALL, ["red"]]
