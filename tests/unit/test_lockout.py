"""A plan that would cut off whoever runs it from afar is refused with its reason, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest
from command import Netrecon
from pretended.seam import Pretended

from reconciler.kernel.proc.ssh_session import Session
from reconciler.safety import lockout

# eth0 leads to a LAN with the administrator's machine (192.0.2.9, SSH from there) and the router 192.0.2.1
SETUP = (
    "ip link add eth0 type veth peer name far0",
    "ip addr add 192.0.2.10/24 dev eth0",
    "ip -6 addr add 2001:db8::10/64 dev eth0",
    "ip link set eth0 up",
    "ip route add default via 192.0.2.1",
)
NEAR, FAR, OURS = "192.0.2.9", "198.51.100.7", "192.0.2.10"
BRIDGE: dict[str, Any] = {"bridges": {"br0": {"addresses": ["10.0.0.1/24"]}}}
MAC: dict[str, Any] = {"interfaces": {"eth0": {"mac": "02:00:00:00:00:01"}}}
PORT: dict[str, Any] = {"bridges": {"br0": {}}, "interfaces": {"eth0": {"master": "br0"}}}
NOWHERE: dict[str, Any] = {"routes": [{"to": "198.51.100.0/24", "type": "blackhole"}]}
CUTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "the link goes down": (
        NEAR,
        MAC,
        "would cut 192.0.2.9 off, which is behind eth0",
    ),
    "the link becomes a port": (
        FAR,
        {"bridges": {"br0": {}}, "interfaces": {"eth0": {"master": "br0"}}},
        "behind eth0",
    ),
    "a nearer route elsewhere": (
        NEAR,
        {"bridges": {"br0": {"addresses": ["192.0.2.14/29"]}}},
        "would change from 192.0.2.0/24 dev eth0 to 192.0.2.8/29 dev br0",
    ),
    "a longer prefix elsewhere": (
        FAR,
        {**BRIDGE, "routes": [{"to": "198.51.100.0/24", "via": "10.0.0.9"}]},
        "would change from 0.0.0.0/0 via 192.0.2.1 dev eth0 to 198.51.100.0/24 via 10.0.0.9",
    ),
    "a route to nowhere": (
        FAR,
        {"routes": [{"to": "198.51.100.0/24", "type": "blackhole"}]},
        "no route to 198.51.100.7",
    ),
    "its port is published": (NEAR, {**BRIDGE, "port_maps": ["22:10.0.0.2:22"]}, "to port 22 elsewhere"),
    "its port is published on our address": (
        NEAR,
        {**BRIDGE, "port_maps": ["192.0.2.10:22:10.0.0.2:22"]},
        "to port 22 elsewhere",
    ),
    "by IPv6": ("2001:db8::9", MAC, "behind eth0"),
    "a link-local peer": ("fe80::9%eth0", MAC, "behind eth0"),
    "an IPv4 peer in IPv6 clothes": (f"::ffff:{NEAR}", MAC, "behind eth0"),
}


@pytest.fixture
def reached(pretended: Pretended) -> Pretended:
    """A host with eth0, and somebody who has come in by it."""
    pretended.sh(*SETUP)
    pretended.session = Session(NEAR, OURS, 22)
    return pretended


@pytest.mark.parametrize(("peer", "topology", "reason"), CUTS.values(), ids=list(CUTS))
def test_cut_is_refused(
    peer: str, topology: dict[str, Any], reason: str, reached: Pretended, netrecon: Netrecon
) -> None:
    reached.session = Session(peer, OURS, 22)
    before = reached.picture()
    said = netrecon("apply", topology, code=1)
    assert reason in said
    assert "give --confirm-within, so that the host goes back by itself, or --force" in said
    assert (reached.picture(), reached.sent) == (before, [])
    netrecon("apply", "-q", "--force", topology)


@pytest.mark.parametrize(
    ("peer", "topology"),
    {
        "a port that is not the session's": (NEAR, {**BRIDGE, "port_maps": ["8022:10.0.0.2:22"]}),
        "its port, for another protocol": (NEAR, {**BRIDGE, "port_maps": ["22:10.0.0.2:22/udp"]}),
        "its port, on another address": (NEAR, {**BRIDGE, "port_maps": ["127.0.0.1:22:10.0.0.2:22"]}),
        "the host itself": (OURS, MAC),
        "from 127.0.0.1": ("127.0.0.1", MAC),
        "a peer that is no address": ("UNKNOWN", MAC),
        "an mtu, which cuts nobody off": (NEAR, {"interfaces": {"eth0": {"mtu": 1400}}}),
        "a route to others": (FAR, {"routes": [{"to": "203.0.113.0/24", "type": "blackhole"}]}),
        "a link beside": (FAR, {"interfaces": {"far0": {"up": True}}}),
    }.values(),
)
def test_what_does_not_concern_the_session_goes_through(
    peer: str, topology: dict[str, Any], reached: Pretended, netrecon: Netrecon
) -> None:
    # a second default route, so that the host keeps one whatever becomes of eth0
    reached.sh("ip link add up0 type bridge; ip addr add 203.0.114.2/24 dev up0; ip link set up0 up")
    reached.sh("ip route add default via 203.0.114.1 metric 9")
    reached.session = Session(peer, OURS, 22)
    netrecon("apply", "-q", topology)


def test_the_link_goes_down(reached: Pretended, netrecon: Netrecon) -> None:
    reached.sh("ip route del default", "ip -6 addr del 2001:db8::10/64 dev eth0")  # which would be refused by name
    topology = {"interfaces": {"eth0": {"up": False}}}
    assert "would cut 192.0.2.9 off, which is behind eth0" in netrecon("apply", topology, code=1)
    reached.session = Session(OURS, OURS, 22)
    netrecon("apply", "-q", topology)


def test_protected_address_counts_like_a_session(reached: Pretended, netrecon: Netrecon) -> None:
    reached.session = None
    assert "no route to 198.51.100.7" in netrecon("apply", "--protect", FAR, NOWHERE, code=1)
    netrecon("apply", "-q", "--protect", "203.0.113.1", NOWHERE)
    netrecon("apply", "--protect", "nonsense", NOWHERE, code=1)


def test_address_of_the_session_goes(reached: Pretended, netrecon: Netrecon) -> None:
    netrecon("apply", "-q", {"interfaces": {"eth0": {"addresses": ["192.0.2.20/24"]}}})
    reached.session = Session(NEAR, "192.0.2.20", 22)
    said = netrecon("delete", "--name", "case", code=1)
    assert "the address 192.0.2.20 would go, over which 192.0.2.9 is connected" in said
    said = netrecon("apply", {"interfaces": {"eth0": {}}}, code=1)
    assert "interfaces.eth0: the address 192.0.2.20 would go" in said  # the entry that has it no longer


@pytest.mark.parametrize(("via", "family"), [("192.0.2.1", 4), ("2001:db8::1", 6)])
def test_only_default_route_goes(via: str, family: int, reached: Pretended, netrecon: Netrecon) -> None:
    reached.session = None
    reached.sh("ip route del default")
    netrecon("apply", "-q", {"routes": [{"to": "default", "via": via}]})
    said = netrecon("delete", "--name", "case", code=1)
    assert f"the host's only IPv{family} default route (" in said
    reached.sh(f"ip -{family} route add default via {via[:-1]}2 metric 500")
    netrecon("delete", "-q", "--name", "case")


def test_port_of_a_bridge_behind_which_the_session_is(reached: Pretended, netrecon: Netrecon) -> None:
    topology = {
        "bridges": {"br0": {"addresses": ["10.3.0.1/24"]}},
        "veths": {
            "v0": {"master": "br0", "peer": {"namespace": "admin", "name": "eth0", "addresses": ["10.3.0.2/24"]}},
            "v1": {"master": "br0", "peer": {"namespace": "other", "name": "eth0", "addresses": ["10.3.0.3/24"]}},
        },
        "namespaces": {"admin": {}, "other": {}},
    }
    reached.session = None
    netrecon("apply", "-q", topology)
    reached.session, reached.port = Session("10.3.0.2", "10.3.0.1", 22), "v0"
    netrecon("apply", "-q", {**topology, "veths": {"v0": topology["veths"]["v0"]}})
    assert "behind v0" in netrecon("apply", {**topology, "veths": {}}, code=1)


def test_session_that_cannot_be_understood_is_nobodys() -> None:
    assert lockout.of_session("UNKNOWN", "10.0.0.1", 22) is None
    found = lockout.of_session("::ffff:10.0.0.9", "::ffff:10.0.0.1", 22)
    assert found == lockout.Protected("10.0.0.9", "10.0.0.1", 22)
