"""Decodes the expressions of nftables rules into steps (linux/netfilter/nf_tables.h)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

from reconciler.kernel.nftables import xtables
from reconciler.kernel.nftables.nft_decode import Attributes, attributes, number, text
from reconciler.model.firewall import Do, Doubt, Load, Match, Members, Pick, Step, Verdict

_CODES = {
    0: "drop",
    1: "accept",
    3: "queue",
    0xFFFFFFFF: "continue",
    0xFFFFFFFE: "continue",
    0xFFFFFFFD: "jump",
    0xFFFFFFFC: "goto",
    0xFFFFFFFB: "return",
}
# They neither look at the packet nor decide about it; a limit lets a single packet pass.
_IDLE = {"counter", "log", "last", "dup", "flow_offload"}
_EQ, _NEQ, _LT, _LTE, _GT, _GTE = range(6)
_LIMIT_INVERTED = {"limit": (5, 1), "connlimit": (2, 1), "quota": (2, 1)}  # attribute and bit of "over"
_META_MARK, _CT_MARK, _CT_ZONE = 3, 3, 17
_DREG_VERDICT = 0


class Sets:
    """The sets of a table: the length of their keys, and their elements, read when a rule needs them."""

    def __init__(self, lengths: Mapping[str, tuple[int, bool]], read: Callable[[str], list[Attributes]]) -> None:
        self._lengths = lengths  # name -> (bytes of a key, whether elements are intervals)
        self._read = read
        self._known: dict[tuple[str, tuple[int, ...]], Members] = {}

    def length(self, name: str) -> int:
        """The bytes of a key, 4 where there is no such set."""
        return self._lengths.get(name, (4, False))[0]

    def members(self, name: str, widths: tuple[int, ...]) -> Members:
        """The elements of a set whose keys have fields of these lengths."""
        place = (name, widths)
        if place not in self._known:
            interval = self._lengths.get(name, (4, False))[1]
            self._known[place] = members_of(self._read(name), widths, interval)
        return self._known[place]


def steps(expressions: bytes, family: str, sets: Sets) -> tuple[Step, ...]:
    """The steps of a rule, from its NFTA_RULE_EXPRESSIONS.  Raises KernelError and ValueError."""
    machine = _Machine(family, sets)
    for _, element in attributes(expressions):
        machine.add(*_expression(element))
    return tuple(machine.steps)


@lru_cache(4096)
def _expression(element: bytes) -> tuple[str, Attributes]:
    """The name and the attributes of an expression; rules share most of theirs."""
    expression = dict(attributes(element))
    return text(expression.get(1, b"")), dict(attributes(expression.get(2, b"")))


def verdict_of(data: bytes) -> Verdict | None:
    """The verdict in an NFTA_DATA_VERDICT; None for a plain value."""
    inner = dict(attributes(data))
    if 2 not in inner:
        return None
    parts = dict(attributes(inner[2]))
    return Verdict(_CODES.get(number(parts, 1), "queue"), text(parts.get(2, b"")))


def value_of(data: bytes) -> bytes:
    """The bytes in an NFTA_DATA_VALUE."""
    return dict(attributes(data)).get(1, b"")


class _Machine:
    """Follows the registers through a rule: each expression reads some, and gives a step or fills others."""

    def __init__(self, family: str, sets: Sets) -> None:
        self.steps: list[Step] = []
        self._family = family
        self._sets = sets
        self._registers: dict[int, Load | None] = {}  # by number of a 32-bit register
        self._verbs: dict[str, Callable[[Attributes], None]] = {
            "payload": self._payload,
            "meta": self._meta,
            "ct": self._ct,
            "fib": self._fib,
            "cmp": self._cmp,
            "range": self._range,
            "bitwise": self._bitwise,
            "byteorder": self._byteorder,
            "lookup": self._lookup,
            "immediate": self._immediate,
            "match": self._match,
            "target": self._target,
            "nat": self._nat,
            "dynset": self._dynset,
            "objref": self._objref,
        }

    def add(self, name: str, attrs: Attributes) -> None:
        verb = self._verbs.get(name)
        if verb is not None:
            verb(attrs)
        elif name in _LIMIT_INVERTED:
            kind, bit = _LIMIT_INVERTED[name]
            if number(attrs, kind) & bit:  # "over": a single packet is not
                self.steps.append(Do("never", words=f"{name} over"))
        elif name in ("masq", "redir", "reject", "notrack"):
            words = {"masq": "snat", "redir": "dnat"}.get(name, name)
            shown = {"masq": "masquerade", "redir": "redirect"}.get(name, name)
            self.steps.append(Do(words, words=shown))
        elif name not in _IDLE:
            decides = name in ("queue", "fwd", "tproxy", "synproxy")
            self.steps.append(Doubt(name, decides))
            self._registers.clear() if not decides else None

    # -------------------------------------------------------------- registers

    @staticmethod
    def _place(register: int) -> int:
        """A register as a number of 32-bit registers: NFT_REG_1 to 4 are four of NFT_REG32_00 (8) and following."""
        return register * 4 if register <= 4 else register - 4

    def _fill(self, register: int, load: Load | None) -> None:
        self._registers[self._place(register)] = load

    def _at(self, register: int) -> Load | None:
        return self._registers.get(self._place(register))

    def _fields(self, register: int, length: int) -> tuple[Load, ...] | None:
        """The loads that fill ``length`` bytes from the register on; None where one is not known."""
        found: list[Load] = []
        place, left = self._place(register), length
        while left > 0:
            load = self._registers.get(place)
            if load is None:
                return None
            words = (load.width + 3) // 4
            found.append(load)
            place, left = place + words, left - words * 4
        return tuple(found)

    def _payload(self, attrs: Attributes) -> None:
        if 1 not in attrs:  # it writes into the packet
            self.steps.append(Do("unknown fields", words="payload set"))
            return
        self._fill(number(attrs, 1), Load(("payload", number(attrs, 2), number(attrs, 3)), number(attrs, 4)))

    def _meta(self, attrs: Attributes) -> None:
        key = number(attrs, 2)
        if 3 in attrs:
            if key == _META_MARK:
                self.steps.append(Do("mark", load=self._at(number(attrs, 3)), words="meta mark set"))
            return
        width = {1: 2, 6: 16, 7: 16, 8: 2, 9: 2, 15: 1, 16: 1, 17: 16, 18: 16, 19: 1, 26: 16, 27: 16}.get(key, 4)
        self._fill(number(attrs, 1), Load(("meta", key), width))

    def _ct(self, attrs: Attributes) -> None:
        key = number(attrs, 2)
        if 4 in attrs:
            if key == _CT_MARK:
                self.steps.append(Do("ctmark", load=self._at(number(attrs, 4)), words="ct mark set"))
            elif key == _CT_ZONE:  # answers are looked for in the zone of their own link
                self.steps.append(Doubt("ct zone set", verdict=True))
            return
        address = 16 if self._family == "ip6" else 4
        width = {1: 1, 7: 1, 8: address, 9: address, 10: 1, 11: 2, 12: 2, 13: 16, 14: 8, 15: 8, 17: 2, 21: 16, 22: 16}
        direction = attrs.get(3, b"")[:1] == b"\0" if 3 in attrs else None  # IP_CT_DIR_ORIGINAL
        self._fill(number(attrs, 1), Load(("ct", key, direction), width.get(key, 4)))

    def _fib(self, attrs: Attributes) -> None:
        width = 16 if number(attrs, 2) == 2 else 4
        self._fill(number(attrs, 1), Load(("fib", number(attrs, 2), number(attrs, 3)), width))

    def _changed(self, attrs: Attributes, change: tuple[Any, ...] | None, width: int | None = None) -> None:
        load = self._at(number(attrs, 1))
        if load is not None and change is not None:
            load = load._replace(changes=(*load.changes, change), width=width or load.width)
        self._fill(number(attrs, 2), load if change is not None else None)

    def _bitwise(self, attrs: Attributes) -> None:
        if number(attrs, 6):  # shifts, and operations of two registers
            self._changed(attrs, None)
        else:
            self._changed(attrs, ("mask", value_of(attrs[4]), value_of(attrs[5])))

    def _byteorder(self, attrs: Attributes) -> None:
        self._changed(attrs, ("swap", number(attrs, 5)))

    # -------------------------------------------------------------- comparisons

    def _test(self, register: int, length: int, members: Members, negated: bool) -> None:
        loads = self._fields(register, length)
        if loads is None:
            self.steps.append(Doubt("a comparison with a value that netrecon does not know"))
        else:
            self.steps.append(Match(loads, members, negated))

    def _cmp(self, attrs: Attributes) -> None:
        register, operator, data = number(attrs, 1), number(attrs, 2), value_of(attrs[3])
        load = self._at(register)
        if load is not None and load.width > len(data):  # "eth*": the first bytes alone are compared
            self._registers = {**self._registers, self._place(register): load._replace(width=len(data))}
        low, high = bytes(len(data)), b"\xff" * len(data)
        if operator in (_EQ, _NEQ):
            members = Members({(data,): None})
        elif operator in (_LT, _GTE):
            members = Members({}, (((data,), (high,), None),))
        else:
            members = Members({}, (((low,), (data,), None),))
        self._test(register, len(data), members, operator in (_NEQ, _LT, _GT))
        if load is not None:
            self._registers[self._place(register)] = load

    def _range(self, attrs: Attributes) -> None:
        first, last = value_of(attrs[3]), value_of(attrs[4])
        self._test(number(attrs, 1), len(first), Members({}, (((first,), (last,), None),)), number(attrs, 2) == 1)

    def _lookup(self, attrs: Attributes) -> None:
        name = text(attrs[1])
        loads = self._fields(number(attrs, 2), self._sets.length(name))
        to_verdict = 3 in attrs and number(attrs, 3) == _DREG_VERDICT
        if loads is None:
            self.steps.append(Doubt("a look-up of a value that netrecon does not know", to_verdict))
            return
        members = self._sets.members(name, tuple(load.width for load in loads))
        shown = "" if name.startswith("__") else name
        if to_verdict:
            self.steps.append(Pick(loads, members, shown))
            return
        self.steps.append(Match(loads, members, bool(number(attrs, 5) & 1), shown))
        if 3 in attrs:
            self._fill(number(attrs, 3), None)

    def _immediate(self, attrs: Attributes) -> None:
        verdict = verdict_of(attrs[2])
        if verdict is not None:
            self.steps.append(Do("verdict", verdict))
        else:
            value = value_of(attrs[2])
            self._fill(number(attrs, 1), Load(("const", value), len(value)))

    # -------------------------------------------------------------- iptables, NAT

    def _match(self, attrs: Attributes) -> None:
        self.steps += xtables.match(text(attrs[1]), number(attrs, 2), attrs.get(3, b""), self._family)

    def _target(self, attrs: Attributes) -> None:
        self.steps += xtables.target(text(attrs[1]), number(attrs, 2), attrs.get(3, b""))

    def _dynset(self, attrs: Attributes) -> None:
        """An element is added to a set; a limit that goes with it ends the rule as one of its own would."""
        listed = [attrs[7]] if 7 in attrs else [one for _, one in attributes(attrs.get(10, b""))]
        for one in listed:
            expression = dict(attributes(one))
            self.add(text(expression.get(1, b"")), dict(attributes(expression.get(2, b""))))
        self.steps.append(Do("adds", words=f"add @{text(attrs.get(1, b''))}"))

    def _objref(self, attrs: Attributes) -> None:
        kind = number(attrs, 1)
        if kind in (2, 4, 5) or 3 in attrs:  # a quota, limit or count of connections that has a name
            self.steps.append(Doubt(f"a limit called {text(attrs.get(2, b''))}".strip()))
        elif kind not in (1, 3, 7, 8, 9):  # a counter, or what is noted for the connection
            self.steps.append(Doubt("an object of nftables", verdict=True))

    def _nat(self, attrs: Attributes) -> None:
        name = "dnat" if number(attrs, 1) == 1 else "snat"
        family = number(attrs, 2) if 2 in attrs else 0
        if self._family == "inet" and family in (2, 10):  # NFPROTO_*: packets of the other IP version pass by
            self.steps.append(Match((Load(("meta", 15), 1),), Members({(bytes([family]),): None})))
        to = _shown(self._at(number(attrs, 3)) if 3 in attrs else None)
        at = self._at(number(attrs, 5)) if 5 in attrs else None
        port = f":{int.from_bytes(at.what[1], 'big')}" if at is not None and at.what[0] == "const" else ""
        self.steps.append(Do(name, words=f"{name} to {to}{port}" if to or port else name))


def _shown(load: Load | None) -> str:
    """A constant address."""
    if load is None or load.what[0] != "const" or len(load.what[1]) not in (4, 16):
        return ""
    return str(ip_address(load.what[1]))


def members_of(elements: list[Attributes], widths: tuple[int, ...], interval: bool) -> Members:
    """The elements of a set or map."""
    exact: dict[tuple[bytes, ...], Verdict | None] = {}
    spans: list[tuple[tuple[bytes, ...], tuple[bytes, ...], Verdict | None]] = []
    rest: Verdict | None = None
    marks: list[tuple[bytes, bool, Verdict | None]] = []
    for element in elements:
        verdict = verdict_of(element[2]) if 2 in element else None
        flags = number(element, 3)
        if flags & 2:  # catch-all
            rest = verdict or Verdict("continue")
            continue
        key = value_of(element[1])
        if 10 in element:
            spans.append((_split(key, widths), _split(value_of(element[10]), widths), verdict))
        elif interval and len(widths) == 1:
            marks.append((key, bool(flags & 1), verdict))
        else:
            exact[_split(key, widths)] = verdict
    return Members(exact, (*spans, *_intervals(marks)), rest)


def _split(key: bytes, widths: tuple[int, ...]) -> tuple[bytes, ...]:
    if len(widths) == 1:
        return (key,)
    parts, at = [], 0
    for width in widths:
        parts.append(key[at : at + width])
        at += (width + 3) & ~3
    return tuple(parts)


def _intervals(
    marks: list[tuple[bytes, bool, Verdict | None]],
) -> list[tuple[tuple[bytes, ...], tuple[bytes, ...], Verdict | None]]:
    """Starts and ends joined; an end is the first value behind the interval, and the last interval may have none."""
    spans: list[tuple[tuple[bytes, ...], tuple[bytes, ...], Verdict | None]] = []
    behind: bytes | None = None
    for key, ends, verdict in sorted(marks, key=lambda mark: (mark[0], not mark[1]), reverse=True):
        if not ends:
            last = b"\xff" * len(key) if behind is None else _before(behind)
            spans.append(((key,), (last,), verdict))
        behind = key
    return spans[::-1]


def _before(value: bytes) -> bytes:
    return (int.from_bytes(value, "big") - 1).to_bytes(len(value), "big")
