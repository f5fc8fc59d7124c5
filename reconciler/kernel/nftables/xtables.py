"""Decodes matches and targets of iptables into steps (linux/netfilter/xt_*.h)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import Any

from reconciler.model.firewall import Do, Doubt, Load, Match, Members, Step, Verdict

STATE, STATUS, MARK = ("ct", 0, None), ("ct", 2, None), ("meta", 3)
_SNAT, _DNAT = 0x10, 0x20  # IPS_SRC_NAT, IPS_DST_NAT
_NEVER = Do("never")

# They neither look at the packet nor decide about it; a limit lets a single packet pass.
_IDLE_MATCHES = {"comment", "limit"}
_IDLE_TARGETS = set(
    "LOG NFLOG ULOG TRACE TCPMSS TCPOPTSTRIP CLASSIFY DSCP TOS TTL HL CHECKSUM AUDIT RATEEST SET SECMARK "
    "CONNSECMARK IDLETIMER LED TEE ECN HMARK".split()
)


def u32(value: int) -> bytes:
    """A number in the byte order of the host, as the kernel has marks, states and indexes."""
    return struct.pack("=I", value)


def masked(what: tuple[Any, ...], mask: int, width: int = 4) -> Load:
    """A number of the host's byte order, of which only some bits are looked at."""
    return Load(what, width, (("mask", struct.pack("=I", mask)[:width], bytes(width)),))


def equals(load: Load, value: bytes, negated: bool = False) -> Match:
    return Match((load,), Members({(value,): None}), negated)


def between(load: Load, spans: list[tuple[bytes, bytes]], negated: bool = False) -> Match:
    return Match((load,), Members({}, tuple(((low,), (high,), None) for low, high in sorted(spans))), negated)


def port(offset: int) -> Load:
    """The source (0) or destination (2) port."""
    return Load(("payload", 2, offset), 2)


def address(family: str, source: bool) -> Load:
    """The source or destination address."""
    if family == "ip6":
        return Load(("payload", 1, 8 if source else 24), 16)
    return Load(("payload", 1, 12 if source else 16), 4)


def match(name: str, revision: int, info: bytes, family: str) -> list[Step]:
    """The steps of a match; a Doubt for one that is not known or not as long as it should be."""
    if name in _IDLE_MATCHES:
        return []
    decode = _MATCHES.get((name, revision)) or _MATCHES.get((name, -1))
    try:
        return list(decode(info, family)) if decode else [Doubt(f"-m {name}")]
    except (struct.error, ValueError, IndexError):
        return [Doubt(f"-m {name}")]


def target(name: str, revision: int, info: bytes) -> list[Step]:
    """The steps of a target that is no verdict."""
    if name in _IDLE_TARGETS:
        return [Do("idle", words=f"-j {name}")]
    if name in ("DNAT", "REDIRECT", "NETMAP"):
        return [Do("dnat", words=f"-j {name}" + (_destination(info) if (name, revision) == ("DNAT", 2) else ""))]
    if name in ("SNAT", "MASQUERADE"):
        return [Do("snat", words=f"-j {name}")]
    if name == "REJECT":
        return [Do("reject", words="-j REJECT")]
    if name in ("NOTRACK", "CT"):
        off = name == "NOTRACK" or bool(info and info[0] & 1)  # XT_CT_NOTRACK
        if not off and info[2:4] != bytes(2):  # answers are looked for in the zone of their own link
            return [Doubt("-j CT --zone", verdict=True)]
        return [Do("notrack" if off else "idle", words=f"-j {name}" + (" --notrack" if name == "CT" and off else ""))]
    if name in ("MARK", "CONNMARK"):
        return [_set_mark(name, revision, info)]
    return [Doubt(f"-j {name}", verdict=True)]


def _destination(info: bytes) -> str:
    """struct nf_nat_range2; an IPv4 address fills the first bytes of its place."""
    flags, first, port = struct.unpack_from("=I16s16xH", info)
    to = str(ip_address(first if any(first[4:]) else first[:4])) if flags & 1 else ""
    at = struct.unpack(">H", struct.pack("=H", port))[0]
    to = f"[{to}]" if ":" in to and flags & 2 else to
    return f" --to-destination {to}" + (f":{at}" if flags & 2 else "")


def _set_mark(name: str, revision: int, info: bytes) -> Step:
    what = "mark" if name == "MARK" else "ctmark"
    if len(info) < 8 or (name, revision) not in {("MARK", 2), ("CONNMARK", 1), ("CONNMARK", 2)}:
        return Do(what, words=f"-j {name}")
    value, mask = struct.unpack_from("=II", info)
    mode = info[12 if revision == 1 else 14] if name == "CONNMARK" else 0
    if mode:  # save (1) and restore (2) copy the one to the other
        return Do("mark" if mode == 2 else "ctmark", load=Load(MARK if mode == 1 else ("ct", 3, None), 4))
    keep = ~mask & 0xFFFFFFFF
    of = MARK if name == "MARK" else ("ct", 3, None)
    return Do(what, load=Load(of, 4, (("mask", u32(keep), u32(value)),)), words=f"-j {name}")


# ------------------------------------------------------------------ matches


def _ports(info: bytes, _family: str) -> Iterator[Step]:
    """struct xt_tcp and xt_udp: both begin with the ranges of ports; flags and option follow in xt_tcp."""
    source_low, source_high, low, high = struct.unpack_from("=4H", info)
    tcp = len(info) >= 12
    inverted = info[11] if tcp else info[8]
    if tcp and info[8]:
        yield Doubt("--tcp-option")
    if (source_low, source_high) != (0, 0xFFFF):
        yield _span(port(0), source_low, source_high, bool(inverted & 1))
    if (low, high) != (0, 0xFFFF):
        yield _span(port(2), low, high, bool(inverted & 2))
    if tcp and info[9]:
        flags = Load(("payload", 2, 13), 1, (("mask", info[9:10], b"\0"),))
        yield equals(flags, info[10:11], bool(inverted & 4))


def _udp(info: bytes, family: str) -> Iterator[Step]:
    return _ports(info[:9], family)


def _span(load: Load, low: int, high: int, negated: bool = False) -> Match:
    if low == high:
        return equals(load, struct.pack(">H", low), negated)
    return between(load, [(struct.pack(">H", low), struct.pack(">H", high))], negated)


def _multiport(info: bytes, _family: str) -> Iterator[Step]:
    flags, count, *rest = struct.unpack_from("=BB15H15BB", info)
    ports, joined, inverted = rest[:15], rest[15:30], rest[30]
    spans, at = [], 0
    while at < count:
        last = at + 1 if joined[at] else at
        spans.append((struct.pack(">H", ports[at]), struct.pack(">H", ports[last])))
        at = last + 1
    if flags > 1:
        yield Doubt("-m multiport --ports")  # the one or the other port
    else:
        yield between(port(2 * flags), spans, bool(inverted))


def _conntrack(info: bytes, family: str) -> Iterator[Step]:
    """struct xt_conntrack_mtinfo2 and 3."""
    flags, inverted, states, statuses = struct.unpack_from("=4H", info, 146)
    if flags & 0x1:
        yield from _states(states, bool(inverted & 1))
    if flags & 0x40:
        status = masked(("ct", 2, None), statuses)
        yield Match((status,), Members({(bytes(4),): None}), not inverted & 0x40)
    if flags & 0x2:
        protocol = struct.unpack_from("=H", info, 136)[0]
        yield equals(Load(("ct", 10, None), 1), bytes([protocol & 255]), bool(inverted & 2))
    if flags & 0x1000:
        yield equals(Load(("ct", 1, None), 1), b"\0", not inverted & 0x1000)  # inverted: --ctdir ORIGINAL
    for bit, at in ((0x4, 0), (0x8, 32)):
        if flags & bit:
            width = 16 if family == "ip6" else 4
            mask = info[at + 16 : at + 16 + width]
            load = Load(("ct", 8 if bit == 4 else 9, True), width, (("mask", mask, bytes(width)),))
            yield equals(load, info[at : at + width], bool(inverted & bit))
    for bit, at, end, key in ((0x100, 138, 154, 11), (0x200, 140, 156, 12)):
        if flags & bit:
            low = struct.unpack_from("=H", info, at)[0]
            high = struct.unpack_from("=H", info, end)[0] if len(info) >= end + 2 else low
            yield _span(Load(("ct", key, True), 2), low, max(low, high), bool(inverted & bit))
    if flags & ~0x334F:
        yield Doubt("-m conntrack")


def _states(states: int, negated: bool) -> Iterator[Step]:
    """Bits: INVALID 1, ESTABLISHED 2, RELATED 4, NEW 8 as in nftables; SNAT, DNAT and UNTRACKED have other places."""
    plain = states & 0xF | (0x40 if states & 0x100 else 0)
    translated = (_SNAT if states & 0x40 else 0) | (_DNAT if states & 0x80 else 0)
    none = Members({(bytes(4),): None})
    if not translated:
        yield Match((masked(STATE, plain),), none, not negated)
    elif not plain:
        yield Match((masked(STATUS, translated),), none, not negated)
    else:  # the one or the other: neither has a bit only if both are zero
        loads = (masked(STATE, plain), masked(STATUS, translated))
        yield Match(loads, Members({(bytes(4), bytes(4)): None}), not negated)


def _state(info: bytes, _family: str) -> Iterator[Step]:
    yield from _states(struct.unpack_from("=I", info)[0], False)


def _mark(info: bytes, _family: str) -> Iterator[Step]:
    value, mask, inverted = struct.unpack_from("=IIB", info)
    yield equals(masked(MARK, mask), u32(value), bool(inverted))


def _connmark(info: bytes, _family: str) -> Iterator[Step]:
    value, mask, inverted = struct.unpack_from("=IIB", info)
    yield equals(masked(("ct", 3, None), mask), u32(value), bool(inverted))


def _addrtype(info: bytes, _family: str) -> Iterator[Step]:
    source, destination, flags = struct.unpack_from("=HHI", info)
    if flags & 0xC:
        yield Doubt("-m addrtype --limit-iface-in")
        return
    for types, direction, inverted in ((source, 1, flags & 1), (destination, 2, flags & 2)):
        if types:
            values: dict[tuple[bytes, ...], None] = {
                (u32(number),): None for number in range(16) if types & 1 << number
            }
            yield Match((Load(("fib", 3, direction), 4),), Members(values), bool(inverted))


def _iprange(info: bytes, family: str) -> Iterator[Step]:
    width, flags = 16 if family == "ip6" else 4, info[64]
    for bit, at, source in ((1, 0, True), (2, 32, False)):
        if flags & bit:
            span = (info[at : at + width], info[at + 16 : at + 16 + width])
            yield between(address(family, source), [span], bool(flags & bit << 4))


def _pkttype(info: bytes, _family: str) -> Iterator[Step]:
    kind, inverted = struct.unpack_from("=II", info)
    yield equals(Load(("meta", 19), 1), bytes([kind & 255]), bool(inverted))


def _physdev(info: bytes, _family: str) -> Iterator[Step]:
    """struct xt_physdev_info: four names of 16 bytes, what is inverted, what is asked."""
    if info[65] != 4:  # XT_PHYSDEV_OP_BRIDGED
        yield Doubt("-m physdev")
    else:
        yield equals(Load(("bridged",), 1), b"\1", bool(info[64] & 4))


def _rpfilter(info: bytes, _family: str) -> Iterator[Step]:
    loose, inverted = info[0] & 1, bool(info[0] & 8)
    if loose:
        yield Doubt("-m rpfilter --loose")
    else:  # the way back leaves by the link by which the packet came (NFTA_FIB_F_SADDR, _IIF, _PRESENT)
        yield equals(Load(("fib", 1, 0x29), 4), bytes(4), not inverted)


def _icmp(_info: bytes, _family: str) -> Iterator[Step]:
    yield _NEVER  # no ICMP of IPv4 is followed


def _icmp6(info: bytes, _family: str) -> Iterator[Step]:
    """struct ip6t_icmp; the codes of what is followed are 0."""
    if info[0] != 0xFF:
        yield equals(Load(("payload", 2, 0), 1), info[:1], bool(info[3] & 1))


def _hashlimit(info: bytes, _family: str) -> Iterator[Step]:
    """A single packet is below the limit: struct xt_hashlimit_mtinfo1 (a short name first), 2 and 3 (a long one)."""
    mode = struct.unpack_from("=I", info, 16 if len(info) < 256 else 272)[0]
    if mode & 0x10:  # XT_HASHLIMIT_INVERT: above the limit
        yield _NEVER


def _owner(info: bytes, _family: str) -> Iterator[Step]:
    """struct xt_owner_match_info; a packet without a socket matches only what is inverted."""
    if info[17]:
        yield Doubt("-m owner")
    else:
        low, high = struct.unpack_from("=II", info, 0 if info[16] & 1 else 8)
        yield between(Load(("meta", 10 if info[16] & 1 else 11), 4, (("swap", 4),)), [(_be(low), _be(high))])


def _be(value: int) -> bytes:
    return struct.pack(">I", value)


def _connlimit(info: bytes, _family: str) -> Iterator[Step]:
    flags = struct.unpack_from("=I", info, 20)[0]
    if not flags & 1:  # XT_CONNLIMIT_INVERT: as long as there are at most so many
        yield _NEVER


_MATCHES: dict[tuple[str, int], Callable[[bytes, str], Iterator[Step]]] = {
    ("tcp", 0): _ports,
    ("udp", 0): _udp,
    ("multiport", 1): _multiport,
    ("conntrack", 2): _conntrack,
    ("conntrack", 3): _conntrack,
    ("state", 0): _state,
    ("mark", 1): _mark,
    ("connmark", 1): _connmark,
    ("addrtype", 1): _addrtype,
    ("iprange", 1): _iprange,
    ("pkttype", 0): _pkttype,
    ("physdev", 0): _physdev,
    ("rpfilter", 0): _rpfilter,
    ("icmp", 0): _icmp,
    ("icmp6", 0): _icmp6,
    ("connlimit", 1): _connlimit,
    ("owner", 1): _owner,
    ("hashlimit", 1): _hashlimit,
    ("hashlimit", 2): _hashlimit,
    ("hashlimit", 3): _hashlimit,
}

ACCEPT, DROP, RETURN = (Do("verdict", Verdict(code)) for code in ("accept", "drop", "return"))
