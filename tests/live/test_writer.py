"""Requests reach the kernel in windows, in order, and each failure comes back to its entry."""

from __future__ import annotations

import errno
import pathlib
from typing import Any

import pytest
from throwaway import ip_json, sh

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import reader, transport
from reconciler.kernel.proc import dns_files
from reconciler.kernel.writer import Writer
from reconciler.model.errors import Failure
from reconciler.model.requests import (
    CreateNamespace,
    DeleteNamespace,
    LinkRef,
    NamespaceRef,
    Netlink,
    NftElement,
    Request,
    WriteFile,
    WriteSysctl,
)

CREATE = transport.NLM_F_CREATE | transport.NLM_F_EXCL


def no_nft(_scope: str, _requests: list[Any]) -> Failure | None:
    raise AssertionError("no nft request was sent")


@pytest.fixture
def writer(kernel: Kernel) -> Writer:
    return Writer(kernel, {}, no_nft)


def veth(scope: str, name: str, far: str, peer: str) -> Netlink:
    there = {"attrs": (("IFLA_IFNAME", peer), ("IFLA_NET_NS_FD", NamespaceRef(far)))}
    data = {"attrs": (("VETH_INFO_PEER", there),)}
    info = {"attrs": (("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", data))}
    return Netlink(scope, "newlink", {}, (("IFLA_IFNAME", name), ("IFLA_LINKINFO", info)), CREATE)


def bridge(scope: str, name: str) -> Netlink:
    info = {"attrs": (("IFLA_INFO_KIND", "bridge"),)}
    return Netlink(scope, "newlink", {}, (("IFLA_IFNAME", name), ("IFLA_LINKINFO", info)), CREATE)


def up(scope: str, name: str, *attributes: tuple[str, Any]) -> Netlink:
    return Netlink(scope, "setlink", {"index": LinkRef(scope, name), "flags": 1, "change": 1}, attributes)


def address(scope: str, link: str, text: str) -> Netlink:
    ip, _, length = text.partition("/")
    fields = {"family": 10 if ":" in ip else 2, "prefixlen": int(length), "index": LinkRef(scope, link)}
    return Netlink(scope, "newaddr", fields, (("IFA_LOCAL", ip), ("IFA_ADDRESS", ip), ("IFA_PROTO", 110)), CREATE)


def test_a_sandbox_in_one_batch_of_ordered_entries(kernel: Kernel, writer: Writer) -> None:
    assert writer.send([[CreateNamespace("blue", "netrecon:lab")], [bridge("host", "br0"), up("host", "br0")]]) == [
        None,
        None,
    ]
    entry: list[Request] = [
        veth("host", "v0", "blue", "eth0"),
        up("host", "v0", ("IFLA_MASTER", LinkRef("host", "br0")), ("IFLA_IFALIAS", "netrecon:lab")),
        up("blue", "eth0"),
        address("blue", "eth0", "172.16.0.2/24"),
        Netlink(
            "blue",
            "newroute",
            {"family": 2, "dst_len": 0, "table": 254, "proto": 110, "scope": 0, "type": 1},
            (("RTA_GATEWAY", "172.16.0.1"), ("RTA_METRICS", {"attrs": (("RTAX_MTU", 1300),)})),
            CREATE,
        ),
        WriteSysctl("blue", "net.ipv4.ip_forward", "1"),
        WriteFile("blue", "hosts", "# netrecon:lab\n10.0.0.7 db\n", "lab"),
    ]
    assert writer.send([entry]) == [None]
    assert writer.sent == 3 + len(entry)
    (link,) = ip_json("-d link show v0")
    assert (link["master"], link["ifalias"]) == ("br0", "netrecon:lab")
    (route,) = ip_json("-n blue route show default")
    assert (route["gateway"], route["protocol"], route["metrics"]) == ("172.16.0.1", "110", [{"mtu": 1300}])
    assert sh("ip netns exec blue sysctl -n net.ipv4.ip_forward").strip() == "1"
    assert dns_files.read_file("blue", "hosts") == "# netrecon:lab\n10.0.0.7 db\n"
    assert writer.send([[WriteFile("blue", "hosts", None, "lab"), DeleteNamespace("blue")]]) == [None]
    assert not pathlib.Path("/etc/netns/blue").exists()
    assert kernel.namespaces() == []


def test_a_failure_stops_its_entry_and_no_other(writer: Writer) -> None:
    results = writer.send(
        [
            [bridge("host", "a" * 16), WriteSysctl("host", "net.ipv4.ip_forward", "1")],
            [bridge("host", "br1"), up("host", "br1")],
            [up("host", "nosuch")],
            [address("nowhere", "eth0", "10.0.0.1/24")],
        ]
    )
    assert results[1] is None
    assert results[0] is not None
    assert str(results[2]) == "link nosuch is missing in host"
    assert results[2] is not None
    assert results[2].errno == errno.ENODEV
    assert results[3] is not None
    assert results[3].errno == errno.ENOENT
    assert sh("sysctl -n net.ipv4.ip_forward").strip() == "0"


def test_extended_ack_text_comes_through(writer: Writer) -> None:
    fields = {"family": 2, "dst_len": 16, "table": 254, "proto": 110, "type": 1}
    route = Netlink("host", "newroute", fields, (("RTA_DST", "10.9.0.0"), ("RTA_GATEWAY", "10.1.1.1")), CREATE)
    (failure,) = writer.send([[route]])
    assert failure is not None
    assert str(failure) == "Nexthop has invalid gateway"
    assert failure.errno == errno.ENETUNREACH


def test_a_thousand_requests_in_windows(kernel: Kernel, writer: Writer) -> None:
    sh("ip link add br0 type bridge; ip link set br0 up")
    batch: list[list[Request]] = [[address("host", "br0", f"10.0.{n // 250}.{n % 250 + 1}/32")] for n in range(1000)]
    assert writer.send(batch) == [None] * 1000
    assert len(reader.read_scope(kernel, "host").addresses) >= 1000
    again = writer.send(batch)
    assert {failure.errno for failure in again if failure} == {errno.EEXIST}
    assert None not in again


def test_a_name_made_anew_is_not_the_old_index(writer: Writer) -> None:
    assert writer.send([[bridge("host", "br0"), up("host", "br0")]]) == [None]
    delete = Netlink("host", "dellink", {"index": LinkRef("host", "br0")})
    assert writer.send([[delete, bridge("host", "br0"), up("host", "br0")]]) == [None]
    assert writer.send([[up("host", "br0", ("IFLA_MTU", 1300))]]) == [None]
    sh("ip link delete br0")
    (failure,) = writer.send([[up("host", "br0", ("IFLA_MTU", 1300))]])
    assert failure is not None
    assert failure.errno == errno.ENODEV


@pytest.mark.parametrize("echo", ["echo", "no echo"])
def test_both_ends_of_a_new_veth_are_known_by_its_echo(
    kernel: Kernel, writer: Writer, monkeypatch: pytest.MonkeyPatch, echo: str
) -> None:
    if echo == "no echo":  # as Linux before 6.2
        monkeypatch.setattr(transport, "echoed", lambda request: request)
    sh("ip netns add blue; ip -n blue link add other type bridge; ip link add v1 type bridge")
    dumps: list[str] = []
    real = reader.read_links
    monkeypatch.setattr(reader, "read_links", lambda kernel, scope: dumps.append(scope) or real(kernel, scope))

    def pair(number: int) -> list[Request]:
        name, peer = f"v{number}", f"p{number}"
        return [veth("host", name, "blue", peer), up("host", name), up("blue", peer, ("IFLA_IFALIAS", peer))]

    assert writer.send([pair(0), pair(2)]) == [None, None]
    assert not (dumps and echo == "echo" and reader._release() >= (6, 2))
    refused, *others = writer.send([pair(1), pair(3), [up("host", "v1", ("IFLA_IFALIAS", "bridge"))]])
    assert refused is not None
    assert refused.errno == errno.EEXIST
    assert others == [None, None]
    aliases = {link["ifname"]: link.get("ifalias") for link in ip_json("-n blue link")}
    assert aliases == {"lo": None, "other": None, "p0": "p0", "p2": "p2", "p3": "p3"}
    assert [link["ifalias"] for link in ip_json("link show v1")] == ["bridge"]


def test_multipath_and_a_rule_given_back(kernel: Kernel, writer: Writer) -> None:
    sh("ip link add br0 type bridge; ip link set br0 up; ip addr add 10.0.0.1/24 dev br0")
    hops = [
        {"oif": LinkRef("host", "br0"), "hops": n, "attrs": (("RTA_GATEWAY", f"10.0.0.{n + 2}"),)} for n in range(2)
    ]
    fields = {"family": 2, "dst_len": 16, "table": 254, "proto": 110, "type": 1}
    route = Netlink("host", "newroute", fields, (("RTA_DST", "10.9.0.0"), ("RTA_MULTIPATH", hops)), CREATE)
    assert writer.send([[route]]) == [None]
    (row,) = [row for row in reader.read_scope(kernel, "host").routes if row.to == "10.9.0.0/16"]
    assert [(hop.via, hop.weight) for hop in row.hops] == [("10.0.0.2", 1), ("10.0.0.3", 2)]


RULES = [
    "from 10.0.0.0/8 lookup 100",
    "not from 10.0.0.0/8 iif br0 oif lo fwmark 0x1/0xff lookup 100",
    "to 10.1.0.0/16 tos 0x10 ipproto tcp sport 1-9 dport 80 uidrange 3-4 blackhole",
    "lookup 77 suppress_prefixlength 0",
    "lookup 77 suppress_ifgroup 3",
    "goto 32767",
    "protocol 110 prohibit",
    "from all unreachable",
]


@pytest.mark.parametrize("family", ["-4", "-6"])
@pytest.mark.parametrize("words", RULES)
def test_a_rule_as_dumped_deletes_itself_only(kernel: Kernel, writer: Writer, family: str, words: str) -> None:
    if family == "-6":
        words = words.replace("10.0.0.0/8", "fd00::/8").replace("10.1.0.0/16", "fd01::/16")
    before = {row.raw for row in reader.read_scope(kernel, "host").rules}
    sh(f"ip {family} rule add {words} pref 500; ip {family} rule add from all lookup 9 pref 500")
    added = [row for row in reader.read_scope(kernel, "host").rules if row.raw not in before]
    (row,) = [row for row in added if row.table != 9]
    assert writer.send([[Netlink("host", "delrule", {}, body=row.raw)]]) == [None]
    left = [row for row in reader.read_scope(kernel, "host").rules if row.raw not in before]
    assert [row.table for row in left] == [9]


def test_nft_requests_of_a_stage_are_one_transaction(kernel: Kernel) -> None:
    calls: list[tuple[str, int]] = []

    def nft(scope: str, requests: list[Any]) -> Failure | None:
        calls.append((scope, len(requests)))
        return Failure(errno.ERANGE, "no") if scope == "blue" else None

    def element(scope: str) -> Request:
        return NftElement(scope, "netrecon-lab", "pub", "add", "tcp . 80")

    writer = Writer(kernel, {}, nft)
    no = Failure(errno.ERANGE, "no")
    batch = [[element("host")], [element("blue")], [element("host"), element("host")], [element("blue")]]
    assert writer.send(batch) == [None, no, None, no]
    assert sorted(calls) == [("blue", 2), ("host", 3)]


@pytest.mark.parametrize(
    "request_",
    [
        Netlink("host", "setlink", {"index": 1}, (("IFLA_TYPO", 1),)),
        Netlink("host", "setlink", {"index": 1}, (("IFLA_LINKINFO", {"attrs": (("IFLA_INFO_TYPO", 1),)}),)),
        Netlink("host", "setlink", {"indx": 1}),
        Netlink("host", "newroute", {"family": 2}, (("RTA_MULTIPATH", [{"oif": 1, "attrs": (("RTA_TYPO", 1),)}]),)),
    ],
)
def test_a_name_that_pyroute2_does_not_know_is_loud(writer: Writer, request_: Netlink) -> None:
    with pytest.raises(TypeError, match="has no"):
        writer.send([[request_]])


def gone(scope: str, name: str) -> Netlink:
    return Netlink(scope, "dellink", {"index": LinkRef(scope, name)})


def names() -> list[str]:
    return [row["ifname"] for row in ip_json("link")]


def test_many_links_go_as_one_group(writer: Writer) -> None:
    sh("for n in 1 2 3 4; do ip link add a$n type veth peer name b$n; done; ip link set a4 group 1853095936")
    results = writer.send([[gone("host", f"a{number}")] for number in (1, 2, 3)])
    assert results == [None] * 3
    assert names() == ["lo", "b4", "a4"], "a link in the very group that comes first stays"


def test_a_link_that_is_gone_already_does_not_hold_up_the_others(writer: Writer) -> None:
    sh("for n in 1 2; do ip link add a$n type veth peer name b$n; done")
    first, missing, last = writer.send([[gone("host", "a1")], [gone("host", "a9")], [gone("host", "a2")]])
    assert (first, last) == (None, None)
    assert missing is not None
    assert missing.errno == errno.ENODEV
    assert names() == ["lo"]


def test_a_link_that_cannot_be_deleted_does_not_hold_up_the_others(writer: Writer) -> None:
    sh("for n in 1 2; do ip link add a$n type veth peer name b$n; done")
    first, refused, last = writer.send([[gone("host", "a1")], [gone("host", "lo")], [gone("host", "a2")]])
    assert (first, last) == (None, None)
    assert refused is not None
    assert refused.errno == errno.EOPNOTSUPP
    assert names() == ["lo"]
    assert ip_json("link")[0]["group"] == "default"
