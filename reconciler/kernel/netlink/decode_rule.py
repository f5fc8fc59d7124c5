"""Decodes policy routing rules of a dump into rows, with their text in the words of ip-rule(8)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import lru_cache
from socket import AF_INET, AF_INET6, inet_ntop

from reconciler.kernel.netlink.decode import Attributes, attributes, decoder, text, u32
from reconciler.model.rows import RuleRow

FRA_DST, FRA_SRC, FRA_IIFNAME, FRA_GOTO, FRA_PRIORITY, FRA_FWMARK = 1, 2, 3, 4, 6, 10
FRA_FLOW, FRA_TUN_ID, FRA_SUPPRESS_IFGROUP, FRA_SUPPRESS_PREFIXLEN = 11, 12, 13, 14
FRA_TABLE, FRA_FWMASK, FRA_OIFNAME, FRA_L3MDEV, FRA_UID_RANGE = 15, 16, 17, 19, 20
FRA_PROTOCOL, FRA_IP_PROTO, FRA_SPORT_RANGE, FRA_DPORT_RANGE = 21, 22, 23, 24
FRA_PAD = 18
FIB_RULE_INVERT = 2
_NONE = 0xFFFFFFFF

_RULE = struct.Struct("=BBBBBxxBI")  # fib_rule_hdr: family, dst_len, src_len, tos, table, action, flags
_TABLES = {253: "default", 254: "main", 255: "local"}
_ACTIONS = {3: "nop", 6: "blackhole", 7: "unreachable", 8: "prohibit"}
_TO_TABLE, _GOTO = 1, 2


@lru_cache(maxsize=256)  # every new namespace has the same five rules
@decoder("RTM_NEWRULE")
def rule(body: bytes) -> RuleRow | None:
    """A RuleRow from an RTM_NEWRULE's body; None for a family other than IPv4 and IPv6."""
    family, dst_len, src_len, tos, table, action, flags = _RULE.unpack_from(body)
    if family not in (AF_INET, AF_INET6):
        return None
    attrs = attributes(body, 12)
    table = u32(attrs, FRA_TABLE, table)
    (protocol,) = attrs.get(FRA_PROTOCOL, b"\0")
    words = [
        *(["not"] if flags & FIB_RULE_INVERT else []),
        f"from {_prefix(family, attrs.get(FRA_SRC), src_len)}",
        *([f"to {_prefix(family, attrs.get(FRA_DST), dst_len)}"] if FRA_DST in attrs else []),
        *([f"tos {tos:#x}"] if tos else []),
        *_selectors(attrs),
        _verdict(attrs, action, table),
        *(f"{word} {u32(attrs, kind)}" for kind, word in _SUPPRESSORS if u32(attrs, kind, _NONE) != _NONE),
    ]
    return RuleRow(family, u32(attrs, FRA_PRIORITY), protocol, table, action, " ".join(words), body)


def _prefix(family: int, value: bytes | None, length: int) -> str:
    return f"{inet_ntop(family, value)}/{length}" if value is not None else "all"


def _verdict(attrs: Attributes, action: int, table: int) -> str:
    if action == _TO_TABLE:
        if attrs.get(FRA_L3MDEV, b"\0") != b"\0":
            return "lookup [l3mdev-table]"
        return f"lookup {_TABLES.get(table, table)}"
    if action == _GOTO:
        return f"goto {u32(attrs, FRA_GOTO)}"
    return _ACTIONS.get(action, f"action {action}")


def _ports(value: bytes) -> str:
    start, end = struct.unpack("=HH", value)
    return f"{start}-{end}" if start != end else str(start)


def _uids(value: bytes) -> str:
    start, end = struct.unpack("=II", value)
    return f"{start}-{end}"


_SELECTORS: dict[int, tuple[str, Callable[[bytes], str]]] = {
    FRA_IIFNAME: ("iif", text),
    FRA_OIFNAME: ("oif", text),
    FRA_UID_RANGE: ("uidrange", _uids),
    FRA_IP_PROTO: ("ipproto", lambda value: str(value[0])),
    FRA_SPORT_RANGE: ("sport", _ports),
    FRA_DPORT_RANGE: ("dport", _ports),
    FRA_TUN_ID: ("tun_id", lambda value: str(int.from_bytes(value, "big"))),
    FRA_FLOW: ("realms", lambda value: f"{struct.unpack('=I', value)[0]:#x}"),
}
_SUPPRESSORS = ((FRA_SUPPRESS_PREFIXLEN, "suppress_prefixlength"), (FRA_SUPPRESS_IFGROUP, "suppress_ifgroup"))
_ELSEWHERE = {
    FRA_DST,
    FRA_SRC,
    FRA_GOTO,
    FRA_PRIORITY,
    FRA_FWMARK,
    FRA_FWMASK,
    FRA_TABLE,
    FRA_PROTOCOL,
    FRA_L3MDEV,
    FRA_PAD,
    FRA_SUPPRESS_IFGROUP,
    FRA_SUPPRESS_PREFIXLEN,
}


def _selectors(attrs: Attributes) -> Iterator[str]:
    mark, mask = u32(attrs, FRA_FWMARK), u32(attrs, FRA_FWMASK)
    if mark or mask:
        yield f"fwmark {mark:#x}" + (f"/{mask:#x}" if mask != _NONE else "")
    for kind, value in sorted(attrs.items()):
        if kind in _SELECTORS:
            word, form = _SELECTORS[kind]
            yield f"{word} {form(value)}"
        elif kind not in _ELSEWHERE and value.strip(b"\0"):
            yield f"attribute {kind} {value.hex()}"  # newer than this code: two such rules still differ
