"""Rules in the words of nft and of iptables, to show them and to add them."""

from __future__ import annotations

import shlex
import struct
import sys
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Any

from reconciler.model.firewall import (
    IPTABLES,
    LEGACY,
    NFT,
    Chain,
    Do,
    Doubt,
    Load,
    Match,
    Members,
    Pick,
    Rule,
    Step,
    Verdict,
)

_STATES = {1: "invalid", 2: "established", 4: "related", 8: "new", 64: "untracked"}
_STATUSES = {1: "expected", 2: "seen-reply", 4: "assured", 8: "confirmed", 16: "snat", 32: "dnat", 512: "dying"}
_TYPES = {0: "unspec", 1: "unicast", 2: "local", 3: "broadcast", 4: "anycast", 5: "multicast"}
_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 47: "gre", 50: "esp", 58: "ipv6-icmp", 132: "sctp"}
_META = {
    3: "mark",
    4: "iif",
    5: "oif",
    6: "iifname",
    7: "oifname",
    16: "meta l4proto",
    15: "meta nfproto",
    19: "pkttype",
}
_META |= {1: "meta protocol", 10: "skuid", 11: "skgid", 21: "iifgroup", 22: "oifgroup", 26: "iifkind", 27: "oifkind"}
_CT = {0: "state", 1: "direction", 2: "status", 3: "mark", 8: "saddr", 9: "daddr", 10: "protocol", 11: "proto-src"}
_CT |= {12: "proto-dst", 13: "label", 17: "zone", 19: "ip saddr", 20: "ip daddr", 21: "ip6 saddr", 22: "ip6 daddr"}
_ETHER = {b"\x08\x00": "ip", b"\x08\x06": "arp", b"\x86\xdd": "ip6"}
_SHOWN = 6  # elements of a set that are shown


def rule_text(chain: Chain, rule: Rule) -> str:
    """The rule as people write it."""
    words = _nft_words if chain.maker == NFT else _iptables_words
    return " ".join(filter(None, words(rule))) or "a rule without conditions"


def place_text(chain: Chain) -> str:
    """The chain with all that finds it: its hook and priority, and its policy if that drops."""
    tool = f"{tool_of(chain)}'s " if chain.maker == LEGACY else ""
    name = f"{tool}chain {chain.name} of table {chain.family} {chain.table}"
    if not chain.hook:
        return name
    return f"{name} (hook {chain.hook}, " + (
        f"policy {chain.policy})" if chain.policy == "drop" else f"priority {chain.priority})"
    )


def tool_of(chain: Chain) -> str:
    """The command of iptables that has the chain."""
    name = "ip6tables" if chain.family == "ip6" else "iptables"
    return name + chain.maker.removeprefix(IPTABLES)


def insertion(chain: Chain, rule: Rule) -> str:
    """The shell line that puts the rule in front of all others of the chain."""
    if chain.maker == NFT:
        start = ["nft", "insert", "rule", chain.family, chain.table, chain.name]
        words = [word for text in _nft_words(rule) for word in ([text] if '"' in text else text.split())]
        return " ".join([*map(shlex.quote, start), *(word if word in "{}" else _quoted(word) for word in words)])
    table = [] if chain.table == "filter" else ["-t", chain.table]
    words = [word for text in _iptables_words(rule) for word in text.split(" ")]
    return " ".join(map(shlex.quote, [tool_of(chain), *table, "-I", chain.name, *words]))


def _quoted(word: str) -> str:
    if '"' in word and " " in word:  # iifname "eth0": the quotes are nft's
        return " ".join(shlex.quote(part) for part in word.split(" ", 1))
    return shlex.quote(word)


# ------------------------------------------------------------------ nft


def _nft_words(rule: Rule) -> Iterator[str]:
    protocol = ""
    for step in rule.steps:
        if isinstance(step, Doubt):
            yield f"<{step.words}>"
        elif isinstance(step, Do):
            yield _verdict(step)
        elif isinstance(step, Match) and step.loads and step.loads[0].what == ("meta", 15):
            continue  # the words of the address say it
        elif isinstance(step, Match) and _is_protocol(step):
            protocol = _value(step.loads[0], next(iter(step.members.exact))[0])
            if not _has_ports(rule):
                yield f"meta l4proto {protocol}"
        else:
            yield _comparison(step, protocol)


def _verdict(step: Do) -> str:
    if step.verdict is not None:
        return f"{step.verdict.code} {step.verdict.chain}".strip()
    return step.words or step.what


def _is_protocol(step: Match) -> bool:
    return (
        step.loads[0].what == ("meta", 16) and not step.negated and len(step.members.exact) == 1
        if step.loads
        else False
    )


def _has_ports(rule: Rule) -> bool:
    loads = [load for step in rule.steps if isinstance(step, Match | Pick) for load in step.loads]
    return any(load.what in (("payload", 2, 0), ("payload", 2, 2)) and load.width == 2 for load in loads)


def _comparison(step: Step, protocol: str) -> str:
    assert isinstance(step, Match | Pick)
    fields = " . ".join(_field(load, protocol) for load in step.loads)
    if isinstance(step, Pick):
        return f"{fields} vmap {f'@{step.name}' if step.name else _set(step.loads, step.members)}"
    if (limit := _limit(step)) is not None:
        return f"{fields} {limit}"
    if (bits := _bits(step)) is not None:
        return f"{fields} {'' if step.negated else '!= '}{bits}"
    return f"{fields} {'!= ' if step.negated else ''}{f'@{step.name}' if step.name else _set(step.loads, step.members)}"


def _field(load: Load, protocol: str) -> str:
    kind, *rest = load.what
    if kind == "meta":
        return _META.get(rest[0], f"meta {rest[0]}")
    if kind == "ct":
        return f"ct {_CT.get(rest[0], rest[0])}"
    if kind == "fib":
        flags = rest[1] if isinstance(rest[1], int) else 0
        parts = [
            word for bit, word in ((1, "saddr"), (2, "daddr"), (4, "mark"), (8, "iif"), (16, "oif")) if flags & bit
        ]
        return f"fib {' . '.join(parts)} {('', 'oif', 'oifname', 'type')[rest[0]] if rest[0] in (1, 2, 3) else ''}"
    if kind == "payload":
        return _header_field(rest[0], rest[1], load.width, protocol)
    return "a constant"


def _header_field(base: object, offset: object, width: int, protocol: str) -> str:
    if base == 2 and offset == 0 and width == 1:
        return "icmpv6 type" if protocol == "ipv6-icmp" else "icmp type"
    if base == 2 and offset in (0, 2) and width == 2:
        return f"{protocol or 'th'} {'dport' if offset else 'sport'}"
    names = {12: "ip saddr", 16: "ip daddr", 8: "ip6 saddr", 24: "ip6 daddr", 9: "ip protocol", 6: "ip6 nexthdr"}
    if base == 1 and offset in names and (width <= 4 or offset in (8, 24)):
        return names[offset]
    if base == 2 and offset == 13 and width == 1:
        return "tcp flags"
    return f"@{('ll', 'nh', 'th', 'ih')[base] if base in (0, 1, 2, 3) else base},{offset},{width}"


def _bits(step: Match) -> str | None:
    """The names of the bits of which one is set (``negated``) or none is: ``ct state established,related``."""
    if len(step.loads) != 1 or step.members.spans or list(step.members.exact) != [(bytes(4),)]:
        return None
    load = step.loads[0]
    names = {("ct", 0): _STATES, ("ct", 2): _STATUSES}.get(load.what[:2])
    if names is None or not load.changes or not isinstance(load.changes[0][1], bytes):
        return None
    mask = struct.unpack("=I", load.changes[0][1])[0]
    return ",".join(name for bit, name in names.items() if mask & bit) or str(mask)


def _limit(step: Match) -> str | None:
    """A span that has no beginning or no end: ``>= 8000``."""
    if len(step.loads) != 1 or step.members.exact or len(step.members.spans) != 1:
        return None
    (low,), (high,), _ = step.members.spans[0]
    if not any(low):
        return f"{'>' if step.negated else '<='} {_value(step.loads[0], high)}"
    if set(high) == {0xFF}:
        return f"{'<' if step.negated else '>='} {_value(step.loads[0], low)}"
    return None


def _set(loads: tuple[Load, ...], members: Members) -> str:
    texts = [_element(loads, key, key) + _to(verdict) for key, verdict in members.exact.items()]
    texts += [_element(loads, first, last) + _to(verdict) for first, last, verdict in members.spans]
    if len(texts) == 1 and not _to(next(iter([*members.exact.values(), *(span[2] for span in members.spans)]))):
        return texts[0]
    return f"{{ {', '.join(texts[:_SHOWN] if len(texts) > 100 else texts)}{', ...' if len(texts) > 100 else ''} }}"


def _to(verdict: Verdict | None) -> str:
    return f" : {verdict.code} {verdict.chain}".rstrip() if verdict is not None else ""


def _element(loads: tuple[Load, ...], first: tuple[bytes, ...], last: tuple[bytes, ...]) -> str:
    parts = []
    for load, low, high in zip(loads, first, last, strict=True):
        parts.append(_value(load, low) if low == high else _range(load, low, high))
    return " . ".join(parts)


def _range(load: Load, low: bytes, high: bytes) -> str:
    return f"{_value(load, low)}-{_value(load, high)}"


def _value(load: Load, value: bytes) -> str:
    kind, *rest = load.what
    if kind == "meta" and rest[0] in (6, 7, 17, 18, 26, 27):
        name = value.rstrip(b"\0").decode("utf-8", "replace")
        return f'"{name}*"' if len(value) < 16 and not value.endswith(b"\0") else f'"{name}"'
    if kind == "payload" and rest[0] == 1 and rest[1] in (8, 12, 16, 24):
        return _address(load, value)
    number = int.from_bytes(
        value, "big" if kind == "payload" or any(c[0] == "swap" for c in load.changes) else sys.byteorder
    )
    if load.what == ("meta", 1):
        return _ETHER.get(value, str(number))
    names = {("meta", 16): _PROTOCOLS, ("ct", 0): _STATES, ("ct", 2): _STATUSES, ("fib", 3): _TYPES}
    if kind == "payload" and rest[0] == 1 and rest[1] in (6, 9):
        return _PROTOCOLS.get(number, str(number))
    if kind == "fib" and rest[0] == 1:
        return "exists" if number else "missing"
    return names.get((kind, rest[0]), {}).get(number, str(number))


def _address(load: Load, value: bytes) -> str:
    """An address, or the prefix that the load or its mask leaves of it."""
    size = 16 if load.what[2] in (8, 24) else 4
    length = 8 * len(value)
    if load.changes and isinstance(load.changes[0][1], bytes):
        length = bin(int.from_bytes(load.changes[0][1], "big")).count("1")
    full = ip_address(value.ljust(size, b"\0")[:size])
    return str(full) if length == 8 * size else str(ip_network((full, length), strict=False))


# ------------------------------------------------------------------ iptables


def _flags(load: Load) -> str:
    return _flags_of(load.changes[0][1][0]) if load.changes else "ALL"


def _flags_of(bits: int) -> str:
    names = ("FIN", "SYN", "RST", "PSH", "ACK", "URG")
    return ",".join(name for place, name in enumerate(names) if bits & 1 << place) or "NONE"


def _iptables_words(rule: Rule) -> Iterator[str]:
    for step in rule.steps:
        if isinstance(step, Doubt):
            yield step.words if step.words.startswith("-") else f"<{step.words}>"
        elif isinstance(step, Do):
            yield _jump(step)
        elif step.loads:
            no = "! " if isinstance(step, Match) and step.negated else ""
            yield _match(step, no)


def _jump(step: Do) -> str:
    if step.verdict is None:
        return step.words if step.words.startswith("-") else f"-j {step.words.upper()}" if step.words else ""
    code, chain = step.verdict
    if code in ("jump", "goto"):
        return f"-{'j' if code == 'jump' else 'g'} {chain}"
    return f"-j {code.upper()}" if code != "continue" else ""


def _match(step: Step, no: str) -> str:
    assert isinstance(step, Match | Pick)
    load = step.loads[0]
    if isinstance(step, Match) and (bits := _bits(step)) is not None:
        word = "--ctstate" if load.what[1] == 0 or bits in ("dnat", "snat") else "--ctstatus"
        return f"-m conntrack {'' if step.negated else '! '}{word} {bits.upper()}"
    if load.what == ("bridged",):
        return f"-m physdev {no}--physdev-is-bridged"
    value = _set(step.loads, step.members).strip("{ }").replace(", ", ",")
    words: dict[tuple[Any, ...], str] = {
        ("meta", 6): "-i",
        ("meta", 7): "-o",
        ("meta", 16): "-p",
        ("meta", 3): "-m mark --mark",
    }
    words |= {("meta", 10): "-m owner --uid-owner", ("meta", 11): "-m owner --gid-owner"}
    words |= {("payload", 1, 12): "-s", ("payload", 1, 16): "-d", ("payload", 1, 8): "-s", ("payload", 1, 24): "-d"}
    words |= {("fib", 3, 1): "-m addrtype --src-type", ("fib", 3, 2): "-m addrtype --dst-type"}
    if load.what == ("payload", 2, 0) and load.width == 1:
        return f"-m icmp6 {no}--icmpv6-type {value}"
    if load.what in (("payload", 2, 0), ("payload", 2, 2)):
        word = "dport" if load.what[2] else "sport"
        several = "," in value
        return f"{'-m multiport ' if several else ''}{no}--{word}{'s' if several else ''} {value.replace('-', ':')}"
    if load.what == ("payload", 2, 13):
        return f"{no}--tcp-flags {_flags(load)} {_flags_of(next(iter(step.members.exact))[0][0])}"
    if load.what in words:
        value = value.upper() if load.what[0] == "fib" else value.replace('*"', '+"').strip('"')
        return (
            f"{no}{words[load.what]} {value}"
            if not words[load.what].startswith("-m")
            else f"{words[load.what].replace(' --', f' {no}--')} {value}"
        )
    return _comparison(step, "")
