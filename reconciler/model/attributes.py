"""Tables of link attributes: the word in a topology, the kernel's number, and how the value is encoded.

A kind of link declares its table once; the reader decodes by it, the writer encodes by it, and the kind compares by it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

# Plain classes: Python makes one in a tenth of the time of a dataclass.  They are compared by identity.
_Function = Callable[[Any], Any]


class Wire:
    """How one type of value is encoded: ``pack`` to bytes, ``unpack`` from bytes, ``normal`` to its canonical form.

    ``unpack`` raises ValueError or struct.error for malformed bytes, ``normal`` raises ValueError for an invalid value.
    """

    __slots__ = ("normal", "pack", "unpack")

    def __init__(self, pack: _Function, unpack: _Function, normal: _Function) -> None:
        self.pack, self.unpack, self.normal = pack, unpack, normal


class Attribute:
    """One attribute: ``word`` in topologies, ``number`` in the kernel (IFLA_*).

    ``birth`` is the value of a new link that was given none; None where the kernel has no fixed default.  With
    ``secret``, the value is a Secret in every object and row.  ``inner`` is the table of a nested attribute, whose
    value is a tuple of (word, value).  ``held`` gives what the kernel makes of a value, None where it keeps each.
    """

    __slots__ = ("birth", "held", "inner", "number", "secret", "wire", "word")

    def __init__(
        self,
        word: str,
        number: int,
        wire: Wire,
        secret: bool = False,
        birth: Any = None,
        inner: Table | None = None,
        held: _Function | None = None,
    ) -> None:
        self.word, self.number, self.wire = word, number, wire
        self.secret, self.birth, self.inner, self.held = secret, birth, inner, held

    def __repr__(self) -> str:
        return f"{self.word} ({self.number})"


class Table:
    """The attributes of one nesting level, in order; ValueError where two have the same word or number."""

    __slots__ = ("_by_word",)

    def __init__(self, *attributes: Attribute) -> None:
        self._by_word = {attribute.word: attribute for attribute in attributes}
        numbers = {attribute.number for attribute in attributes}
        if len(self._by_word) != len(attributes) or len(numbers) != len(attributes):
            raise ValueError("two attributes of a table have one word or one number")

    def __iter__(self) -> Iterator[Attribute]:
        return iter(self._by_word.values())

    def __getitem__(self, word: str) -> Attribute:
        return self._by_word[word]

    def __contains__(self, word: object) -> bool:
        return word in self._by_word

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(self._by_word)


class Tables:
    """What the reader reads: which attributes of which link types (IFLA_INFO_KIND), and which dumps.

    ``own``: link type -> attributes of such a link (IFLA_INFO_DATA).  ``port``: link type -> attributes of the ports of
    such a link (IFLA_INFO_SLAVE_DATA).  ``explains``: link type -> attributes beside its own that are only read.
    ``dumps``: the fields of ScopeState to read beside the links; None for all.
    """

    __slots__ = ("dumps", "explains", "own", "port")

    def __init__(
        self,
        own: Mapping[str, Table] | None = None,
        port: Mapping[str, Table] | None = None,
        dumps: frozenset[str] | None = None,
        explains: Mapping[str, Table] | None = None,
    ) -> None:
        self.own, self.port, self.explains, self.dumps = own or {}, port or {}, explains or {}, dumps


# ------------------------------------------------------------------ types of values


def _same(value: Any) -> Any:
    return value


def _maker(pack: _Function, unpack: _Function, normal: _Function = _same) -> Callable[..., Attribute]:
    wire = Wire(pack, unpack, normal)

    def make(
        word: str, number: int, *, secret: bool = False, birth: Any = None, held: _Function | None = None
    ) -> Attribute:
        return Attribute(word, number, wire, secret, birth, held=held)

    return make


def _number(form: str) -> Callable[..., Attribute]:
    layout = struct.Struct(form)
    return _maker(layout.pack, lambda data: layout.unpack(data)[0], int)


def _truth(form: str) -> Callable[..., Attribute]:
    layout = struct.Struct(form)
    return _maker(lambda value: layout.pack(int(value)), lambda data: bool(layout.unpack(data)[0]), bool)


def _text_of(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _absent(data: bytes) -> bool:
    if data:
        raise ValueError("a flag has no value")
    return True


u8, u16, u32, u64 = (_number(form) for form in ("=B", "=H", "=I", "=Q"))
be16, be32 = _number(">H"), _number(">I")
bool8, bool32 = _truth("=B"), _truth("=I")
mac = _maker(
    lambda value: bytes.fromhex(value.replace(":", "")), lambda data: data.hex(":"), lambda value: value.lower()
)
text = _maker(lambda value: value.encode("utf-8", "surrogateescape") + b"\0", _text_of, str)
ipv4 = _maker(
    lambda value: IPv4Address(value).packed,
    lambda data: str(IPv4Address(data)),
    lambda value: str(IPv4Address(value)),
)
ipv6 = _maker(
    lambda value: IPv6Address(value).packed,
    lambda data: str(IPv6Address(data)),
    lambda value: str(IPv6Address(value)),
)
ip = _maker(
    lambda value: ip_address(value).packed,
    lambda data: str(ip_address(data)),
    lambda value: str(ip_address(value)),
)
FLAG = Wire(lambda _value: b"", _absent, bool)  # an attribute without a payload: present is true, absent is false
NESTED = Wire(lambda value: value, lambda data: data, _same)  # never called: the inner table encodes and decodes


def flag(word: str, number: int) -> Attribute:
    """An attribute without a payload: present is true, absent is false."""
    return Attribute(word, number, FLAG, birth=False)


def nested(word: str, number: int, *inner: Attribute) -> Attribute:
    """An attribute whose payload is other attributes."""
    return Attribute(word, number, NESTED, inner=Table(*inner))


def normal(attribute: Attribute, value: Any) -> Any:
    """A value of a document in canonical form: a mapping as (word, value) pairs in the order of the table.

    Raises ValueError where the value is invalid.
    """
    from reconciler.model.secret import Secret

    if attribute.inner is not None:
        return tuple((inner.word, normal(inner, value[inner.word])) for inner in attribute.inner if inner.word in value)
    canonical = attribute.wire.normal(value)
    return Secret(canonical) if attribute.secret else canonical
