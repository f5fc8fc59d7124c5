"""What keeps packets from where a topology sends them: each obstacle in a line, with what to do."""

from __future__ import annotations

from typing import Any

import pytest
from command import Netrecon
from pretended.seam import Pretended

from reconciler.model.firewall import Chain, Do, Doubt, Rule, Verdict
from reconciler.model.rows import Listener

TOPOLOGY: dict[str, Any] = {
    "bridges": {"br0": {"addresses": ["172.16.0.1/24", "fd00:16::1/64"]}},
    "port_maps": ["9091:172.16.0.2:80", "127.0.0.1:9092:172.16.0.2:80/udp", "[::]:9093:[fd00:16::2]:80"],
    "masquerades": [{"source": "172.16.0.0/24"}],
}
FORWARDING = {"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1}


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
    assert four["commands"] == ["sysctl -w net.ipv4.ip_forward=1"]
    assert six["message"].startswith("net.ipv6.conf.all.forwarding is 0: this scope passes no IPv6 packet on")


def test_forwarding_that_is_declared_is_for_doctor_alone(netrecon: Netrecon) -> None:
    declared = {**TOPOLOGY, "sysctls": FORWARDING}
    assert [one["hint"] for one in findings(netrecon, declared)] == ["it is declared, so apply sets it"] * 2
    assert netrecon.json("plan", declared, code=2)["warnings"] == []
    off = {**TOPOLOGY, "sysctls": dict.fromkeys(FORWARDING, 0)}
    assert len(netrecon.json("plan", off, code=2)["warnings"]) == 2


DROPS = Rule((Do("verdict", Verdict("drop")),), 4)
OUT, IN, BACK = "ip saddr 172.16.0.0/24 accept", "ct status dnat accept", "ct state established,related accept"
CHAINS = {
    "nftables, policy drop": (
        Chain("nft", "inet", "filter", "forward", (), "forward", policy="drop"),
        "chain forward of table inet filter (hook forward, policy drop)",
        {
            f"nft insert rule inet filter forward iifname '\"br0\"' {OUT}",
            f"nft insert rule inet filter forward {BACK}",
            f"nft insert rule inet filter forward oifname '\"br0\"' {IN}",
        },
    ),
    "a final drop": (
        Chain("nft", "ip6", "fw", "c", (DROPS,), "forward", priority=10),
        "chain c of table ip6 fw (hook forward, priority 10): the rule (handle 4) `drop` drops",
        {
            f"nft insert rule ip6 fw c oifname '\"br0\"' {IN}",
            f"nft insert rule ip6 fw c iifname '\"br0\"' {BACK}",
        },
    ),
    "iptables-nft": (
        Chain("iptables", "ip", "filter", "FORWARD", (), "forward", policy="drop"),
        "chain FORWARD of table ip filter (hook forward, policy drop)",
        {
            "iptables -I FORWARD -i br0 -s 172.16.0.0/24 -j ACCEPT",
            "iptables -I FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
            "iptables -I FORWARD -o br0 -m conntrack --ctstate DNAT -j ACCEPT",
        },
    ),
    "ip6tables-legacy": (
        Chain("iptables-legacy", "ip6", "filter", "FORWARD", (), "forward", policy="drop"),
        "ip6tables-legacy's chain FORWARD of table ip6 filter (hook forward, policy drop)",
        {
            "ip6tables-legacy -I FORWARD -o br0 -m conntrack --ctstate DNAT -j ACCEPT",
            "ip6tables-legacy -I FORWARD -i br0 -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
        },
    ),
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_of_somebody_elses(name: str, forwarding: Pretended, netrecon: Netrecon) -> None:
    chain, text, commands = CHAINS[name]
    forwarding.chains = [chain]
    found = findings(netrecon, TOPOLOGY)
    assert {one["topic"] for one in found} == {"barrier"}
    assert all(text in one["message"] for one in found)
    assert {command for one in found for command in one["commands"]} == commands
    assert all(command in netrecon("doctor", TOPOLOGY, code=2) for command in commands)


def test_docker_keeps_a_place_for_rules_of_others(forwarding: Pretended, netrecon: Netrecon) -> None:
    jump = Rule((Do("verdict", Verdict("jump", "DOCKER-USER")),), 1)
    user = Chain("iptables", "ip", "filter", "DOCKER-USER")
    forwarding.chains = [Chain("iptables", "ip", "filter", "FORWARD", (jump,), "forward", policy="drop"), user]
    found = findings(netrecon, TOPOLOGY)
    assert all(line.startswith("iptables -I DOCKER-USER ") for one in found for line in one["commands"])
    forwarding.chains[0] = forwarding.chains[0]._replace(rules=(DROPS, jump))  # the jump comes too late
    found = findings(netrecon, TOPOLOGY)
    assert all(line.startswith("iptables -I FORWARD ") for one in found for line in one["commands"])


def test_what_nobody_but_a_person_can_decide(forwarding: Pretended, netrecon: Netrecon) -> None:
    forwarding.chains = [Chain("nft", "inet", "firewalld", "filter_FORWARD", (DROPS,), "forward", priority=10)]
    found = findings(netrecon, TOPOLOGY)
    assert all(one["commands"] == [] for one in found)
    assert "firewall-cmd --permanent --zone=trusted --add-interface=br0" in found[0]["hint"]
    forwarding.chains = [Chain("nft", "inet", "x", "c", (DROPS,), "forward", locked=True)]
    assert [one["commands"] for one in findings(netrecon, TOPOLOGY)] == [[]] * 2


def test_a_rule_that_cannot_be_judged_is_named(forwarding: Pretended, netrecon: Netrecon) -> None:
    accept, doubt = Rule((Do("verdict", Verdict("accept")),), 1), Doubt("-m recent")
    forwarding.chains = [Chain("nft", "ip", "fw", "c", (Rule((doubt, *DROPS.steps), 2), accept), "forward")]
    found = findings(netrecon, TOPOLOGY)
    assert {one["topic"] for one in found} == {"unjudged"}
    assert (
        "chain c of table ip fw (hook forward, priority 0): the rule (handle 2) `<-m recent> drop`"
        in found[0]["message"]
    )
    forwarding.chains = [Chain("nft", "ip", "fw", "c", (accept, Rule((doubt, *DROPS.steps), 2)), "forward")]
    assert findings(netrecon, TOPOLOGY) == []  # it comes after the end
    forwarding.chains = [Chain("nft", "ip", "fw", "c", (Rule((doubt, *accept.steps), 2), accept), "forward")]
    assert findings(netrecon, TOPOLOGY) == []  # it makes no difference


def test_a_chain_of_a_family_that_is_not_sent(forwarding: Pretended, netrecon: Netrecon) -> None:
    forwarding.chains = [Chain("nft", "ip6", "filter", "FORWARD", (), "forward", policy="drop")]
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


PORT = "port_map/host/tcp/0.0.0.0:9091"
TO_A_CONTAINER = Do("dnat", words="dnat to 172.17.0.2:80")
TAKING = Chain("nft", "ip", "nat", "c", (Rule((TO_A_CONTAINER,), 7),), "prerouting", "nat", -100, newer=True)


@pytest.mark.parametrize(
    ("chain", "says"),
    [
        (TAKING, "is asked before netrecon, and takes TCP to port 9091"),
        (TAKING._replace(newer=None), "is asked before or after netrecon (of two chains of one priority, the newest"),
        (TAKING._replace(priority=-101, newer=False), "is asked before netrecon, and takes TCP to port 9091"),
        (TAKING._replace(newer=False), ""),
        (TAKING._replace(priority=-99), ""),
    ],
)
def test_a_port_that_others_publish_too(chain: Chain, says: str, forwarding: Pretended, netrecon: Netrecon) -> None:
    topology = {**TOPOLOGY, "port_maps": ["9091:172.16.0.2:80"]}
    netrecon("apply", "-q", topology)
    forwarding.chains = [chain]
    found = findings(netrecon, topology)
    assert [(one["topic"], one["key"]) for one in found] == ([("taken", PORT)] if says else [])
    assert all(says in one["message"] and one["commands"] for one in found)
    shut = "netrecon: the published port tcp/0.0.0.0:9091 does not work from outside; netrecon doctor says"
    assert (shut in netrecon("apply", "-q", topology)) == says.startswith("is asked before netrecon")

    forwarding.listeners = [Listener("tcp", "0.0.0.0", 9091, False, 4711, "docker-proxy")]
    listener, *taken = sorted(findings(netrecon, topology), key=lambda one: str(one["topic"]))
    assert listener["topic"] == "listener"
    goes = "172.16.0.2:80" if not says or chain.newer is None else "where the rule of others sends it"
    assert f"goes to {goes}" in listener["message"]
    assert [(one["topic"], one["commands"]) for one in taken] == ([("taken", [])] if says else [])


@pytest.mark.parametrize("number", [1, 2, 4, 5])
def test_apply_says_in_one_line_that_ports_do_not_work(number: int, pretended: Pretended, netrecon: Netrecon) -> None:
    pretended.chains = [Chain("nft", "inet", "fw", "c", (), "forward", policy="drop")]
    topology = {**TOPOLOGY, "port_maps": [f"{port}:172.16.0.2:80" for port in range(81, 81 + number)]}
    topology["sysctls"] = FORWARDING
    said = netrecon("apply", "-q", topology)
    names = ", ".join(f"tcp/0.0.0.0:{port}" for port in range(81, 81 + min(number, 4))) + " and 1 more" * (number == 5)
    start = f"the {number} published ports {names} do" if number > 1 else f"the published port {names} does"
    assert said == f"netrecon: {start} not work from outside; netrecon doctor says why and what to do\n"
    assert "not work from outside" not in netrecon("apply", topology)
    assert "not work from outside" not in netrecon("delete", "-q", topology)
