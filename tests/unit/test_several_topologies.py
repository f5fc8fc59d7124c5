"""Several topologies on one host: applied together, beside each other, and what one may not do to another."""

from __future__ import annotations

from typing import Any

import pytest
from command import Netrecon
from pretended.seam import Pretended

LEFT: dict[str, Any] = {
    "name": "left",
    "bridges": {"l0": {"addresses": ["10.1.0.1/24"]}},
    "sysctls": {"net.ipv4.ip_forward": 1},
    "port_maps": ["8080:10.1.0.2:80"],
}
RIGHT: dict[str, Any] = {
    "name": "right",
    "bridges": {"r0": {"addresses": ["10.2.0.1/24"]}},
    "sysctls": {"net.ipv4.ip_forward": 1},
    "port_maps": ["8081:10.2.0.2:80"],
    "routes": [{"to": "10.9.0.0/16", "via": "10.2.0.9"}],
    "namespaces": {"there": {"bridges": {"r0": {}}}},
}


def test_together_and_apart(pretended: Pretended, netrecon: Netrecon) -> None:
    before = pretended.picture()
    together = netrecon.json("apply", LEFT, RIGHT)
    assert together["topologies"] == ["left", "right"]
    netrecon("check", LEFT)
    netrecon("check", RIGHT)
    held = {one["name"]: one["objects"] for one in netrecon.json("list")["topologies"]}
    assert held["left"] == {"address": 1, "bridge": 1, "nft_table": 1, "port_map": 1}
    assert held["right"]["sysctl"] == 1  # ip_forward, which both set, is counted once
    assert held["right"]["namespace"] == 1
    netrecon("delete", "-q", LEFT)
    assert pretended.host.space("host").settings["net.ipv4.ip_forward"] == "1"  # right still needs it
    netrecon("check", RIGHT)
    netrecon("delete", "-q", "--name", "right")
    assert pretended.picture() == before
    assert "holds no topology" in netrecon("list")


def test_what_is_only_set_on_a_link_is_not_counted(pretended: Pretended, netrecon: Netrecon) -> None:
    pretended.sh("ip link add eth0 type veth peer name far0")
    listed = {
        "bridges": {"l0": {"addresses": ["10.1.0.1/24"]}},
        "veths": {"v0": {"master": "l0", "peer": {"namespace": "n", "name": "eth0", "addresses": ["10.1.0.2/24"]}}},
        "interfaces": {"eth0": {"mtu": 1400}},
        "sysctls": {"net.ipv4.ip_forward": 1, "net.ipv4.conf.eth0.rp_filter": 2, "net.ipv4.conf.l0.rp_filter": 2},
        "port_maps": ["8080:10.1.0.2:80"],
        "namespaces": {"n": {"sysctls": {"net.ipv4.ip_forward": 1}}},
    }
    netrecon("apply", "-q", listed)
    (held,) = netrecon.json("list")["topologies"]
    assert held["objects"]["sysctl"] == 2
    assert "interface" not in held["objects"]


def test_what_belongs_to_another_topology(pretended: Pretended, netrecon: Netrecon) -> None:
    netrecon("apply", "-q", LEFT)
    netrecon("apply", "-q", {"bridges": {"r0": {"addresses": ["10.2.0.1/24"]}}, "routes": RIGHT["routes"]})
    sent = len(pretended.sent)
    said = netrecon("apply", {**RIGHT, "port_maps": ["8080:10.2.0.2:80"], "bridges": {"l0": {}, "r0": {}}}, code=1)
    assert "bridge/host/l0 belongs to topology left" in said
    assert "bridge/host/r0 belongs to topology case" in said
    assert "port_map/host/tcp/0.0.0.0:8080 belongs to topology left" in said
    assert pretended.sent[sent:] == []


@pytest.mark.parametrize(
    ("port", "said"),
    [
        ("127.0.0.1:8080:10.2.0.2:80", "tcp/127.0.0.1:8080 overlaps tcp/0.0.0.0:8080, which topology left publishes"),
        ("8080-8089:10.2.0.2:80-89", "port_map/host/tcp/0.0.0.0:8080 belongs to topology left"),
    ],
)
def test_ports_that_another_run_published(port: str, said: str, netrecon: Netrecon) -> None:
    netrecon("apply", "-q", LEFT)
    assert said in netrecon("apply", {**RIGHT, "port_maps": [port]}, code=1)


def test_range_that_another_run_published_is_one_problem(netrecon: Netrecon) -> None:
    netrecon("apply", "-q", {**LEFT, "port_maps": ["8080-8089:10.1.0.2:80-89"]})
    said = netrecon("apply", {**RIGHT, "port_maps": ["8080-8089:10.2.0.2:80-89"]}, code=1)
    assert said.count("belongs to topology left") == 1
    assert said.count("8080") == 1


def test_ports_that_overlap_in_one_run(netrecon: Netrecon) -> None:
    said = netrecon("validate", LEFT, {**RIGHT, "port_maps": ["127.0.0.1:8080:10.2.0.2:80"]}, code=1)
    assert "tcp/127.0.0.1:8080 overlaps tcp/0.0.0.0:8080, published at" in said


def test_two_files_of_one_name_or_one_object(netrecon: Netrecon) -> None:
    said = netrecon("validate", LEFT, {**RIGHT, "name": "left"}, code=1)
    assert 'two files have the name "left"; a name owns what it makes' in said
    assert "declared by topology left too" in netrecon("validate", LEFT, {"bridges": {"l0": {}}}, code=1)


def test_all_problems_of_all_files_at_once(netrecon: Netrecon) -> None:
    said = netrecon(
        "validate", {"bridges": {"a": {"mtu": "x"}}}, {**LEFT, "routes": [{"to": "x", "dev": "l0"}]}, code=1
    )
    assert 'bridges.a.mtu: "x" is not a whole number' in said
    assert 'routes[0].to: "x" is not a prefix' in said


def test_kept_going_after_a_failure(pretended: Pretended, netrecon: Netrecon) -> None:
    from reconciler.model.errors import Failure

    pretended.fault = lambda _n, request: Failure(1, "no") if "r0" in str(request) else None
    result = netrecon.json("apply", "--keep-going", LEFT, RIGHT, code=4)["result"]
    assert {one["key"] for one in result["failed"]} == {"bridge/host/r0", "bridge/there/r0"}
    assert {one["key"]: one["waits_for"] for one in result["blocked"]} == {
        "address/host/r0/10.2.0.1/24": "bridge/host/r0",
        "route/host/main/10.9.0.0/16": "bridge/host/r0",
        "sysctl/host/net.ipv4.conf.r0.route_localnet": "bridge/host/r0",
    }
    netrecon("check", LEFT)
    pretended.fault = lambda _n, _request: None
    netrecon("apply", "-q", LEFT, RIGHT)
    netrecon("check", RIGHT)


def test_unforeseen_error_goes_back(pretended: Pretended, netrecon: Netrecon, monkeypatch: pytest.MonkeyPatch) -> None:
    from reconciler.run import converge

    def stumble(*_: object) -> bool:
        raise ZeroDivisionError("by zero")

    before = pretended.picture()
    monkeypatch.setattr(converge.look, "confirmed", stumble)
    said = netrecon("apply", LEFT, code=3)
    assert "unforeseen ZeroDivisionError: by zero" in said
    assert pretended.picture() == before


def test_way_back_that_stumbles_is_told(
    pretended: Pretended, netrecon: Netrecon, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reconciler.model.errors import Failure
    from reconciler.safety import rollback

    def stumble(*_: object) -> bool:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(rollback, "back", stumble)
    pretended.fault = lambda n, _request: Failure(1, "no") if n == 2 else None
    said = netrecon("apply", LEFT, code=4)
    assert "cannot go back: unforeseen ZeroDivisionError: by zero" in said


@pytest.mark.parametrize("at", [1, 2, 3])
def test_interrupted_run_goes_back(
    at: int, pretended: Pretended, netrecon: Netrecon, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os
    import signal

    before = pretended.picture()

    def interrupt(number: int, _request: object) -> None:
        if number == at:
            os.kill(os.getpid(), signal.SIGTERM)

    pretended.fault = interrupt  # type: ignore[assignment]
    said = netrecon("apply", RIGHT, code=3)
    assert "SIGTERM" in said
    assert pretended.picture() == before


def test_namespace_with_processes(pretended: Pretended, netrecon: Netrecon) -> None:
    netrecon("apply", "-q", RIGHT)
    unused = range(1 << 22, (1 << 22) + 12)  # more than pid_max: processes without a name
    pretended.host.occupants = {"there": list(unused)}
    said = netrecon("delete", "--name", "right", code=1)
    listed = ", ".join(map(str, unused[:10]))
    assert f"there of topology right has live processes: pid {listed} and 2 more; end them, or --force deletes" in said
    netrecon("delete", "-q", "--force", "--name", "right")


@pytest.mark.usefixtures("pretended")
def test_delete_of_a_topology_that_is_not_there(netrecon: Netrecon) -> None:
    netrecon("apply", "-q", RIGHT)
    said = netrecon("delete", "--name", "right", "--name", "rigth", code=1)
    assert said.endswith("there is no topology rigth on this host; netrecon list shows those there are\n")
    (error,) = netrecon.json("delete", "--name", "rigth", code=1)["errors"]
    assert "no topology rigth" in error["message"]
    netrecon("delete", "-q", "--name", "right")


@pytest.mark.parametrize("name", ["", "Left", "a/b", "0x", "a" * 32])
def test_delete_of_no_name(name: str, netrecon: Netrecon) -> None:
    assert "is not a topology name" in netrecon("delete", "--name", name, code=1)


def test_delete_of_nothing_in_particular(netrecon: Netrecon) -> None:
    assert "give FILE or --name NAME, one of them" in netrecon("delete", code=1)
    assert "give FILE or --name NAME, one of them" in netrecon("delete", "--name", "left", LEFT, code=1)


def test_one_loses_its_last_port_while_the_other_gets_its_first(netrecon: Netrecon) -> None:
    """Both in one run and in one scope: what is created in a table does not wait for the table that goes."""
    bridge = {"bridges": {"br0": {"addresses": ["10.0.0.1/24"]}}}
    first, second = {"name": "first", **bridge}, {"name": "second"}
    netrecon("apply", "-q", {**first, "port_maps": ["8080:10.0.0.2:80"]}, second)
    other = {**second, "port_maps": ["8081:10.0.0.2:80"], "isolations": []}
    netrecon("apply", "-q", first, other)
    netrecon("check", first, other)
    netrecon("apply", "-q", {**first, "port_maps": ["8080:10.0.0.2:80"]}, second)
    netrecon("check", {**first, "port_maps": ["8080:10.0.0.2:80"]}, second)
