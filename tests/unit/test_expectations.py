"""What a topology expects of its traffic: what is meant, where it would end, and what becomes of an apply."""

from __future__ import annotations

from typing import Any

import pytest
from command import Netrecon
from pretended.seam import Pretended

from reconciler.kernel.observe import probes
from reconciler.kernel.observe.probes import Probe

TOPOLOGY: dict[str, Any] = {
    "bridges": {"front": {"addresses": ["10.1.0.1/24"]}, "back": {"addresses": ["10.2.0.1/24", "fd02::1/64"]}},
    "veths": {
        "v0": {"master": "front", "peer": {"namespace": "app", "name": "eth0", "addresses": ["10.1.0.2/24"]}},
        "v1": {
            "master": "back",
            "peer": {"namespace": "db", "name": "eth0", "addresses": ["fd02::2/64", "10.2.0.2/24"]},
        },
    },
    "port_maps": ["15432:10.1.0.1:25432", "25432:10.2.0.2:5432", "5353:10.2.0.2:53/udp", "[::]:80:[fd02::2]:8080"],
    "hosts": {"site": ["10.1.0.2"]},
    "namespaces": {"app": {"hosts": {"database": "10.2.0.2"}}, "db": {}},
}
# an expectation -> the packets that prove it, and where a listener is wanted
PROBES: list[tuple[dict[str, Any], Probe]] = [
    ({"from": "app", "to": "10.1.0.1:15432"}, Probe("app", "10.1.0.1", 15432, "tcp", ("db", "10.2.0.2", 5432))),
    ({"from": "app", "to": "10.1.0.1:5353/udp"}, Probe("app", "10.1.0.1", 5353, "udp", ("db", "10.2.0.2", 53))),
    ({"from": "app", "to": "[fd02::1]:80"}, Probe("app", "fd02::1", 80, "tcp", ("db", "fd02::2", 8080))),
    ({"from": "host", "to": "db:5432"}, Probe("host", "10.2.0.2", 5432, "tcp", ("db", "10.2.0.2", 5432))),
    ({"from": "host", "to": "db"}, Probe("host", "10.2.0.2", 0, "icmp", ("db", "10.2.0.2", 0))),
    ({"from": "app", "to": "database:53/udp"}, Probe("app", "10.2.0.2", 53, "udp", ("db", "10.2.0.2", 53))),
    ({"from": "host", "to": "site:80"}, Probe("host", "10.1.0.2", 80, "tcp", ("app", "10.1.0.2", 80))),
    ({"from": "app", "to": "127.0.0.1:80"}, Probe("app", "127.0.0.1", 80, "tcp", ("app", "127.0.0.1", 80))),
    ({"from": "host", "to": "192.0.2.1:80"}, Probe("host", "192.0.2.1", 80, "tcp", ("", "192.0.2.1", 80))),
]


def expecting(*expected: dict[str, Any]) -> dict[str, Any]:
    return {**TOPOLOGY, "expect": list(expected)}


class Network:
    """Stands for the packets: what was asked, and which of it arrives."""

    def __init__(self) -> None:
        self.asked: list[Probe] = []
        self.closed: set[int] = set()

    def run(self, _kernel: object, asked: list[Probe]) -> list[tuple[bool, str]]:
        self.asked = asked
        return [
            (one.port not in self.closed, "answered" if one.port not in self.closed else "no answer") for one in asked
        ]


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    network = Network()
    monkeypatch.setattr(probes, "run", network.run)
    return network


def test_where_the_packets_end(network: Network, netrecon: Netrecon) -> None:
    topology = expecting(*(expected for expected, _ in PROBES))
    assert all(one["holds"] for one in netrecon.json("verify", topology)["expectations"])
    assert network.asked == [probe for _, probe in PROBES]


def test_what_must_not_arrive(network: Network, netrecon: Netrecon) -> None:
    topology = {
        **TOPOLOGY,
        "expect": [{"from": "app", "to": "db:5432", "reach": False}, {"from": "app", "to": "db:80"}],
    }
    said = netrecon("verify", topology, code=2)
    assert said.count("NOT SO") == 1
    network.closed = {5432}
    assert "NOT SO" not in netrecon("verify", topology)
    assert netrecon("verify", "-q", topology) == ""


def test_an_apply_that_disproves_goes_back(network: Network, pretended: Pretended, netrecon: Netrecon) -> None:
    topology = {
        **TOPOLOGY,
        "expect": [{"from": "app", "to": "db:5432"}, {"from": "app", "to": "db:80", "reach": False}],
    }
    before = pretended.picture()
    network.closed = {5432}
    said = netrecon("apply", "--verify", topology, code=3)
    assert "not as expected: app does not reach db:5432" in said
    assert "app reaches db:80" in said
    assert pretended.picture() == before
    network.closed = {80}
    netrecon("apply", "-q", "--verify", topology)


@pytest.mark.parametrize(
    ("expectation", "reason"),
    [
        ({"from": "nobody", "to": "db:1"}, 'expect[0].from: no namespace "nobody"; declare it under namespaces'),
        ({"from": "app", "to": "nobody:1"}, 'expect[0].to: nothing here is called "nobody" and has an address'),
        ({"from": "app", "to": "db:70000"}, '"db:70000" is no NAME:PORT; a port is a number up to 65535'),
        ({"from": "app", "to": "db:80/sctp"}, "expect[0].to"),
        ({"from": "app", "to": "app:80:80"}, "expect[0].to"),
    ],
)
def test_an_expectation_that_says_nothing(expectation: dict[str, Any], reason: str, netrecon: Netrecon) -> None:
    assert reason in netrecon("validate", expecting(expectation), code=1)


def test_a_namespace_without_an_address(netrecon: Netrecon) -> None:
    topology = {"namespaces": {"empty": {}}, "expect": [{"from": "host", "to": "empty:1"}]}
    assert 'nothing here is called "empty"' in netrecon("validate", topology, code=1)
