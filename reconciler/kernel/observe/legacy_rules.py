"""Reads the rules of iptables-legacy: struct ipt_entry and ip6t_entry (linux/netfilter_ipv4/ip_tables.h)."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Iterator

from reconciler.kernel.nftables import xtables
from reconciler.model.data import NamedTuple
from reconciler.model.firewall import LEGACY, Chain, Do, Doubt, Load, Match, Members, Rule, Step, Verdict

_GET_INFO, _GET_ENTRIES = 64, 65  # IPT_SO_GET_*, IP6T_SO_GET_*
_INFO = struct.Struct("=32sI5I5III")  # ipt_getinfo: name, valid_hooks, hook_entry, underflow, num_entries, size
_HEADER = 40 if struct.calcsize("P") == 8 else 36  # size of struct ipt_get_entries with its padding
_HOOKS = ("prerouting", "input", "forward", "output", "postrouting")  # NF_INET_*
_PRIORITIES = {"raw": -300, "mangle": -150, "filter": 0, "security": 50}
_NAT = {"prerouting": -100, "output": -100, "input": 100, "postrouting": 100}
_VERDICTS = {-1: "drop", -2: "accept", -4: "queue", -5: "return"}  # -NF_DROP - 1 and so on


class _Form(NamedTuple):
    """The sizes of one IP version's structs."""

    family: str
    names: str  # the file under /proc/net with the tables in use
    domain: int
    level: int
    address: int  # bytes of an address
    offsets: int  # where target_offset and next_offset are
    matches: int  # where the matches begin


_FORMS = (
    _Form("ip", "ip_tables_names", socket.AF_INET, socket.IPPROTO_IP, 4, 88, 112),
    _Form("ip6", "ip6_tables_names", socket.AF_INET6, socket.IPPROTO_IPV6, 16, 140, 168),
)


def chains() -> tuple[Chain, ...]:
    """The chains of the tables in use; another one is not read, because reading would create it."""
    return tuple(chain for form in _FORMS for table in _in_use(form.names) for chain in _of_table(form, table))


def _in_use(names: str) -> list[str]:
    try:
        with open(f"/proc/thread-self/net/{names}", encoding="ascii", errors="replace") as file:
            return sorted(file.read().split())
    except OSError:
        return []


def _of_table(form: _Form, table: str) -> list[Chain]:
    with socket.socket(form.domain, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_RAW) as sock:
        try:
            name = table.encode().ljust(32, b"\0")
            info = _INFO.unpack(_ask(sock, form.level, _GET_INFO, name.ljust(_INFO.size, b"\0")))
            request = (name + struct.pack("=I", info[-1])).ljust(_HEADER + info[-1], b"\0")
            data = _ask(sock, form.level, _GET_ENTRIES, request)[_HEADER:]
        except OSError:
            return [_unreadable(form, table)]
    try:
        return list(_Blob(form, table, data, info).chains())
    except (struct.error, IndexError, ValueError):
        return [_unreadable(form, table)]


def _unreadable(form: _Form, table: str) -> Chain:
    rule = Rule((Doubt("rules that netrecon cannot read", verdict=True),), 1)
    return Chain(LEGACY, form.family, table, "FORWARD", (rule,), "forward")


def _ask(sock: socket.socket, level: int, option: int, request: bytes) -> bytes:
    """getsockopt(2) with a request in the buffer, which socket.getsockopt cannot pass; raises OSError."""
    library = ctypes.CDLL(None, use_errno=True)
    buffer, length = ctypes.create_string_buffer(request, len(request)), ctypes.c_uint32(len(request))
    if library.getsockopt(sock.fileno(), level, option, buffer, ctypes.byref(length)) != 0:
        code = ctypes.get_errno() or errno.EIO
        raise OSError(code, os.strerror(code))
    return buffer.raw[: length.value]


class _Blob:
    """The entries of one table: rules follow each other, and a chain begins where a hook or an ERROR target says."""

    def __init__(self, form: _Form, table: str, data: bytes, info: tuple[int, ...]) -> None:
        self._form, self._table, self._data = form, table, data
        valid, entries, self._underflows = info[1], info[2:7], info[7:12]
        self._heads = {entries[number]: hook.upper() for number, hook in enumerate(_HOOKS) if valid & 1 << number}
        self._ends = {self._underflows[number] for number in range(5) if valid & 1 << number}

    def chains(self) -> Iterator[Chain]:
        name, rules, policy = "", list[Rule](), "accept"
        places = list(self._entries())
        for _at, target, behind in places:
            if self._name(target) == "ERROR":
                label = self._data[target + 32 : target + 62].split(b"\0")[0].decode("utf-8", "replace")
                self._heads[behind] = label  # a chain's rules follow its head
        for at, target, behind in places:
            if at in self._heads:
                if name:
                    yield self._chain(name, rules, policy)
                name, rules, policy = self._heads[at], [], "accept"
            if at in self._ends:
                policy = self._verdict(at, target, behind).code
            elif self._name(target) != "ERROR" and name:
                rules.append(Rule(tuple(self._steps(at, target, behind)), len(rules) + 1))
        if name and name != "ERROR":
            yield self._chain(name, rules, policy)

    def _chain(self, name: str, rules: list[Rule], policy: str) -> Chain:
        if rules and rules[-1].steps == (xtables.RETURN,):  # the end of a chain that is only jumped to
            rules = rules[:-1]
        chain = Chain(LEGACY, self._form.family, self._table, name, tuple(rules))
        hook = name.lower()
        if name.isupper() and hook in _HOOKS:
            nat = self._table == "nat"
            priority = _NAT.get(hook, 0) if nat else _PRIORITIES.get(self._table, 0)
            return chain._replace(hook=hook, kind="nat" if nat else "filter", priority=priority, policy=policy)
        return chain

    def _entries(self) -> Iterator[tuple[int, int, int]]:
        """(start, target, next entry) of each entry, as offsets."""
        at = 0
        while at < len(self._data):
            target, size = struct.unpack_from("=HH", self._data, at + self._form.offsets)
            if size <= 0:
                raise ValueError("an entry without length")
            yield at, at + target, at + size
            at += size

    def _name(self, at: int) -> str:
        return self._data[at + 2 : at + 31].split(b"\0")[0].decode("utf-8", "replace")

    def _verdict(self, at: int, target: int, behind: int) -> Verdict:
        value = struct.unpack_from("=i", self._data, target + 32)[0]
        if value < 0:
            return Verdict(_VERDICTS.get(value, "queue"))
        if value == behind:  # a rule without a target
            return Verdict("continue")
        four = self._form.address == 4
        flags = self._data[at + 4 * self._form.address + 64 + (2 if four else 3)]
        goto = flags & (2 if four else 4)  # IPT_F_GOTO, IP6T_F_GOTO
        return Verdict("goto" if goto else "jump", self._heads.get(value, "?"))

    def _steps(self, at: int, target: int, behind: int) -> Iterator[Step]:
        yield from self._head(at)
        place = at + self._form.matches
        while place < target:
            size = struct.unpack_from("=H", self._data, place)[0]
            if size <= 0:
                raise ValueError("a match without length")
            info = self._data[place + 32 : place + size]
            yield from xtables.match(self._name(place), self._data[place + 31], info, self._form.family)
            place += size
        name = self._name(target)
        if name == "":
            yield Do("verdict", self._verdict(at, target, behind))
        else:
            size = struct.unpack_from("=H", self._data, target)[0]
            yield from xtables.target(name, self._data[target + 31], self._data[target + 32 : target + size])

    def _head(self, at: int) -> Iterator[Step]:
        """struct ipt_ip and ip6t_ip6: addresses, masks, names of links, their masks, protocol, flags."""
        width, data = self._form.address, self._data
        four = width == 4
        names, behind = at + 4 * width, at + 4 * width + 64
        protocol = struct.unpack_from("=H", data, behind)[0]
        inverted = data[behind + 3] if four else data[behind + 4]
        for number, bit in ((0, 0x08), (1, 0x10)):
            value = data[at + number * width : at + (number + 1) * width]
            mask = data[at + (2 + number) * width : at + (3 + number) * width]
            if any(mask):
                load = xtables.address(self._form.family, number == 0)
                masked = load._replace(changes=(("mask", mask, bytes(width)),) if mask != b"\xff" * width else ())
                yield xtables.equals(masked, value, bool(inverted & bit))
        for number, bit, key in ((0, 0x01, 6), (1, 0x02, 7)):
            length = data[names + 32 + number * 16 : names + 48 + number * 16].count(b"\xff")
            if length:
                value = data[names + number * 16 : names + number * 16 + length]
                yield xtables.equals(Load(("meta", key), length), value, bool(inverted & bit))
        if protocol and (four or data[behind + 3] & 1):
            yield xtables.equals(Load(("meta", 16), 1), bytes([protocol & 255]), bool(inverted & 0x40))
        flags = data[behind + 2] if four else data[behind + 3]
        if four and flags & 1:  # -f: fragments
            yield Match((), Members({}))
