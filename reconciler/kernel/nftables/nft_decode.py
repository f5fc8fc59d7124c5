"""Decodes nf_tables messages into plain text forms (linux/netfilter/nf_tables.h)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from reconciler.kernel.netlink.decode import malformed

Attributes = dict[int, bytes]

_TLV = struct.Struct("=HH")
_U32 = struct.Struct(">I")
_S32 = struct.Struct(">i")
_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER

TABLE_NAME, TABLE_FLAGS = 1, 2
CHAIN_TABLE, CHAIN_NAME, CHAIN_HOOK, CHAIN_POLICY = 1, 3, 4, 5
CHAIN_TYPE, CHAIN_FLAGS, CHAIN_USERDATA = 7, 10, 12
RULE_TABLE, RULE_CHAIN, RULE_EXPRESSIONS, RULE_USERDATA = 1, 2, 4, 7
SET_TABLE, SET_NAME, SET_FLAGS, SET_KEY_TYPE, SET_DATA_TYPE = 1, 2, 3, 4, 6
SET_POLICY, SET_DESC, SET_TIMEOUT, SET_GC_INTERVAL = 8, 9, 11, 12
SET_EXPR, SET_EXPRESSIONS = 17, 18

ANONYMOUS = 0x1  # NFT_SET_ANONYMOUS
INTERVAL = 0x4
MAP = 0x8
_SET_FLAGS = {0x2: "constant", INTERVAL: "interval", 0x10: "timeout", 0x20: "dynamic", 0x40: "object"}
_TABLE_FLAGS = {0x1: "dormant", 0x2: "owner", 0x4: "persist"}
_CHAIN_BASE = 0x1

_HOOKS = ("prerouting", "input", "forward", "output", "postrouting", "ingress")
_POLICIES = ("drop", "accept")

# libnftables' type numbers (enum datatypes), six bits each in a concatenation
TYPE_BITS = 6
_VERDICT = 0xFFFFFF00  # NFT_DATA_VERDICT
TYPES = {
    4: "integer",
    7: "ipv4_addr",
    8: "ipv6_addr",
    9: "ether_addr",
    12: "inet_proto",
    13: "inet_service",
    19: "mark",
    41: "ifname",
}


def attributes(data: bytes, at: int = 0) -> Iterator[tuple[int, bytes]]:
    """(type, payload) of the attributes from offset ``at`` on; KernelError where they do not follow the format."""
    end = len(data)
    while at < end:
        if end - at < 4:
            raise malformed("nf_tables message: bytes behind the last attribute")
        length, kind = _TLV.unpack_from(data, at)
        if length < 4 or length > end - at:
            raise malformed("nf_tables message: attribute length")
        yield kind & _TYPE_MASK, data[at + 4 : at + length]
        at += (length + 3) & ~3


def text(value: bytes) -> str:
    """A NUL-terminated name."""
    return value.rstrip(b"\0").decode("utf-8", "replace")


def number(attrs: Attributes, kind: int) -> int:
    """A 32-bit attribute in network byte order, 0 where it is absent; KernelError for another length."""
    value = attrs.get(kind)
    if value is None:
        return 0
    if len(value) != 4:
        raise malformed("nf_tables message: a number's width")
    result: int = _U32.unpack(value)[0]
    return result


def type_names(types: int) -> tuple[str, ...]:
    """The types of the fields of a key or value, in order, from its (concatenated) type number."""
    if types == _VERDICT:
        return ("verdict",)
    names: list[str] = []
    while types:
        types, last = types >> TYPE_BITS, types & ((1 << TYPE_BITS) - 1)
        names.insert(0, TYPES.get(last, f"type{last}"))
    return tuple(names)


def table_form(attrs: Attributes) -> str:
    """ "active", or the table's flags, such as "dormant" (none of its rules is run)."""
    return _flag_words(number(attrs, TABLE_FLAGS), _TABLE_FLAGS) or "active"


def _flag_words(flags: int, names: dict[int, str]) -> str:
    known = [name for bit, name in names.items() if flags & bit]
    rest = flags & ~sum(names)
    return " ".join(known + ([f"{rest:#x}"] if rest else []))


def chain_form(attrs: Attributes) -> str:
    """ "filter forward 0 policy accept", or "regular" for a chain without a hook."""
    hook = attrs.get(CHAIN_HOOK)
    extra = number(attrs, CHAIN_FLAGS) & ~_CHAIN_BASE
    if hook is None:
        return "regular" + (f" flags {extra:#x}" if extra else "")
    at = dict(attributes(hook))
    where = number(at, 1)
    priority = _S32.unpack(at[2])[0] if len(at.get(2, b"")) == 4 else 0
    policy = number(attrs, CHAIN_POLICY)
    words = [
        text(attrs.get(CHAIN_TYPE, b"?")),
        _HOOKS[where] if where < len(_HOOKS) else f"hook{where}",
        str(priority),
        "policy",
        _POLICIES[policy] if policy < len(_POLICIES) else str(policy),
    ]
    if extra:
        words.append(f"flags {extra:#x}")
    return " ".join(words + [f"device {text(name)}" for kind, name in at.items() if kind == 3])


def anonymous(attrs: Attributes) -> bool:
    """Whether a set is part of a rule; then it is compared with the rule."""
    return bool(number(attrs, SET_FLAGS) & ANONYMOUS)


def set_form(attrs: Attributes) -> str:
    """ "map ipv4_addr . inet_service : ipv4_addr interval": the types, and all that is not the default."""
    flags = number(attrs, SET_FLAGS)
    key = " . ".join(type_names(number(attrs, SET_KEY_TYPE)))
    value = " . ".join(type_names(number(attrs, SET_DATA_TYPE)))
    words = [f"map {key} : {value}" if flags & MAP else f"set {key}"]
    # NFT_SET_CONCAT (0x80) follows from the type, and not every version of libnftables sets it
    words.append(_flag_words(flags & ~(MAP | 0x80), _SET_FLAGS))
    words += [f"{name} {value}" for name, value in _set_limits(attrs) if value]
    if SET_EXPR in attrs or SET_EXPRESSIONS in attrs:
        words.append("stateful")
    return " ".join(filter(None, words))


def _set_limits(attrs: Attributes) -> Iterator[tuple[str, int]]:
    yield "policy", number(attrs, SET_POLICY)
    yield "timeout", int.from_bytes(attrs.get(SET_TIMEOUT, b""), "big")
    yield "gc-interval", number(attrs, SET_GC_INTERVAL)
    yield "size", number(dict(attributes(attrs.get(SET_DESC, b""))), 1)


def comment(userdata: bytes) -> str:
    """The comment in the user data of a chain or element (libnftnl/udata.h: type and length are one byte each)."""
    at = 0
    while at + 2 <= len(userdata):
        kind, length = userdata[at], userdata[at + 1]
        if kind == 0:
            return text(userdata[at + 2 : at + 2 + length])
        at += 2 + length
    return ""


def rules_digest(rules: list[Attributes]) -> str:
    """A CRC-32, as eight hex digits, of a chain's rules in their order, without their handles.

    The kernel dumps the expressions of a rule as the same bytes every time.
    """
    crc = 0
    for rule in rules:
        for kind in (RULE_EXPRESSIONS, RULE_USERDATA):
            value = rule.get(kind, b"")
            crc = zlib.crc32(value, zlib.crc32(_U32.pack(len(value)), crc))
    return f"{crc:08x}"
