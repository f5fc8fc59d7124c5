"""Decodes elements of nf_tables sets and maps in bulk: 10,000 take some milliseconds."""

from __future__ import annotations

import functools
import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import IPv6Address, ip_address, ip_network, summarize_address_range
from itertools import repeat
from typing import Any

from reconciler.kernel.netlink.decode import malformed
from reconciler.kernel.nftables.nft_decode import (
    INTERVAL,
    MAP,
    SET_DATA_TYPE,
    SET_FLAGS,
    SET_KEY_TYPE,
    Attributes,
    attributes,
    comment,
    number,
    type_names,
)
from reconciler.model.data import NamedTuple

Elements = dict[tuple[Any, ...], tuple[Any, ...]]

ELEM_KEY, ELEM_DATA, ELEM_FLAGS, ELEM_TIMEOUT, ELEM_USERDATA = 1, 2, 3, 4, 6
ELEM_EXPR, ELEM_KEY_END, ELEM_EXPRESSIONS = 7, 10, 11
ELEM_LIST_ELEMENTS = 3
INTERVAL_END = 1  # NFT_SET_ELEM_INTERVAL_END
CATCHALL = 2

_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp"}


@functools.lru_cache(1 << 16)
def _ipv6(raw: bytes) -> str:
    return str(IPv6Address(raw))


def _protocol(value: int) -> str:
    return _PROTOCOLS.get(value) or str(value)


def _name(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode("utf-8", "replace")


def _same(value: int) -> int:
    return value


# type of a field -> (struct layout, padded to four bytes as in a register; conversion of the value; is it an address)
_FIELDS: dict[str, tuple[str, Callable[[Any], Any], bool]] = {
    "ipv4_addr": ("4s", functools.lru_cache(1 << 16)(socket.inet_ntoa), True),
    "ipv6_addr": ("16s", _ipv6, True),
    "inet_proto": ("B3x", functools.lru_cache(256)(_protocol), False),
    "inet_service": ("H2x", _same, False),
    "ifname": ("16s", functools.lru_cache(1 << 12)(_name), False),
}


class Layout(NamedTuple):
    """The types of the fields of a set's keys and values."""

    key: tuple[str, ...]
    value: tuple[str, ...]
    interval: bool


def layout(attrs: Attributes) -> Layout | None:
    """The layout of a set, from its attributes; None where it has types that our tables never have."""
    flags = number(attrs, SET_FLAGS)
    key = type_names(number(attrs, SET_KEY_TYPE))
    value = type_names(number(attrs, SET_DATA_TYPE)) if flags & MAP else ()
    if not key or not all(name in _FIELDS for name in key + value):
        return None
    return Layout(key, value, bool(flags & INTERVAL))


def decode(bodies: Sequence[bytes], form: Layout) -> Elements:
    """Key -> value of the elements in the bodies of NFT_MSG_NEWSETELEM messages, in the form of TableRow.elements.

    A comment, a timeout or a state of an element is added to its value as words; a catch-all element ("*") has
    an empty key.  Raises KernelError for bytes that do not follow the format.
    """
    try:
        return _decode(bodies, form)
    except (ValueError, IndexError, OverflowError, OSError, struct.error):
        raise malformed("nf_tables elements") from None


def _decode(bodies: Sequence[bytes], form: Layout) -> Elements:
    elements: Elements = {}
    lists = [value for body in bodies for kind, value in attributes(body, 4) if kind == ELEM_LIST_ELEMENTS]
    if form.interval and len(form.key) == 1:  # start and end are two elements, in any message
        return _ranges([element for data in lists for element in _each(data)], form)
    for data in lists:
        if form.interval or not _decode_uniform(data, form, elements):
            elements.update(_element(element, form) for element in _each(data))
    return elements


def _decode_uniform(data: bytes, form: Layout, elements: Elements) -> bool:
    """Decode column by column a list whose elements all have a key, in a map a value, and nothing else.

    False, and nothing decoded, where the list is not so.
    """
    pattern = ">12s" + _layout_of(form.key) + ("8s" + _layout_of(form.value) if form.value else "")
    size = struct.calcsize(pattern)
    if not data or len(data) % size or not _plain(data[:size], form):
        return False
    columns = list(zip(*struct.iter_unpack(pattern, data), strict=True))
    keys = 1 + len(form.key)
    if len(set(columns[0])) != 1 or (form.value and len(set(columns[keys])) != 1):
        return False
    values: Iterable[tuple[Any, ...]] = _rows(form.value, columns[keys + 1 :]) if form.value else repeat(())
    elements.update(zip(_rows(form.key, columns[1:keys]), values, strict=False))
    return True


def _plain(data: bytes, form: Layout) -> bool:
    """Whether these bytes are one element that has only a key and, in a map, a value."""
    elements = list(_each(data))
    if len(elements) != 1:
        return False
    wanted = {ELEM_KEY: form.key, **({ELEM_DATA: form.value} if form.value else {})}
    lengths = {kind: len(_raw(elements[0], kind)) for kind in elements[0]}
    return lengths == {kind: struct.calcsize(">" + _layout_of(names)) for kind, names in wanted.items()}


def _layout_of(names: tuple[str, ...]) -> str:
    return "".join(_FIELDS[name][0] for name in names)


def _rows(names: tuple[str, ...], columns: Sequence[Sequence[Any]]) -> Iterator[tuple[Any, ...]]:
    fields = zip(names, columns, strict=True)
    return zip(*(map(_FIELDS[name][1], column) for name, column in fields), strict=True)


def _each(data: bytes) -> Iterator[Attributes]:
    return (dict(attributes(element)) for _, element in attributes(data))


def _raw(element: Attributes, kind: int) -> bytes:
    return dict(attributes(element.get(kind, b""))).get(1, b"")


def _fields(names: tuple[str, ...], raw: bytes) -> tuple[Any, ...]:
    pattern = ">" + _layout_of(names)
    if len(names) == 1:  # a single field is not padded
        raw = raw.ljust(struct.calcsize(pattern), b"\0")
    if len(raw) != struct.calcsize(pattern):
        return (raw.hex(),)
    values = zip(names, struct.unpack(pattern, raw), strict=True)
    return tuple(_FIELDS[name][1](value) for name, value in values)


def _element(element: Attributes, form: Layout) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    if number(element, ELEM_FLAGS) & CATCHALL:
        key: tuple[Any, ...] = ()
    else:
        key = _fields(form.key, _raw(element, ELEM_KEY))
        if ELEM_KEY_END in element:
            key = _spans(form.key, key, _fields(form.key, _raw(element, ELEM_KEY_END)))
    return key, _value(element, form)


def _value(element: Attributes, form: Layout) -> tuple[Any, ...]:
    value = _fields(form.value, _raw(element, ELEM_DATA)) if form.value else ()
    return value + tuple(_extras(element))


def _extras(element: Attributes) -> Iterator[str]:
    if note := comment(element.get(ELEM_USERDATA, b"")):
        yield f"comment {note}"
    if ELEM_TIMEOUT in element:
        yield "timeout"
    if ELEM_EXPR in element or ELEM_EXPRESSIONS in element:
        yield "stateful"


def _spans(names: tuple[str, ...], first: tuple[Any, ...], last: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(
        _span(a, b) if _FIELDS[name][2] else (a if a == b else f"{a}-{b}")
        for name, a, b in zip(names, first, last, strict=False)
    )


def _span(first: str, last: str) -> str:
    """The prefix from ``first`` to ``last`` where there is one, else "first-last"."""
    low, high = ip_address(first), ip_address(last)
    if low == high:
        return str(ip_network(low))
    try:
        networks = list(summarize_address_range(low, high))
    except (TypeError, ValueError):
        return f"{first}-{last}"
    return str(networks[0]) if len(networks) == 1 else f"{first}-{last}"


def _ranges(elements: list[Attributes], form: Layout) -> Elements:
    """Join the starts and ends of intervals; an interval up to the last address has no end in the kernel."""
    ranges: Elements = {}
    end = int.from_bytes(b"\xff" * struct.calcsize(_layout_of(form.key)), "big") + 1
    width = (end - 1).bit_length() // 8

    def place(element: Attributes) -> tuple[int, bool]:
        closes = bool(number(element, ELEM_FLAGS) & INTERVAL_END)
        return int.from_bytes(_raw(element, ELEM_KEY), "big"), not closes

    for element in sorted(elements, key=place, reverse=True):
        at, starts = place(element)
        if starts:
            last = (end - 1).to_bytes(width, "big")
            key = _spans(form.key, _fields(form.key, _raw(element, ELEM_KEY)), _fields(form.key, last))
            ranges[key] = _value(element, form)
        end = at
    return dict(reversed(ranges.items()))
