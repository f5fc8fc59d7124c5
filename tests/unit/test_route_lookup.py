"""Routes are looked up by the kernel's rules; what only the kernel can know is left to it."""

from __future__ import annotations

import pytest

from reconciler.kinds.route.form import SCOPES, NextHop, Route, key_of
from reconciler.model.keys import HOST
from reconciler.model.rows import RuleRow
from reconciler.planning.route_lookup import Found, Packet, look_up

PEER = "198.51.100.7"
PACKET = Packet(PEER, "203.0.113.1", "", 7, 22, 50000)


def way(
    to: str, dev: str | None = "up0", via: str = "", table: int = 254, metric: int = 0, kind: str = "unicast"
) -> Route:
    hops = (NextHop(via, dev, 1, False),) if kind == "unicast" else ()
    return Route(HOST, to, table, metric, kind, hops, "", SCOPES["global"], 0)


ROUTES = (
    way("203.0.113.0/24"),
    way("0.0.0.0/0", via="203.0.113.2"),
    way("0.0.0.0/0", "up1", "192.0.2.2", 100),
    way("0.0.0.0/0", "up2", "10.0.0.2", metric=5),
    way("198.51.100.0/24", table=200, kind="throw"),
    way("10.9.0.0/16", kind="blackhole"),
    way("10.8.0.0/16", None, "203.0.113.5"),
)
BORN = ("from all lookup local", "from all lookup main", "from all lookup default")
TABLES = {"local": 255, "main": 254, "default": 253}


def rule(text: str) -> RuleRow:
    words = text.split()
    table = words[words.index("lookup") + 1] if "lookup" in words else "0"
    action = {"blackhole": 6, "prohibit": 8, "goto": 2}.get(words[-1] if "goto" not in words else "goto", 1)
    return RuleRow(2, 0, 0, TABLES.get(table) or int(table), action, text, b"")


def found(*rules: str, packet: Packet = PACKET) -> Found | None:
    listed = [rule(text) for text in (BORN[0], *rules, *BORN[1:])]
    return look_up({key_of(one): one for one in ROUTES}, HOST, listed, packet)


UP0, UP1 = frozenset({("up0", "203.0.113.2")}), frozenset({("up1", "192.0.2.2")})


@pytest.mark.parametrize(
    ("rules", "hops"),
    [
        ((), UP0),
        (("from 203.0.113.1/32 lookup 100",), UP1),
        (("from 203.0.113.9/32 lookup 100",), UP0),
        (("from all to 198.51.100.0/24 lookup 100",), UP1),
        (("from all fwmark 0x7 lookup 100",), UP1),
        (("from all fwmark 0x17/0xf lookup 100",), UP0),
        (("from all fwmark 0x7/0xf lookup 100",), UP1),
        (("not from all fwmark 0x7 lookup 100",), UP0),
        (("not from all fwmark 0x8 lookup 100",), UP1),
        (("from all ipproto 6 sport 22 lookup 100",), UP1),
        (("from all ipproto 17 sport 22 lookup 100",), UP0),
        (("from all dport 49000-51000 lookup 100",), UP1),
        (("from all iif lo lookup 100",), UP1),
        (("from all iif br0 lookup 100",), UP0),
        (("from all oif up1 lookup 100",), UP0),
        (("from all lookup 300",), UP0),  # an empty table
        (("from all lookup 200", "from all lookup 100"), UP1),  # throw: the next rule
        (("from all lookup main suppress_prefixlength 0", "from all lookup 100"), UP1),
        (("from all blackhole",), frozenset()),
        (("from all uidrange 0-0 lookup 100",), None),
        (("from all goto 500",), None),
        (("from all lookup 100", "from all uidrange 0-0 lookup 300"), UP1),  # it is not asked any more
    ],
)
def test_rules(rules: tuple[str, ...], hops: frozenset[tuple[str, str]] | None) -> None:
    answer = found(*rules)
    assert (answer.hops if answer is not None else None) == hops


@pytest.mark.parametrize(
    ("to", "hops"),
    [
        ("203.0.113.9", {("up0", "203.0.113.9")}),
        ("10.9.1.1", set()),
        ("10.8.1.1", {("up0", "203.0.113.5")}),  # the link of the gateway
    ],
)
def test_routes(to: str, hops: set[tuple[str, str]]) -> None:
    answer = found(packet=Packet(to))
    assert answer is not None
    assert answer.hops == hops


def test_forwarded_packet_is_asked_for_by_its_link() -> None:
    answer = found("from all iif br0 lookup 100", packet=Packet(PEER, into="br0"))
    assert answer is not None
    assert answer.hops == UP1
