"""Bytes of nfnetlink to forms and elements, without a kernel."""

from __future__ import annotations

import socket
import struct

import pytest

from reconciler.kernel.netlink.transport import attribute
from reconciler.kernel.nftables import nft_decode as nft
from reconciler.kernel.nftables import nft_elements
from reconciler.kernel.nftables.nft_elements import Layout
from reconciler.kernel.nftables.nft_tables import commands, failure_of
from reconciler.model.errors import Failure, KernelError
from reconciler.model.requests import NftElement, NftFrame

PORTS = Layout(("inet_proto", "inet_service"), ("ipv4_addr", "inet_service"), False)
SOURCES = Layout(("ipv4_addr",), (), True)


def u32(value: int) -> bytes:
    return struct.pack(">I", value)


def element(key: bytes, data: bytes = b"", *more: bytes) -> bytes:
    body = attribute(1, attribute(1, key))
    if data:
        body += attribute(2, attribute(1, data))
    return attribute(1, body + b"".join(more))


def port(protocol: int, number: int) -> bytes:
    return struct.pack(">B3xH2x", protocol, number)


def to(address: str, number: int) -> bytes:
    return socket.inet_aton(address) + struct.pack(">H2x", number)


def body(*elements: bytes) -> bytes:
    return bytes(4) + attribute(1, b"netrecon-t\0") + attribute(3, b"".join(elements))


def test_uniform_elements() -> None:
    first = body(element(port(6, 80), to("10.0.0.1", 8080)), element(port(17, 53), to("10.0.0.2", 53)))
    second = body(element(port(132, 1), to("10.0.0.3", 2)))
    assert nft_elements.decode([first, second], PORTS) == {
        ("tcp", 80): ("10.0.0.1", 8080),
        ("udp", 53): ("10.0.0.2", 53),
        ("sctp", 1): ("10.0.0.3", 2),
    }


def test_one_element_with_a_comment_does_not_hide_the_others() -> None:
    note = attribute(6, bytes([0, 5]) + b"mine\0")
    one, other = element(port(6, 80), to("10.0.0.1", 80), note), element(port(6, 81), to("10.0.0.1", 81))
    assert nft_elements.decode([body(one, other), body(other, one)], PORTS) == {
        ("tcp", 80): ("10.0.0.1", 80, "comment mine"),
        ("tcp", 81): ("10.0.0.1", 81),
    }


def test_catch_all_has_an_empty_key() -> None:
    everything = attribute(1, attribute(2, attribute(1, to("10.0.0.1", 80))) + attribute(3, u32(2)))
    assert nft_elements.decode([body(everything)], PORTS) == {(): ("10.0.0.1", 80)}


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ([("10.0.0.0", 0), ("10.0.1.0", 1)], ["10.0.0.0/24"]),
        ([("10.0.1.0", 1), ("10.0.0.0", 0)], ["10.0.0.0/24"]),  # in any order
        ([("10.0.0.0", 0), ("10.0.1.0", 1), ("10.0.1.0", 0), ("10.0.2.0", 1)], ["10.0.0.0/24", "10.0.1.0/24"]),
        ([("255.0.0.0", 0)], ["255.0.0.0/8"]),  # no end past the last address
        ([("0.0.0.0", 0)], ["0.0.0.0/0"]),
        ([("0.0.0.0", 1), ("10.0.0.3", 0), ("10.0.0.6", 1)], ["10.0.0.3-10.0.0.5"]),
        ([("10.0.0.3", 0), ("10.0.0.4", 1)], ["10.0.0.3/32"]),
    ],
)
def test_intervals(edges: list[tuple[str, int]], expected: list[str]) -> None:
    elements = [
        element(socket.inet_aton(address), b"", *([attribute(3, u32(1))] if end else [])) for address, end in edges
    ]
    assert list(nft_elements.decode([body(*elements)], SOURCES)) == [(text,) for text in expected]


def test_prefix_beside_a_link() -> None:
    key = b"eth0".ljust(16, b"\0") + socket.inet_aton("10.0.0.0")
    last = b"eth0".ljust(16, b"\0") + socket.inet_aton("10.0.0.255")
    one = element(key, b"", attribute(10, attribute(1, last)))
    assert nft_elements.decode([body(one)], Layout(("ifname", "ipv4_addr"), (), True)) == {("eth0", "10.0.0.0/24"): ()}


def test_no_layout_for_types_that_are_not_ours() -> None:
    assert nft_elements.layout({nft.SET_KEY_TYPE: u32(9)}) is None  # ether_addr


def test_set_forms() -> None:
    concatenated = (7 << 12) | (12 << 6) | 13
    found = {nft.SET_FLAGS: u32(nft.MAP | 0x80), nft.SET_KEY_TYPE: u32(concatenated), nft.SET_DATA_TYPE: u32(7)}
    assert nft.set_form(found) == "map ipv4_addr . inet_proto . inet_service : ipv4_addr"
    assert nft.set_form({nft.SET_FLAGS: u32(0x14), nft.SET_KEY_TYPE: u32(41)}) == "set ifname interval timeout"
    sized = {nft.SET_KEY_TYPE: u32(41), nft.SET_DESC: attribute(1, u32(9))}
    assert nft.set_form(sized) == "set ifname size 9"
    verdicts = {nft.SET_FLAGS: u32(nft.MAP), nft.SET_KEY_TYPE: u32(7), nft.SET_DATA_TYPE: u32(0xFFFFFF00)}
    assert nft.set_form(verdicts) == "map ipv4_addr : verdict"


def test_chain_and_table_forms() -> None:
    hook = attribute(1, u32(2)) + attribute(2, struct.pack(">i", -5))
    base = {nft.CHAIN_HOOK: hook, nft.CHAIN_TYPE: b"filter\0", nft.CHAIN_POLICY: u32(0), nft.CHAIN_FLAGS: u32(1)}
    assert nft.chain_form(base) == "filter forward -5 policy drop"
    assert nft.chain_form({}) == "regular"
    assert nft.table_form({nft.TABLE_FLAGS: u32(1)}) == "dormant"
    assert nft.table_form({nft.TABLE_FLAGS: u32(0)}) == "active"


def test_a_digest_knows_order_and_boundaries() -> None:
    rules = [{nft.RULE_EXPRESSIONS: b"ab"}, {nft.RULE_EXPRESSIONS: b"c"}]
    assert nft.rules_digest(rules) != nft.rules_digest(rules[::-1])
    assert nft.rules_digest(rules) != nft.rules_digest([{nft.RULE_EXPRESSIONS: b"a"}, {nft.RULE_EXPRESSIONS: b"bc"}])
    handle = 3
    assert nft.rules_digest([{**rules[0], handle: b"x"}, rules[1]]) == nft.rules_digest(rules)


@pytest.mark.parametrize("data", [b"\x01", b"\xff\xff\x01\x00abcd", b"\x02\x00\x01\x00"])
def test_malformed_attributes_are_an_error(data: bytes) -> None:
    with pytest.raises(KernelError, match="malformed nf_tables message"):
        list(nft.attributes(data))


# ------------------------------------------------------------------ what is written


def test_deletions_then_frames_then_additions_one_command_per_set() -> None:
    text = commands(
        [
            NftElement("host", "netrecon-t", "isolated", "add", '"br0"'),
            NftElement("host", "netrecon-t", "isolated", "add", '"br1"'),
            NftFrame("host", "netrecon-t", "add table inet netrecon-t"),
            NftElement("host", "netrecon-t", "pub_any4", "delete", "tcp . 80"),
        ]
    )
    assert text.splitlines() == [
        "delete element inet netrecon-t pub_any4 { tcp . 80 }",
        "add table inet netrecon-t",
        'add element inet netrecon-t isolated { "br0", "br1" }',
    ]


def test_a_table_that_goes_takes_its_elements_along() -> None:
    gone = NftFrame("host", "netrecon-t", "delete table inet netrecon-t", stamp=False)
    element_gone = NftElement("host", "netrecon-t", "pub_any4", "delete", "tcp . 80")
    assert commands([element_gone, gone]) == gone.text


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (
            "/dev/stdin:1:1-2: Error: Could not process rule: File exists\nadd element\n^^^\n",
            Failure(17, "Could not process rule: File exists"),
        ),
        (
            "Error: No such file or directory; did you mean set x?\n",
            Failure(2, "No such file or directory; did you mean set x?"),
        ),
        ("", Failure(22, "nftables failed")),
        ("netlink: something odd", Failure(22, "netlink: something odd")),
    ],
)
def test_failures_are_one_line_with_the_errno_of_their_words(output: str, expected: Failure) -> None:
    assert failure_of(output) == expected
