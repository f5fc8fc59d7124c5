"""What is read is what pyroute2 reads, on a namespace rich in everything; and whose peer is whose."""

from __future__ import annotations

import socket
import time
from typing import Any

import oracle
import pytest
from throwaway import changes, ip_json, sh

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import decode, decode_rule, reader, transport
from reconciler.kernel.proc import sysctl
from reconciler.kernel.writer import Writer
from reconciler.kinds import TABLES
from reconciler.model.errors import KernelError
from reconciler.model.requests import LinkRef, Netlink

RICH = """set -e
ip netns add blue; ip netns add red
ip -n blue link set lo up
ip -n blue link add br0 type bridge stp_state 1 ageing_time 6000 forward_delay 400 hello_time 100 max_age 700
ip -n blue link set br0 type bridge priority 4096 group_fwd_mask 8 mcast_snooping 0 nf_call_iptables 1
ip -n blue link set br0 alias netrecon:lab group 42 mtu 1400 addrgenmode none up
ip -n blue link add v0 address 02:00:00:00:00:01 txqueuelen 77 type veth peer name v0 netns red
ip -n blue link add v1 type veth peer name v2
ip -n blue link set v1 master br0
ip -n blue link set v1 type bridge_slave hairpin on isolated on learning off flood off cost 19
ip -n blue link set v0 up; ip -n red link set v0 up; ip -n blue link set v1 up; ip -n blue link set v2 up
ip -n blue addr add 10.0.0.1/24 dev br0
ip -n blue addr add 10.1.0.1/30 dev v0; ip -n blue addr add 10.2.0.1 peer 10.2.0.9/32 dev v2
ip -n blue addr add fd00::1/64 dev v0 nodad; ip -n blue addr add fd01::1/64 dev v2 nodad valid_lft 900 preferred_lft 9
ip -n blue route add default via 10.1.0.2; ip -n blue route add default via 10.1.0.2 metric 50 proto static
ip -n blue route add 10.9.0.0/16 via 10.1.0.2 src 10.1.0.1 mtu 1300 table 1000
ip -n blue route add 10.10.0.0/16 dev v0 scope link tos 0x10
ip -n blue route add 10.11.0.0/16 via 192.0.2.1 dev v0 onlink proto 110
ip -n blue route add 10.12.0.0/16 nexthop via 10.1.0.2 weight 3 nexthop via 10.2.0.9 dev v2 onlink
ip -n blue route add 10.13.0.0/16 via inet6 fd00::9 dev v0
for type in blackhole unreachable prohibit throw; do
  ip -n blue route add $type 10.20.0.0/16 metric 7 table 7$(echo $type | wc -c)
  ip -n blue route add $type fd20::/64 metric 7 table 7$(echo $type | wc -c)
done
ip -n blue route add default via fd00::9; ip -n blue route add fd09::/48 via fd00::9 metric 9 mtu 1280
ip -n blue route add fd12::/48 nexthop via fd00::8 weight 2 nexthop via fd00::9
ip -n blue rule add from 10.0.0.0/8 iif br0 fwmark 0x1/0xff lookup 100 priority 90
ip -n blue rule add not to 10.5.0.0/16 oif v0 ipproto tcp dport 80-90 uidrange 0-99 lookup main suppress_prefixlength 0
ip -n blue rule add from 10.6.0.1 tos 0x10 blackhole protocol 110; ip -n blue rule add priority 95 goto 32766
ip -n blue -6 rule add from fd00::/8 lookup 4242
"""


@pytest.fixture
def rich(kernel: Kernel) -> Kernel:
    sh(RICH)
    fields = {"family": 2, "prefixlen": 24, "index": LinkRef("blue", "br0")}
    address = Netlink("blue", "newaddr", fields, (("IFA_LOCAL", "10.0.0.2"), ("IFA_PROTO", 110)))
    assert Writer(kernel, {}, lambda *_: None).send([[address]]) == [None]
    return kernel


def forwarding(scope: str, port: str) -> None:
    """Wait for the spanning tree: the kernel announces each state that a port goes through, seconds apart."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        (link,) = ip_json(f"-n {scope} -d link show {port}")
        if link["linkinfo"]["info_slave_data"]["state"] == "forwarding":
            return
        time.sleep(0.2)
    raise AssertionError(f"{port} does not get to forwarding")


@pytest.mark.parametrize(
    ("request_", "size", "decoder", "least"),
    [
        (reader.RTM_GETLINK, 16, "link", 5),
        (reader.RTM_GETADDR, 8, "address", 9),
        (reader.RTM_GETROUTE, 12, "route", 20),
        (reader.RTM_GETRULE, 12, "rule", 9),
    ],
)
def test_rows_are_what_pyroute2_reads(rich: Kernel, request_: int, size: int, decoder: str, least: int) -> None:
    """conftest.py compares what any live test reads; here are messages with everything in them."""
    bodies = [body for _, body in transport.dump(rich.socket("blue"), request_, bytes(size))]
    module = decode_rule if decoder == "rule" else decode
    read_by = (TABLES,) if decoder == "link" else ()
    rows = [getattr(module, decoder)(body, *read_by) for body in bodies]
    for body, row in zip(bodies, rows, strict=True):
        oracle.compare(decoder, body, row, *read_by)
    assert len([row for row in rows if row is not None]) >= least


def test_links_have_the_values_set_by_hand(rich: Kernel) -> None:
    rows = {row.name: row for row in reader.read_scope(rich, "blue", TABLES).links.values()}
    assert rows["br0"].data == {
        "stp": 1,
        "ageing_time": 6000,
        "forward_delay": 400,
        "hello_time": 100,
        "max_age": 700,
        "priority": 4096,
        "group_fwd_mask": 8,
        "mcast_snooping": 0,
        "nf_call_iptables": 1,
        "nf_call_ip6tables": 0,
        **{name: value for name, value in rows["br0"].data.items() if name.startswith("vlan")},
    }
    assert (rows["br0"].alias, rows["br0"].group, rows["br0"].mtu, rows["br0"].addr_gen_mode) == (
        "netrecon:lab",
        42,
        1400,
        1,
    )
    assert rows["v1"].port == {"hairpin": 1, "isolated": 1, "learning": 0, "flood": 0, "cost": 19}
    assert rows["v1"].master == rows["br0"].index
    assert (rows["v0"].mac, rows["v0"].txqueuelen, rows["v0"].up) == ("02:00:00:00:00:01", 77, True)
    assert rows["lo"].loopback


def test_tables_say_how_the_kernel_makes_bridges_and_ports(kernel: Kernel) -> None:
    sh("ip link add br0 type bridge; ip link add v0 type veth peer name v1; ip link set v0 master br0")
    rows = {row.name: row for row in reader.read_scope(kernel, "host", TABLES).links.values()}
    for table, found in ((TABLES.own["bridge"], rows["br0"].data), (TABLES.port["bridge"], rows["v0"].port)):
        assert found
        assert found == {
            one.word: found[one.word] if one.birth is None else one.birth for one in table if one.word in found
        }


def test_what_no_table_tells_of_is_not_decoded(rich: Kernel) -> None:
    rows = {row.name: row for row in reader.read_scope(rich, "blue").links.values()}
    assert (rows["br0"].data, rows["v1"].port) == ({}, {})


def test_routes_have_the_values_set_by_hand(rich: Kernel) -> None:
    state = reader.read_scope(rich, "blue")
    names = {index: row.name for index, row in state.links.items()}
    found = {
        (row.to, row.metric, row.table): [(hop.via, names.get(hop.oif), hop.weight, hop.onlink) for hop in row.hops]
        for row in state.routes
    }
    assert found["0.0.0.0/0", 0, 254] == [("10.1.0.2", "v0", 1, False)]
    assert found["::/0", 1024, 254] == [("fd00::9", "v0", 1, False)]
    assert found["10.11.0.0/16", 0, 254] == [("192.0.2.1", "v0", 1, True)]
    assert found["10.12.0.0/16", 0, 254] == [("10.1.0.2", "v0", 3, False), ("10.2.0.9", "v2", 1, True)]
    assert found["10.13.0.0/16", 0, 254] == [("fd00::9", "v0", 1, False)]
    assert sorted(found["fd12::/48", 1024, 254]) == [("fd00::8", "v0", 2, False), ("fd00::9", "v0", 1, False)]
    assert found["fd20::/64", 7, 710] == []
    assert not any(row.table == 255 for row in state.routes)


def test_rules_read_as_ip_writes_them(rich: Kernel) -> None:
    rows = {row.priority: row for row in reader.read_scope(rich, "blue").rules if row.family == socket.AF_INET}
    assert [row.text for row in rows.values()] == [
        "from all lookup local",
        "from 10.6.0.1/32 tos 0x10 blackhole",
        "not from all to 10.5.0.0/16 oif v0 uidrange 0-99 ipproto 6 dport 80-90 lookup main suppress_prefixlength 0",
        "from 10.0.0.0/8 fwmark 0x1/0xff iif br0 lookup 100",
        "from all goto 32766",
        "from all lookup main",
        "from all lookup default",
    ]


def test_reading_changes_nothing(rich: Kernel) -> None:
    forwarding("blue", "v1")
    states, events = changes(lambda: reader.read(rich, ["host", "blue", "red"]), "host", "blue", "red")
    assert events == []
    assert set(states) == {"host", "blue", "red"}


def test_a_missing_namespace_is_one_clear_error(kernel: Kernel) -> None:
    with pytest.raises(KernelError, match="namespace nowhere"):
        reader.read(kernel, ["nowhere"])


def test_the_owner_is_read_from_lo_wherever_it_is(kernel: Kernel) -> None:
    kernel.create_namespace("blue", "netrecon:lab")
    sh("ip netns add red")
    assert reader.read_owner(kernel, "blue") == "lab"
    assert reader.read_owner(kernel, "red") == ""
    assert reader.read_owners(kernel, ["blue", "red"]) == {"blue": "lab", "red": ""}


# ------------------------------------------------------------------ peers


def expected_peers(states: Any, *pairs: str) -> None:
    names = {(scope, row.name): index for scope, state in states.items() for index, row in state.links.items()}
    wanted: dict[str, dict[int, tuple[str, int]]] = {scope: {} for scope in states}
    for pair in pairs:
        one, other = (tuple(end.split(".")) for end in pair.split("="))
        wanted[one[0]][names[one]] = (other[0], names[other])
        wanted[other[0]][names[other]] = (one[0], names[one])
    assert {scope: state.peers for scope, state in states.items()} == wanted


def test_peers_within_and_across(kernel: Kernel) -> None:
    sh("ip netns add a; ip netns add b; ip link add x0 type veth peer name x1")
    sh("ip link add y type veth peer name y0 netns a; ip -n a link add z type veth peer name z0 netns b")
    expected_peers(reader.read(kernel, ["host", "a", "b"]), "host.x0=host.x1", "host.y=a.y0", "a.z=b.z0")


def test_peers_that_all_have_one_index(kernel: Kernel) -> None:
    for name in "abcdefghijkl":
        sh(f"ip netns add {name}")
    for one, other in ("ab", "cd", "ef", "gh", "ij", "kl"):
        sh(f"ip -n {one} link add v type veth peer name v netns {other}")
    states = reader.read(kernel, list("abcdefghijkl"))
    assert {row.index for state in states.values() for row in state.links.values() if row.peer} == {2}
    expected_peers(states, "a.v=b.v", "c.v=d.v", "e.v=f.v", "g.v=h.v", "i.v=j.v", "k.v=l.v")


def test_two_ambiguous_pairs(kernel: Kernel) -> None:
    for name in "abcd":
        sh(f"ip netns add {name}")
    sh("ip -n a link add v type veth peer name v netns b; ip -n c link add v type veth peer name v netns d")
    expected_peers(reader.read(kernel, list("abcd")), "a.v=b.v", "c.v=d.v")


def test_a_peer_in_an_unread_namespace_is_absent(kernel: Kernel) -> None:
    sh("ip netns add a; ip netns add b; ip netns add c")
    sh("ip -n a link add v type veth peer name v netns b; ip -n c link add v type veth peer name w")
    states = reader.read(kernel, ["a", "c", "host"])
    assert states["a"].peers == {}
    expected_peers({"c": states["c"]}, "c.v=c.w")


def test_a_peer_moved_to_a_nameless_namespace_is_absent(kernel: Kernel) -> None:
    sh("ip link add v type veth peer name w; ip netns add gone; ip link set w netns gone; ip netns add other")
    sh("(ip netns exec gone sleep 3 &) ; sleep 0.2; ip netns delete gone")
    assert reader.read(kernel, ["host", "other"])["host"].peers == {}


# ------------------------------------------------------------------ sysctls


def test_sysctls_of_a_namespace(kernel: Kernel) -> None:
    sh("ip netns add blue; ip -n blue link add name e.1 type veth peer name e2")
    keys = ["net.ipv4.ip_forward", "net.ipv4.conf.e/1.forwarding", "net/ipv4/tcp_rmem", "net.none", "net.ipv4"]
    assert sysctl.write_sysctl(kernel, "blue", keys[0], "1") is None
    assert sysctl.write_sysctl(kernel, "blue", keys[1], "0") is None
    found = sysctl.read_sysctls(kernel, "blue", keys)
    assert (found[keys[0]], found[keys[1]], found["net.none"], found["net.ipv4"]) == ("1", "0", None, None)
    assert len(str(found["net/ipv4/tcp_rmem"]).split(" ")) == 3
    assert sysctl.read_sysctls(kernel, "host", keys[:1]) == {keys[0]: "0"}
    many = sysctl.read_many(kernel, {"host": keys[:1], "blue": [keys[0], "net.none"]})
    assert many == {("host", keys[0]): "0", ("blue", keys[0]): "1"}


def test_sysctls_that_are_refused(kernel: Kernel) -> None:
    refused = sysctl.write_sysctl(kernel, "host", "net.ipv4.ip_forward", "maybe")
    assert str(refused) == "net.ipv4.ip_forward does not take the value 'maybe'"
    assert "has no sysctl" in str(sysctl.write_sysctl(kernel, "host", "net.ipv4.none", "1"))
    for key in ("net./././etc/passwd", "../../etc/passwd", "/etc", "net..ipv4", ""):
        with pytest.raises(KernelError, match="no sysctl's name"):
            sysctl.read_sysctls(kernel, "host", [key])


def test_no_rule_is_left_out(rich: Kernel) -> None:
    rules = ip_json("-n blue rule") + ip_json("-n blue -6 rule")
    assert len(reader.read_scope(rich, "blue").rules) == len(rules)
