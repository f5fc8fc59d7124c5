"""Values of a kind's table are written as the kernel wants them, and read back the same."""

from __future__ import annotations

from typing import Any

import oracle
import pytest

from reconciler.kernel.netlink import decode
from reconciler.kernel.netlink.encode import encode, encode_by_class
from reconciler.kinds.links import requests
from reconciler.kinds.links.link import Link
from reconciler.model.attributes import (
    Attribute,
    Table,
    Tables,
    be16,
    be32,
    bool8,
    bool32,
    flag,
    ip,
    ipv4,
    ipv6,
    mac,
    nested,
    normal,
    text,
    u8,
    u16,
    u32,
    u64,
)
from reconciler.model.errors import KernelError
from reconciler.model.requests import Netlink

VALUES: list[tuple[Any, Any, bytes]] = [
    (u8, 7, b"\x07"),
    (u16, 258, b"\x02\x01"),
    (u32, 1, b"\x01\0\0\0"),
    (u64, 1, b"\x01\0\0\0\0\0\0\0"),
    (be16, 4789, b"\x12\xb5"),
    (be32, 1, b"\0\0\0\x01"),
    (bool8, True, b"\x01"),
    (bool32, False, b"\0\0\0\0"),
    (ipv4, "10.0.0.1", b"\x0a\0\0\x01"),
    (ipv6, "fd00::1", b"\xfd" + bytes(14) + b"\x01"),
    (ip, "10.0.0.1", b"\x0a\0\0\x01"),
    (ip, "::1", bytes(15) + b"\x01"),
    (mac, "02:00:00:00:00:0a", b"\x02\0\0\0\0\x0a"),
    (text, "caf\udce9", b"caf\xe9\0"),
]


def through(table: Table, values: dict[str, Any]) -> dict[str, Any]:
    """What is read of a link that is made with the values."""
    made = requests.born(Link("host", "x0"), "x", requests.of_table(table, values))
    message = encode(made, lambda _: 7)
    return dict(decode.link(message[16:], Tables(own={"x": table})).data)


@pytest.mark.parametrize(("make", "value", "packed"), VALUES)
def test_a_value_is_packed_and_comes_back(make: Any, value: Any, packed: bytes) -> None:
    one = make("word", 3)
    assert one.wire.pack(value) == packed
    back = through(Table(one), {"word": value})["word"]
    assert (back, type(back)) == (value, type(value))


def test_a_flag_is_true_where_it_is_there() -> None:
    table = Table(flag("gbp", 18), u8("ttl", 5))
    assert through(table, {"gbp": True, "ttl": 3}) == {"gbp": True, "ttl": 3}
    assert through(table, {"gbp": False, "ttl": 3}) == {"gbp": False, "ttl": 3}


def test_what_is_nested_is_read_in_the_order_of_its_table() -> None:
    table = Table(nested("ports", 1, be16("low", 1), nested("more", 2, flag("on", 1)), be16("high", 3)))
    document = {"high": 9, "low": 4, "more": {"on": True}}
    value = normal(table["ports"], document)
    assert value == (("low", 4), ("more", (("on", True),)), ("high", 9))
    assert through(table, {"ports": value}) == {"ports": value}


@pytest.mark.parametrize(
    ("one", "written", "kept"),
    [
        (mac("m", 1), "02:00:00:00:00:0A", "02:00:00:00:00:0a"),
        (ip("a", 1), "FD00:0::1", "fd00::1"),
        (ipv4("a", 1), "10.0.0.1", "10.0.0.1"),
        (be16("p", 1), 80, 80),
    ],
)
def test_one_spelling_of_a_value(one: Attribute, written: Any, kept: Any) -> None:
    assert normal(one, written) == kept


@pytest.mark.parametrize(("one", "written"), [(ip("a", 1), "10.0.0"), (ipv4("a", 1), "::1"), (ipv6("a", 1), "x")])
def test_no_such_value(one: Attribute, written: str) -> None:
    with pytest.raises(ValueError, match=written):
        normal(one, written)


@pytest.mark.parametrize("make", [u16, be32, bool8, ipv4, ipv6, ip, flag])
def test_bytes_of_another_width_are_one_clear_error(make: Any) -> None:
    message = encode(requests.born(Link("host", "x0"), "x", ((text("t", 3), "longer than all others"),)), lambda _: 7)
    with pytest.raises(KernelError, match="malformed RTM_NEWLINK"):
        decode.link(message[16:], Tables(own={"x": Table(make("word", 3))}))


VXLAN = Table(u32("id", 1), ipv4("local", 4), u8("ttl", 5), bool8("learning", 7), be16("port", 15), ipv6("local6", 17))


def test_pyroute2_writes_the_same_bytes() -> None:
    values = {"id": 7, "local": "10.0.0.1", "ttl": 3, "learning": True, "port": 4789, "local6": "fd00::1"}
    request = requests.born(
        Link("host", "x0", mac="02:00:00:00:00:01"), "vxlan", requests.of_table(VXLAN, values), "eth0"
    )
    assert isinstance(request, Netlink)
    spelt = oracle.spelt(request)
    assert spelt is not None
    assert encode(request, lambda _: 7) == encode_by_class(spelt, lambda _: 7)


def test_a_table_says_each_word_and_number_once() -> None:
    for twice in ((u8("a", 1), u8("a", 2)), (u8("a", 1), u8("b", 1))):
        with pytest.raises(ValueError, match="one word or one number"):
            Table(*twice)
