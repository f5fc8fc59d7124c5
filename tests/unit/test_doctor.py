"""What keeps packets from where a topology sends them: each obstacle in a line, with what to do."""

from __future__ import annotations

from typing import Any

import pytest
from command import Netrecon
from pretended.seam import Pretended

from reconciler.model.rows import Barrier, Listener

TOPOLOGY: dict[str, Any] = {
    "bridges": {"br0": {"addresses": ["172.16.0.1/24", "fd00:16::1/64"]}},
    "port_maps": ["9091:172.16.0.2:80", "127.0.0.1:9092:172.16.0.2:80/udp", "[::]:9093:[fd00:16::2]:80"],
    "masquerades": [{"source": "172.16.0.0/24"}],
}
FORWARDING = {"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1}
RULE = "(with netrecon in its comment this is not said again): "


@pytest.fixture
def forwarding(pretended: Pretended) -> Pretended:
    for key in FORWARDING:
        pretended.host.write("host", key, "1")
    return pretended


def findings(netrecon: Netrecon, topology: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = netrecon.json("doctor", topology, code=None)["findings"]
    netrecon("doctor", topology, code=2 if found else 0)
    return found


def test_nothing_is_in_the_way(forwarding: Pretended, netrecon: Netrecon) -> None:
    assert findings(netrecon, TOPOLOGY) == []
    assert netrecon("doctor", "-q", TOPOLOGY) == ""


def test_forwarding_that_is_off(netrecon: Netrecon) -> None:
    four, six = findings(netrecon, TOPOLOGY)
    assert (four["topic"], four["scope"]) == ("forwarding", "host")
    assert four["message"].startswith("net.ipv4.ip_forward is 0: this scope passes no IPv4 packet on")
    assert four["hint"] == "declare it: sysctls: {net.ipv4.ip_forward: 1}"
    assert six["message"].startswith("net.ipv6.conf.all.forwarding is 0: this scope passes no IPv6 packet on")


def test_forwarding_that_is_declared_is_for_doctor_alone(netrecon: Netrecon) -> None:
    declared = {**TOPOLOGY, "sysctls": FORWARDING}
    assert [one["hint"] for one in findings(netrecon, declared)] == ["it is declared, so apply sets it"] * 2
    assert netrecon.json("plan", declared, code=2)["warnings"] == []
    off = {**TOPOLOGY, "sysctls": dict.fromkeys(FORWARDING, 0)}
    assert len(netrecon.json("plan", off, code=2)["warnings"]) == 2


@pytest.mark.parametrize(
    ("barrier", "rules"),
    [
        (
            Barrier("inet", "filter", "forward", "forward"),
            (
                "nft insert rule inet filter forward ct status dnat accept comment netrecon"
                " and nft insert rule inet filter forward ip saddr { 172.16.0.0/24 } accept comment netrecon"
                " and nft insert rule inet filter forward ct state established,related accept comment netrecon"
            ),
        ),
        (
            Barrier("ip6", "filter", "FORWARD", "forward"),
            "nft insert rule ip6 filter FORWARD ct status dnat accept comment netrecon",
        ),
        (
            Barrier("ip", "filter", "FORWARD", "forward", legacy=True),
            (
                "iptables-legacy -I FORWARD -m conntrack --ctstate DNAT -m comment --comment netrecon -j ACCEPT"
                " and iptables-legacy -I FORWARD -s 172.16.0.0/24 -m comment --comment netrecon -j ACCEPT"
                " and iptables-legacy -I FORWARD -m conntrack --ctstate ESTABLISHED,RELATED"
                " -m comment --comment netrecon -j ACCEPT"
            ),
        ),
        (
            Barrier("ip6", "filter", "FORWARD", "forward", legacy=True),
            "ip6tables-legacy -I FORWARD -m conntrack --ctstate DNAT -m comment --comment netrecon -j ACCEPT",
        ),
    ],
)
def test_a_chain_of_somebody_elses(barrier: Barrier, rules: str, forwarding: Pretended, netrecon: Netrecon) -> None:
    forwarding.barriers = [barrier]
    (found,) = findings(netrecon, TOPOLOGY)
    assert found["topic"] == "barrier"
    assert f"chain {barrier.chain} of table {barrier.family} filter (hook forward, policy drop)" in found["message"]
    assert found["hint"] == f"if it is in the way, add a rule to it {RULE}{rules}"


def test_a_chain_of_a_family_that_is_not_sent(forwarding: Pretended, netrecon: Netrecon) -> None:
    forwarding.barriers = [Barrier("ip6", "filter", "FORWARD", "forward")]
    assert findings(netrecon, {**TOPOLOGY, "port_maps": ["9091:172.16.0.2:80"]}) == []


LISTENERS = {
    "everywhere": (Listener("tcp", "0.0.0.0", 9091, False, 7, "web"), "web (pid 7) listens on 0.0.0.0:9091"),
    "everywhere of both families": (Listener("tcp", "::", 9091, False, 0, ""), "a process listens on [::]:9091"),
    "on one address": (Listener("tcp", "10.0.0.1", 9091, False, 7, "web"), "web (pid 7) listens on 10.0.0.1:9091"),
    "on the very address": (Listener("udp", "127.0.0.1", 9092, False, 7, "x"), "listens on 127.0.0.1:9092"),
    "IPv6, on one address": (Listener("tcp", "fd00::9", 9093, True, 7, "x"), "listens on [fd00::9]:9093"),
    "IPv6 alone does not see IPv4": (Listener("tcp", "::", 9091, True, 7, "x"), ""),
    "another address": (Listener("udp", "10.0.0.1", 9092, False, 7, "x"), ""),
    "another protocol": (Listener("udp", "0.0.0.0", 9091, False, 7, "x"), ""),
    "another port": (Listener("tcp", "0.0.0.0", 9999, False, 7, "x"), ""),
    "::1, to which nothing is translated": (Listener("tcp", "::1", 9093, True, 7, "x"), ""),
    "IPv4, on a port of IPv6": (Listener("tcp", "0.0.0.0", 9093, False, 7, "x"), ""),
}


@pytest.mark.parametrize(("listener", "text"), LISTENERS.values(), ids=list(LISTENERS))
def test_a_process_on_a_published_port(
    listener: Listener, text: str, forwarding: Pretended, netrecon: Netrecon
) -> None:
    forwarding.listeners = [listener]
    found = findings(netrecon, TOPOLOGY)
    assert [text in one["message"] for one in found] == [True] * bool(text)
    assert all(one["hint"] == "stop it, or publish another port" for one in found)
    if listener.port == 9093 and text:
        assert "goes to [fd00:16::2]:80" in found[0]["message"]


def test_a_ring_of_bridges(netrecon: Netrecon) -> None:
    ring = {
        "bridges": {"a": {}, "b": {}},
        "veths": {
            "v0": {"master": "a", "peer": {"name": "w0", "master": "b"}},
            "v1": {"master": "a", "peer": {"name": "w1", "master": "b"}},
        },
    }
    (found,) = findings(netrecon, ring)
    assert (found["topic"], found["key"]) == ("loop", "veth/host/v1")
    assert "it closes a ring of bridges (a in host, b in host) and none of them runs STP" in found["message"]
    assert findings(netrecon, {**ring, "bridges": {"a": {"stp": True}, "b": {}}}) == []


def test_without_a_file_all_that_the_kernel_holds(pretended: Pretended, netrecon: Netrecon) -> None:
    netrecon("apply", "-q", TOPOLOGY)
    found = netrecon.json("doctor", code=2)
    assert found["topologies"] == ["case"]
    assert [one["topic"] for one in found["findings"]] == ["forwarding", "forwarding"]
    assert "net.ipv4.ip_forward is 0" in netrecon("doctor", code=2)


def test_a_namespace_that_publishes(pretended: Pretended, netrecon: Netrecon) -> None:
    inside = {"namespaces": {"test": {**TOPOLOGY}}}
    assert findings(netrecon, inside) == []  # there is nobody to ask yet
    netrecon("apply", "-q", inside)
    assert {one["scope"] for one in findings(netrecon, inside)} == {"test"}


def test_a_name_server_that_is_never_asked(forwarding: Pretended, netrecon: Netrecon) -> None:
    """Others put their servers above the block after it was written."""
    topology = {"dns": {"nameservers": ["192.0.2.53"], "search": ["lab.example"]}}
    (forwarding.etc / "resolv.conf").write_text("".join(f"nameserver 192.0.2.{n}\n" for n in (7, 8, 9)))
    assert [finding["topic"] for finding in findings(netrecon, topology)] == ["resolver"]
    (forwarding.etc / "resolv.conf").write_text("")
    netrecon("apply", "-q", topology)
    file = forwarding.etc / "resolv.conf"
    file.write_text("".join(f"nameserver 192.0.2.{n}\n" for n in (1, 2)) + file.read_text())
    assert findings(netrecon, topology) == []
    file.write_text("nameserver 192.0.2.3\n" + file.read_text())
    (finding,) = findings(netrecon, topology)
    assert (finding["topic"], finding["key"]) == ("resolver", "dns_file/host/resolv.conf")
    never = "the resolver asks the first 3 name servers of the file only, and never 192.0.2.53"
    assert finding["message"] == never
    assert finding["hint"] == "take 1 of those that stand above (192.0.2.3, 192.0.2.1, 192.0.2.2) out of it"
    assert never in [warning["message"] for warning in netrecon.json("plan", topology)["warnings"]]
