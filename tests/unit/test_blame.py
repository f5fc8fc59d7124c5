"""The kernel gives the place of the attribute that it refused; people get its name."""

from __future__ import annotations

import errno
import struct
from typing import Any

import pytest

from reconciler.kernel.netlink import blame, transport
from reconciler.kernel.netlink.encode import encode
from reconciler.kinds.links import bridge
from reconciler.kinds.links.bridge import Bridge
from reconciler.model.errors import Failure
from reconciler.model.requests import LinkRef, Netlink

MADE = next(
    iter(
        bridge.KIND.create(
            Bridge("host", "br0", mac="02:00:00:00:00:01", stp=True, vlan_filtering=True, priority=7), "t"
        )
    )
)
PEER = {"attrs": (("IFLA_IFNAME", "v1"), ("IFLA_MTU", 70000))}
VETH = {"attrs": (("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", {"attrs": (("VETH_INFO_PEER", PEER),)}))}
PAIR = Netlink("host", "newlink", {}, (("IFLA_IFNAME", "v0"), ("IFLA_LINKINFO", VETH)))
ROUTE = Netlink(
    "host",
    "newroute",
    {"family": 2, "dst_len": 8, "table": 254, "type": 1},
    (("RTA_DST", "10.0.0.0"), ("RTA_OIF", LinkRef("host", "x")), ("RTA_PREFSRC", "10.9.9.9")),
)


def place_of(message: bytes, number: int, payload: bytes) -> int:
    """Where the attribute with this number and payload begins."""
    return message.index(struct.pack("=HH", 4 + len(payload), number) + payload)


@pytest.mark.parametrize(
    ("request_", "number", "payload", "word"),
    [
        (MADE, 7, b"\x01", "vlan_filtering"),
        (MADE, 6, struct.pack("=H", 7), "priority"),
        (MADE, 3, b"br0\0", "ifname"),
        (PAIR, 4, struct.pack("=I", 70000), "mtu"),
        (ROUTE, 7, bytes([10, 9, 9, 9]), "prefsrc"),
    ],
)
@pytest.mark.parametrize("text", ["Attribute failed policy validation", "Numerical result out of range"])
def test_the_attribute_is_named(text: str, request_: Any, number: int, payload: bytes, word: str) -> None:
    message = encode(request_, lambda _: 7)
    failure = Failure(errno.ERANGE, f"{text} (attribute at byte {place_of(message, number, payload)})")
    assert blame.named(failure, request_, message) == Failure(errno.ERANGE, f"{text} ({word})")


def test_every_place_in_a_message_gives_a_name_or_none() -> None:
    for request in (MADE, PAIR, ROUTE):
        message = encode(request, lambda _: 7)
        for place in range(len(message) + 9):
            said = blame.named(Failure(22, f"no (attribute at byte {place})"), request, message).text
            assert said == "no" or (said.startswith("no (") and "byte" not in said)


def test_what_has_no_place_stays_as_it_is() -> None:
    failure = Failure(errno.EOPNOTSUPP, "Unknown device type")
    assert blame.named(failure, MADE, b"") == failure
    raw = Netlink("host", "newroute", {}, body=b"\0" * 40)
    assert blame.named(Failure(22, "no (attribute at byte 30)"), raw, b"\0" * 56) == Failure(22, "no")


def test_the_kernels_own_words_keep_the_place() -> None:
    header = struct.pack("=IHHIIi", 0, 2, 0x200, 1, 0, -22) + struct.pack("=IHHII", 16, 16, 0, 1, 0)
    attributes = transport.attribute(1, b"bad value\0") + transport.attribute(2, struct.pack("=I", 48))
    assert transport.error_failure(header + attributes, 0x300) == Failure(22, "bad value (attribute at byte 48)")
