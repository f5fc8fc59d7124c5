"""What a topology without ``expect`` implies of its traffic, and which packets show it."""

from __future__ import annotations

from typing import Any

import pytest
from command import Netrecon

from reconciler.kernel.observe import probes
from reconciler.kernel.observe.probes import Probe
from reconciler.run import verify

TOPOLOGY: dict[str, Any] = {
    "bridges": {
        "open": {"addresses": ["10.1.0.1/24", "fd01::1/64"]},
        "shut": {"addresses": ["10.2.0.1/24"]},
        "inner": {"addresses": ["10.3.0.1/24"]},
    },
    "veths": {
        f"v-{name}": {
            "master": bridge,
            "isolated": bridge == "shut",
            "peer": {"namespace": name, "name": "eth0", "addresses": addresses},
        }
        for name, bridge, addresses in (
            ("a", "open", ["10.1.0.2/24", "fd01::2/64"]),
            ("b", "open", ["10.1.0.3/24"]),
            ("c", "shut", ["10.2.0.2/24"]),
            ("d", "shut", ["10.2.0.3/24"]),
            ("e", "inner", ["10.3.0.2/24"]),
        )
    },
    "masquerades": [{"source": "10.1.0.0/24"}],
    "namespaces": {
        name: {"routes": [{"to": "default", "via": f"10.{net}.0.1"}]}
        for name, net in (("a", 1), ("b", 1), ("c", 2), ("d", 2))
    }
    | {"e": {}},
}


class Network:
    """Stands for the packets: what was asked, and what each got."""

    def __init__(self) -> None:
        self.asked: list[Probe] = []
        self.beyond = "192.0.2.1"

    def run(self, _kernel: object, asked: list[Probe]) -> list[tuple[bool, str]]:
        self.asked = asked
        return [(True, "answered") for _ in asked]


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch, netrecon: Netrecon) -> Network:
    network = Network()
    monkeypatch.setattr(probes, "run", network.run)
    monkeypatch.setattr(verify, "beyond", lambda *_: network.beyond)
    return network


def found(netrecon: Netrecon, network: Network, more: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """(from, to, reach) of what is implied besides the default routes of TOPOLOGY."""
    netrecon("apply", "-q", {**TOPOLOGY, **more}, code=None)
    told = netrecon.json("verify", {**TOPOLOGY, **more}, code=None)
    assert all(one["implied"] and one["origin"] for one in told["expectations"])
    assert len(told["expectations"]) == len(network.asked)
    return [(one["from"], one["to"], one["reach"]) for one in told["expectations"] if one["because"] != "default route"]


PORTS = {
    "of_every_address": ("8080:10.1.0.2:80", [("host", "10.1.0.1:8080"), ("b", "10.1.0.1:8080")]),
    "without_a_sibling_from_another_network": (
        "[::]:8080:[fd01::2]:80",
        [("host", "[fd01::1]:8080")],
    ),
    "of_one_address": ("10.2.0.1:8080:10.1.0.2:80/udp", [("host", "10.2.0.1:8080/udp"), ("b", "10.2.0.1:8080/udp")]),
    "of_loopback": ("127.0.0.1:8080:10.1.0.2:80", [("host", "127.0.0.1:8080")]),
    "of_somebody_else": ("8080:10.9.0.2:80", [("host", "10.1.0.1:8080")]),
}


@pytest.mark.parametrize("name", PORTS)
def test_a_published_port(name: str, netrecon: Netrecon, network: Network) -> None:
    port, wanted = PORTS[name]
    told = [(scope, to) for scope, to, reach in found(netrecon, network, {"port_maps": [port]}) if reach]
    assert told == wanted


def test_the_listener_is_where_the_packets_end(netrecon: Netrecon, network: Network) -> None:
    found(netrecon, network, {"port_maps": ["8080:10.1.0.2:80"]})
    assert {one.listen for one in network.asked if one.port == 8080} == {("a", "10.1.0.2", 80)}


def test_ports_without_a_probe_are_named(netrecon: Netrecon, network: Network) -> None:
    ports = ["1:10.1.0.2:80/sctp", "2:10.9.0.2:80/udp"]
    told = netrecon.json("verify", {**TOPOLOGY, "port_maps": ports}, code=None)["unprobed"]
    assert [(one["key"], one["why"][:10]) for one in told] == [
        ("port_map/host/sctp/0.0.0.0:1", "SCTP is no"),
        ("port_map/host/udp/0.0.0.0:2", "its target"),
    ]


ISOLATIONS = {
    "members_that_may_not_reach_each_other": (
        {"link": "shut", "within": False, "allow": ["open", "inner"]},
        [("c", "10.2.0.3:33434"), ("d", "10.2.0.2:33434")],
    ),
    "from_elsewhere": ({"link": "open"}, [("c", "10.1.0.2:33434"), ("e", "10.1.0.2:33434")]),
    "from_what_is_not_allowed": ({"link": "open", "allow": ["inner"]}, [("c", "10.1.0.2:33434")]),
    "nothing_leaves_an_internal_link": (
        {"link": "inner", "internal": True, "allow": ["open", "shut"]},
        [("e", "10.1.0.2:33434"), ("e", "10.2.0.2:33434"), ("e", "elsewhere (IPv4)")],
    ),
}


@pytest.mark.parametrize("name", ISOLATIONS)
def test_an_isolation(name: str, netrecon: Netrecon, network: Network) -> None:
    isolation, wanted = ISOLATIONS[name]
    ports = {("c", "10.2.0.3:33434"), ("d", "10.2.0.2:33434")}  # of ports that are isolated from each other
    told = [(scope, to) for scope, to, reach in found(netrecon, network, {"isolations": [isolation]}) if not reach]
    assert set(told) == {*wanted, *ports}


def test_isolated_ports_of_a_bridge(netrecon: Netrecon, network: Network) -> None:
    assert found(netrecon, network, {}) == [("c", "10.2.0.3:33434", False), ("d", "10.2.0.2:33434", False)]


def test_a_default_route_and_where_it_is_masqueraded_a_way_out(netrecon: Netrecon, network: Network) -> None:
    found(netrecon, network, {})
    routed = [(one.scope, one.address, one.leaves, one.ttl) for one in network.asked if one.protocol != "tcp"]
    assert routed == [
        ("a", "10.1.0.1", "", 0),
        ("a", "192.0.2.1", "host", 2),
        ("b", "10.1.0.1", "", 0),
        ("b", "192.0.2.1", "host", 2),
        ("c", "10.2.0.1", "", 0),
        ("d", "10.2.0.1", "", 0),
    ]


def test_a_host_without_a_way_out(netrecon: Netrecon, network: Network) -> None:
    network.beyond = ""
    netrecon("apply", "-q", TOPOLOGY, code=None)
    assert "2 default" not in netrecon("verify", TOPOLOGY, code=2)
    told = netrecon.json("verify", TOPOLOGY, code=2)["unprobed"]
    assert {one["why"] for one in told} == {"host has no route to a router by which its packets could leave"}


def test_a_gateway_of_somebody_else(netrecon: Netrecon, network: Network) -> None:
    spaces = {**TOPOLOGY["namespaces"], "b": {"routes": [{"to": "default", "via": "10.1.0.77"}]}}
    told = netrecon.json("verify", {**TOPOLOGY, "namespaces": spaces}, code=None)["unprobed"]
    assert "its gateway 10.1.0.77 is not of the topology" in [one["why"] for one in told]


def test_where_something_is_expected_nothing_is_implied(netrecon: Netrecon, network: Network) -> None:
    expect = [{"from": "a", "to": "b"}]
    told = netrecon.json("verify", {**TOPOLOGY, "expect": expect})
    assert [(one["to"], one["implied"]) for one in told["expectations"]] == [("b", False)]


def test_nothing_to_probe(netrecon: Netrecon, network: Network) -> None:
    topology = {"bridges": {"br0": {}}}
    assert netrecon("verify", topology).startswith("case: nothing to probe: ")
    assert netrecon.json("verify", topology)["expectations"] == []


def test_a_namespace_that_is_missing_proves_no_isolation(netrecon: Netrecon, network: Network) -> None:
    told = netrecon.json("verify", {**TOPOLOGY, "namespaces": {**TOPOLOGY["namespaces"]}}, code=2)
    assert {(one["shows"], one["holds"]) for one in told["expectations"] if not one["reach"]} == {
        ("no namespace c", False),
    }
    assert network.asked == []


def test_a_run_of_ports_is_one_line(netrecon: Netrecon, network: Network) -> None:
    topology = {**TOPOLOGY, "port_maps": ["7000-7999:10.1.0.2:7000-7999/udp", "9000:10.1.0.2:9000/udp"]}
    netrecon("apply", "-q", topology, code=None)
    told = netrecon("verify", topology, code=None)
    assert told.count("published port") == 4
    assert "10.1.0.1:7000-7999/udp" in told
