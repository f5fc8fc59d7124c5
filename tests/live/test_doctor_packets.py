"""The advice of doctor is tried to the letter: packets that somebody's rule stopped pass after its commands."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from command import Netrecon
from throwaway import inside, sh

pytestmark = pytest.mark.live

TOPOLOGY: dict[str, Any] = {
    "sysctls": {"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1},
    "networks": {"n": {"bridge": "br0", "subnets": ["10.61.0.0/24", "fd00:61::/64"]}},
    "sandboxes": {"a": {"endpoints": {"n": {}}, "publish": ["8080:80"]}, "b": {"endpoints": {"n": {}}}},
}
UPLINK = """
ip netns add {name} && ip link add {link} type veth peer name e0 netns {name}
ip link set {link} up && ip -n {name} link set lo up && ip -n {name} link set e0 up
ip addr add {four}.1/24 dev {link} && ip addr add {six}::1/64 dev {link} nodad
ip -n {name} addr add {four}.9/24 dev e0 && ip -n {name} addr add {six}::9/64 dev e0 nodad
ip -n {name} route add default via {four}.1 && ip -n {name} route add default via {six}::1
"""
BEYOND = "198.18.7.7"
# from, to, port
PORT = {"lan": ("192.0.2.1", 8080), "host": ("192.0.2.1", 8080), "b": ("192.0.2.1", 8080)}
WAY = {"a": ("192.0.2.9", 443)}


class Lab:
    """A host with a LAN and a router beyond it, on which the topology publishes a port of a sandbox."""

    def __init__(self, netrecon: Netrecon, folder: pathlib.Path, stack: contextlib.ExitStack) -> None:
        self.netrecon = netrecon
        self._folder = folder
        sh("sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.dad_transmits=0")
        sh(UPLINK.format(name="lan", link="up0", four="192.0.2", six="2001:db8:5"))
        sh(f"ip -n lan addr add {BEYOND}/32 dev lo; ip route add default via 192.0.2.9")
        netrecon("apply", "-q", TOPOLOGY)
        for scope, port in (("a", 80), ("lan", 443)):
            stack.enter_context(contextlib.closing(inside(scope, _serve, port)))

    def passes(self, scope: str, address: str, port: int) -> bool:
        return inside(scope, _connects, address, port)

    def findings(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.netrecon.json("doctor", TOPOLOGY, code=None)["findings"]
        self.netrecon("doctor", TOPOLOGY, code=2 if found else 0)
        return found


def _serve(port: int) -> socket.socket:
    server = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    threading.Thread(target=_answer, args=(server,), daemon=True).start()
    return server


def _answer(server: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            server.accept()[0].close()


def _connects(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), 1.5) as client:
            return client.recv(1) == b""
    except OSError:
        return False


@pytest.fixture
def lab(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Lab]:
    with contextlib.ExitStack() as stack:
        yield Lab(Netrecon(tmp_path, capsys), tmp_path, stack)


def ruleset() -> str:
    """All rules, byte for byte, and which tables of the old iptables exist."""
    names = (pathlib.Path("/proc/thread-self/net") / name for name in ("ip_tables_names", "ip6_tables_names"))
    old = [name.read_text() for name in names if name.exists()]
    return "\n".join([sh("nft -a list ruleset 2>/dev/null"), *old])


def nft(text: str) -> str:
    return f"nft '{text}'"


def chain(rules: str, hook: str = "forward", priority: int = 10, more: str = "", family: str = "inet") -> str:
    base = f"type filter hook {hook} priority {priority}; {more}"
    return nft(f"table {family} fw {{ chain c {{ {base} {rules} }}; }}")


# (what somebody set up, what a message must name); the packets of PORT and WAY are tried
STOPPED = {
    "final_drop": (chain("ct state established accept; drop;"), "chain c of table inet fw (hook forward, priority 10)"),
    "final_reject_before_ours": (chain("reject with icmpx admin-prohibited;", priority=-20), "`reject`"),
    "policy_drop": (chain("", more="policy drop;"), "policy drop"),
    "iptables_reject": ("iptables -A FORWARD -j REJECT", "chain FORWARD of table ip filter (hook forward, priority 0)"),
    "legacy_reject": ("iptables-legacy -A FORWARD -j REJECT", "iptables-legacy's chain FORWARD"),
    "legacy_multiport": (
        (
            "iptables-legacy -N X; iptables-legacy -A X -p tcp -m multiport --dports 80,443 -j DROP"
            "; iptables-legacy -A FORWARD -j X"
        ),
        "-m multiport --dports 80,443 -j DROP",
    ),
    "docker": (
        (
            "iptables -P FORWARD DROP; iptables -N DOCKER-USER; iptables -A DOCKER-USER -j RETURN"
            "; iptables -A FORWARD -j DOCKER-USER"
        ),
        "policy drop",
    ),
    "ufw": (
        (
            "iptables -P FORWARD DROP; iptables -P INPUT DROP; iptables -N ufw-before; iptables -N ufw-reject"
            "; iptables -A FORWARD -j ufw-before; iptables -A FORWARD -j ufw-reject"
            "; iptables -A ufw-before -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
            "; iptables -A ufw-before -p icmp --icmp-type 3 -j ACCEPT; iptables -A ufw-reject -j REJECT"
            "; iptables -A INPUT -i lo -j ACCEPT"
        ),
        "chain ufw-reject of table ip filter",
    ),
    "input": ("iptables -P INPUT DROP", "chain INPUT of table ip filter (hook input, policy drop)"),
    "output": ("iptables -P OUTPUT DROP", "chain OUTPUT of table ip filter (hook output, policy drop)"),
    "mangle": ("iptables -t mangle -A PREROUTING -p tcp --dport 8080 -j DROP", "-p tcp --dport 8080 -j DROP"),
    "postrouting": (chain("", "postrouting", 300, "policy drop;"), "hook postrouting, policy drop"),
    "notrack": ("iptables -t raw -A PREROUTING -p tcp -j NOTRACK", "table ip raw (hook prerouting, priority -300)"),
    "notrack_of_answers": (
        nft("table ip r { chain c { type filter hook prerouting priority -300; tcp sport 80 notrack; }; }"),
        "`tcp sport 80 notrack`",
    ),
    "dnat_before_ours": (
        nft("table ip n { chain c { type nat hook prerouting priority -110; tcp dport 8080 dnat to 192.0.2.9:1; }; }"),
        "`tcp dport 8080 dnat to 192.0.2.9:1`",
    ),
    "dnat_of_one_priority": (
        "iptables -t nat -A PREROUTING -p tcp --dport 8080 -j DNAT --to-destination 192.0.2.9:1",
        "-p tcp --dport 8080 -j DNAT --to-destination 192.0.2.9:1",
    ),
    "set": (
        (
            "nft 'table inet fw { set s { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 7.7.7.7 } };"
            " chain c { type filter hook forward priority 1; ip daddr @s tcp dport { 22, 79-90 } drop; }; }'"
        ),
        "`ip daddr @s tcp dport { 22, 79-90 } drop`",
    ),
    "concatenation": (
        (
            "nft 'table inet fw { set s { type ifname . ipv4_addr . inet_service; flags interval;"
            ' elements = { "up0" . 10.61.0.0/25 . 80-90 } };'
            " chain c { type filter hook forward priority 1; iifname . ip daddr . tcp dport @s drop; }; }'"
        ),
        "`iifname . ip daddr . tcp dport @s drop`",
    ),
    "verdict_map": (
        (
            "nft 'table inet fw { chain w { ct state established accept; drop; };"
            ' chain c { type filter hook forward priority 1; iifname vmap { "up0" : jump w, "x" : accept }; }; }\''
        ),
        "chain w of table inet fw",
    ),
    "name_of_link_with_wildcard": (chain('iifname "up*" oifname "br*" drop;'), '`iifname "up*" oifname "br*" drop`'),
    "goto": (
        (
            "nft 'table inet fw { chain w { tcp dport 80 return; drop; }; chain x { tcp dport 80 drop; };"
            " chain c { type filter hook forward priority 1; goto w; }; chain d { type filter hook forward priority 2;"
            " jump w; jump x; }; }'"
        ),
        "chain ",
    ),
    "mark": (
        (
            "iptables -t mangle -A PREROUTING -i up0 -j CONNMARK --set-mark 7"
            "; iptables -t mangle -A PREROUTING -j CONNMARK --restore-mark"
            "; iptables -A FORWARD -m mark --mark 7 -j DROP"
        ),
        "-m mark --mark 7 -j DROP",
    ),
    "ingress": (
        "nft 'table netdev fw { chain c { type filter hook ingress device up0 priority 0; tcp dport 8080 drop; }; }'",
        "chain c of table netdev fw (hook ingress",
    ),
    "egress": (
        "nft 'table netdev fw { chain c { type filter hook egress device up0 priority 0; tcp sport 8080 drop; }; }'",
        "chain c of table netdev fw (hook egress",
    ),
    "priority_of_masquerades": (
        chain("", "postrouting", 100, "policy drop;"),
        "chain c of table inet fw (hook postrouting, policy drop)",
    ),
    "stopped_before_docker": (
        (
            "iptables -P FORWARD DROP; iptables -N LIBVIRT_FWI; iptables -A FORWARD -j LIBVIRT_FWI"
            "; iptables -A LIBVIRT_FWI -o br0 -j REJECT; iptables -N DOCKER-USER; iptables -A FORWARD -j DOCKER-USER"
        ),
        "chain LIBVIRT_FWI of table ip filter: the rule `-o br0 -j REJECT`",
    ),
    "administrators_chain": (
        "nft add rule inet netrecon-case admin ip saddr 192.0.2.0/24 drop",
        "chain admin of table",
    ),
}


@pytest.mark.parametrize("name", STOPPED)
def test_packets_pass_after_the_commands(lab: Lab, name: str) -> None:
    command, text = STOPPED[name]
    _need(command)
    packets = [(scope, *to) for scope, to in [*PORT.items(), *WAY.items()]]
    assert all(lab.passes(*packet) for packet in packets)
    assert lab.findings() == []
    sh(command)
    assert not all(lab.passes(*packet) for packet in packets)
    before = ruleset()
    found = lab.findings()
    assert _without_counters(ruleset()) == _without_counters(before)
    assert any(text in one["message"] for one in found), found
    for line in (line for one in found for line in one["commands"]):
        subprocess.run(["sh", "-ec", line], check=True, capture_output=True)
    assert lab.findings() == []
    assert [packet for packet in packets if not lab.passes(*packet)] == []
    sh("iptables -S; ip6tables -S; iptables -t nat -S; iptables-legacy -S >/dev/null")
    if name == "docker":
        assert all(line.startswith("iptables -I DOCKER-USER ") for one in found for line in one["commands"])


def _without_counters(text: str) -> list[str]:
    """Packets that pass meanwhile are counted."""
    return [" ".join(word for word in line.split() if not word.isdecimal()) for line in text.splitlines()]


def _need(command: str) -> None:
    for tool in ("iptables-legacy", "iptables", "nft"):
        if tool in command and not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")


# rules that stop none of the packets that are followed
HARMLESS = {
    "others": chain(
        'ip saddr 10.62.0.0/24 drop; tcp dport 81 drop; iifname "wlan*" drop; ip saddr 192.0.2.200 drop;'
        " meta mark 5 drop; udp dport 99 drop; ip6 saddr fd00:62::/64 drop; ct state invalid drop;"
    ),
    "accepted_before": chain(
        "ct status dnat accept; ct state established,related accept; ip saddr 10.61.0.0/24 accept;"
        " ip6 saddr fd00:61::/64 accept; drop;"
    ),
    "strange_tcp": "iptables -A FORWARD -p tcp --tcp-flags ALL NONE -j DROP"
    "; iptables -A FORWARD -p tcp ! --syn -m conntrack --ctstate NEW -j DROP"
    "; iptables -A FORWARD -p tcp --syn -m hashlimit --hashlimit-name a --hashlimit-above 900/sec"
    " --hashlimit-mode srcip -j DROP",
    "hosts_own_ports": "iptables -P INPUT DROP; iptables -A INPUT -i lo -j ACCEPT"
    "; iptables -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
    "regular_chain_that_nobody_calls": nft("table inet fw { chain c { drop; }; }"),
    "reverse_path_by_rules": "nft 'table inet fw { chain c { type filter hook prerouting priority -140;"
    " fib saddr . iif oif missing drop; }; }'",
    "dormant": "nft 'table inet fw { flags dormant; chain c { type filter hook forward priority 1; drop; }; }'",
    "bridge_between_its_ports": chain(
        "", "forward", 0, "policy accept; ether type ip ip daddr 10.9.9.9 drop;", "bridge"
    ),
    "banned_are_others": "nft 'table inet fw { set s { type ipv4_addr; flags dynamic; size 9; timeout 1m; };"
    " chain c { type filter hook forward priority 1; tcp dport 23 add @s { ip saddr }; ip saddr @s drop; }; }'",
}


@pytest.mark.parametrize("name", HARMLESS)
def test_no_false_alarm(lab: Lab, name: str) -> None:
    _need(HARMLESS[name])
    sh(HARMLESS[name])
    assert lab.findings() == []
    assert all(lab.passes(scope, *to) for scope, to in [*PORT.items(), *WAY.items()])


def test_ipv6(lab: Lab) -> None:
    assert lab.passes("lan", "2001:db8:5::1", 8080)
    sh("ip6tables -A FORWARD -p tcp -m tcp --dport 80 -s 2001:db8:5::/48 -j DROP")
    assert not lab.passes("lan", "2001:db8:5::1", 8080)
    (found,) = lab.findings()
    assert "`-p tcp -s 2001:db8:5::/48 --dport 80 -j DROP`" in found["message"]
    assert found["commands"] == ["ip6tables -I FORWARD -o br0 -m conntrack --ctstate DNAT -j ACCEPT"]
    sh(found["commands"][0])
    assert lab.findings() == []
    assert lab.passes("lan", "2001:db8:5::1", 8080)


def test_a_translation_of_one_ip_version(lab: Lab) -> None:
    sh(
        "nft 'table inet n { chain c { type nat hook prerouting priority -110;"
        " tcp dport 8080 dnat ip to 192.0.2.9:1; }; }'"
    )
    assert lab.passes("lan", "2001:db8:5::1", 8080)
    assert not lab.passes("lan", "192.0.2.1", 8080)
    (found,) = lab.findings()
    assert found["topic"] == "taken"
    assert "from 192.0.2.0/24" in found["message"]
    assert "2001:db8" not in found["message"]


def test_neighbour_discovery(lab: Lab) -> None:
    sh("ip6tables -P INPUT DROP; ip6tables -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT")
    flush = "ip -6 neigh flush all; ip -n a -6 neigh flush all; ip -n lan -6 neigh flush all"
    sh(flush)
    assert not lab.passes("lan", "2001:db8:5::1", 8080)
    (found,) = lab.findings()
    assert "neighbour discovery, ICMPv6 type 135" in found["message"]
    assert "ip6tables -I INPUT -i br0 -p ipv6-icmp -m icmp6 --icmpv6-type 136 -j ACCEPT" in found["commands"]
    for line in found["commands"]:
        sh(line)
    assert lab.findings() == []
    sh(flush)
    assert lab.passes("lan", "2001:db8:5::1", 8080)


@pytest.mark.parametrize("publish", [{}, {"publish": ["8080:80"]}])
def test_the_way_out_without_masquerade(lab: Lab, publish: dict[str, Any]) -> None:
    plain = {"n": {"bridge": "br0", "subnets": ["10.61.0.0/24"], "masquerade": False}}
    inside_only = {"i": {"bridge": "br1", "subnets": ["10.62.0.0/24"], "internal": True}}
    boxes = {"a": {"endpoints": {"n": {}}, **publish}, "b": {"endpoints": {"i": {}}}}
    data = {**TOPOLOGY, "networks": {**plain, **inside_only}, "sandboxes": boxes}
    sh("ip -n lan route add 10.61.0.0/24 via 192.0.2.1")
    lab.netrecon("apply", "-q", data)
    assert lab.passes("a", "192.0.2.9", 443)
    assert lab.netrecon.json("doctor")["findings"] == []
    sh("iptables -P FORWARD DROP")
    assert not lab.passes("a", "192.0.2.9", 443)
    found = lab.netrecon.json("doctor", code=2)["findings"]
    assert any("from 10.61.0.0/24 to beyond the default route by up0" in one["message"] for one in found), found
    assert not any("from 10.62.0.0/24 to" in one["message"] for one in found)
    for line in (line for one in found for line in one["commands"]):
        sh(line)
    assert lab.netrecon.json("doctor")["findings"] == []
    assert lab.passes("a", "192.0.2.9", 443)


def test_beyond_the_default_route(lab: Lab) -> None:
    sh(chain('iifname "up0" ip saddr != 192.0.2.0/24 ip daddr 10.61.0.0/24 ct state new drop;'))
    found = lab.findings()
    assert [one["topic"] for one in found] == ["barrier"]
    assert "beyond the default route by up0" in found[0]["message"]


def test_firewalld_is_left_to_a_person(lab: Lab) -> None:
    sh(
        "nft 'table inet firewalld { chain filter_FORWARD { type filter hook forward priority 10;"
        " ct state { established, related } accept; ct status dnat accept; jump zones;"
        " reject with icmpx admin-prohibited; };"
        ' chain zones { iifname "up0" log; }; }\''
    )
    found = lab.findings()
    assert {one["topic"] for one in found} == {"barrier"}
    assert all(one["commands"] == [] for one in found)
    assert all("--add-interface=br0" in one["hint"] for one in found)


WITHIN = {  # a rule, and whether it stops two members of the network
    "forward": (chain("ether type arp accept; drop;", "forward", 0, "", "bridge"), True),
    "input": (chain("ether type arp accept; ip6 nexthdr icmpv6 accept; drop;", "input", 0, "", "bridge"), False),
    "output": (chain("ether type arp accept; ip6 nexthdr icmpv6 accept; drop;", "output", 0, "", "bridge"), False),
}


@pytest.mark.parametrize("name", WITHIN)
@pytest.mark.parametrize("seen", [0, 1])
def test_rules_of_bridges_are_left_to_a_person(lab: Lab, name: str, seen: int) -> None:
    command, stops = WITHIN[name]
    sh(f"sysctl -qew net.bridge.bridge-nf-call-iptables={seen} net.bridge.bridge-nf-call-ip6tables={seen}")
    sh(command)
    found = lab.findings()
    assert {(one["topic"], tuple(one["commands"])) for one in found} == {("barrier", ())}
    assert lab.passes("b", "10.61.0.2", 80) is not stops
    assert any("between members of 10.61.0.0/24" in one["message"] for one in found) is stops


def test_a_rule_for_bridged_packets(lab: Lab) -> None:
    sh("sysctl -qew net.bridge.bridge-nf-call-iptables=1")
    sh("iptables -P FORWARD DROP; iptables -A FORWARD -m physdev --physdev-is-bridged -j ACCEPT")
    if not lab.passes("b", "10.61.0.2", 80):
        pytest.skip("this kernel has no br_netfilter")
    found = lab.findings()
    assert found
    assert not any("between members" in one["message"] for one in found)


UNJUDGED = {
    "a_set_that_the_packet_itself_fills": (
        (
            "nft 'table inet fw { set s { type ipv4_addr; flags dynamic; size 9; timeout 1m; };"
            " chain c { type filter hook forward priority 1; add @s { ip saddr }; ip saddr @s drop; }; }'"
        ),
        "`ip saddr @s drop` cannot be judged",
    ),
    "a_zone": (
        chain('iifname "up0" ct zone set 5;', "prerouting", -300),
        '`iifname "up0" <ct zone set>` cannot be judged',
    ),
    "a_zone_of_iptables": (
        "iptables -t raw -A PREROUTING -i up0 -j CT --zone 5",
        "`-i up0 -j CT --zone` cannot be judged",
    ),
}


@pytest.mark.parametrize("name", UNJUDGED)
def test_what_may_stop_packets_is_named(lab: Lab, name: str) -> None:
    command, says = UNJUDGED[name]
    sh(command)
    assert not lab.passes("lan", "192.0.2.1", 8080)
    found = lab.findings()
    assert {one["topic"] for one in found} == {"unjudged"}
    assert says in found[0]["message"]


def test_what_cannot_be_judged(lab: Lab) -> None:
    sh("iptables -A FORWARD -m recent --update --seconds 60 --name x -j DROP")
    found = lab.findings()
    assert [one["topic"] for one in found] == ["unjudged"]
    assert "`-m recent -j DROP` cannot be judged" in found[0]["message"]
    sh("iptables -I FORWARD -j ACCEPT")
    assert lab.findings() == []


def test_arp_of_others_cannot_be_judged(lab: Lab) -> None:
    sh("nft 'table arp fw { chain c { type filter hook input priority 0; arp saddr ip 1.2.3.4 drop; }; }'")
    assert [one["topic"] for one in lab.findings()] == ["unjudged"]


def test_a_route_over_the_target(lab: Lab) -> None:
    sh("ip route add blackhole 10.61.0.2/32")
    found = lab.netrecon.json("doctor", code=2)["findings"]
    assert [one["topic"] for one in found] == ["routing"]
    assert "because of the route blackhole 10.61.0.2/32" in found[0]["message"]
    assert found[0]["commands"] == []
    sh(
        "ip route del blackhole 10.61.0.2/32; ip link add t0 type veth peer name t1"
        "; ip link set t0 up; ip link set t1 up"
    )
    sh("ip rule add fwmark 7 lookup 77; ip route add 10.61.0.0/24 dev t0 table 77")
    sh("iptables -t mangle -A PREROUTING -i up0 -j MARK --set-mark 7")
    found = lab.netrecon.json("doctor", code=2)["findings"]
    assert "10.61.0.2 go out by t0 because of the route 10.61.0.0/24 dev t0 table 77" in found[0]["message"]


def test_the_reverse_path(lab: Lab) -> None:
    sh(UPLINK.format(name="dmz", link="up1", four="203.0.113", six="2001:db8:6"))
    sh("sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.up1.rp_filter=1")
    assert lab.passes("dmz", "203.0.113.1", 8080)
    sh("ip route add 203.0.113.0/25 via 192.0.2.9; ip route add 203.0.113.128/25 via 192.0.2.9; ip route flush cache")
    found = lab.findings()
    assert [one["commands"] for one in found] == [["sysctl -w net.ipv4.conf.up1.rp_filter=2"]]
    sh(found[0]["commands"][0])
    assert lab.findings() == []


def test_forwarding_that_is_off_for_a_link(lab: Lab) -> None:
    sh("sysctl -qw net.ipv4.conf.up0.forwarding=0")
    assert not lab.passes("lan", "192.0.2.1", 8080)
    found = lab.findings()
    assert [one["commands"] for one in found] == [["sysctl -w net.ipv4.conf.up0.forwarding=1"]]
    sh(found[0]["commands"][0])
    assert lab.findings() == []
    assert lab.passes("lan", "192.0.2.1", 8080)


def test_a_namespace_that_publishes(lab: Lab) -> None:
    router = {
        "bridges": {"br7": {"addresses": ["10.77.0.1/24"]}},
        "sysctls": {"net.ipv4.ip_forward": 1},
        "port_maps": ["8080:10.77.0.2:80"],
        "veths": {"v7": {"master": "br7", "peer": {"namespace": "in", "name": "eth0", "addresses": ["10.77.0.2/24"]}}},
    }
    links = {
        "w7": {"addresses": ["10.78.0.1/24"], "peer": {"namespace": "r", "name": "up", "addresses": ["10.78.0.2/24"]}}
    }
    inner = {"in": {"routes": [{"to": "default", "via": "10.77.0.1"}]}}
    data = {"name": "two", "veths": links, "namespaces": {"r": router, **inner}}
    lab.netrecon("apply", "-q", data)
    with contextlib.closing(inside("in", _serve, 80)):
        assert lab.passes("host", "10.78.0.2", 8080)
        sh("ip netns exec r iptables -A FORWARD -j REJECT; ip netns exec r iptables-legacy -A FORWARD -p tcp -j DROP")
        assert not lab.passes("host", "10.78.0.2", 8080)
        found = lab.netrecon.json("doctor", data, code=2)["findings"]
        assert {one["scope"] for one in found} == {"r"}
        for line in (line for one in found for line in one["commands"]):
            assert line.startswith("ip netns exec r iptables")
            sh(line)
        assert lab.netrecon.json("doctor", data)["findings"] == []
        assert lab.passes("host", "10.78.0.2", 8080)
