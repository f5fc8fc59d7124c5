"""``Packet``: a packet that is followed through the rules, with what is known of it."""

from __future__ import annotations

import struct
import sys
from ipaddress import ip_address
from typing import Any

from reconciler.model import data as dataclasses
from reconciler.model.data import dataclass
from reconciler.model.firewall import Load

ND = "ipv6-icmp"  # neighbour discovery: the port of such a packet is its ICMPv6 type
PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132, ND: 58}
NEW, ESTABLISHED, INVALID, UNTRACKED = 8, 2, 1, 64  # NF_CT_STATE_*_BIT
SNAT, DNAT, SEEN_REPLY, CONFIRMED, DNAT_DONE, NAT_DONE = 0x10, 0x20, 0x2, 0x8, 0x100, 0x180  # IPS_*
LOCAL, UNICAST = 2, 1  # RTN_*
_ETHER = {4: b"\x08\x00", 6: b"\x86\xdd"}
_SYN, _SYN_ACK = 0x02, 0x12
_EPHEMERAL = 51515


_OF_SOCKET = {10, 11, 23}  # NFT_META_SKUID, SKGID, CGROUP: the user and the group of the socket


@dataclass(frozen=True, slots=True)
class Link:
    """A link by which a packet comes or leaves; None for what is not known of it."""

    name: str | None
    index: int | None = None
    kind: str | None = None
    group: int | None = None
    ports: tuple[str, ...] = ()  # of a bridge


NO_LINK = Link("", 0, "", 0)


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet at one place of its way; None for what is not known of it."""

    protocol: str
    source: str
    to: str
    source_port: int
    port: int
    iif: Link = NO_LINK
    oif: Link = NO_LINK
    state: int = INVALID  # before connection tracking
    status: int | None = None  # None: it has no conntrack entry
    reply: bool = False
    mark: bytes | None = bytes(4)
    ctmark: bytes | None = bytes(4)
    from_local: bool = False  # its source is an address of this scope
    to_local: bool = False
    bridged: bool = False  # it leaves by a port of the bridge by which it came
    back: bool | None = None  # whether the way to its source leaves by ``iif``
    original: tuple[str, str, int, int] | None = None  # source, destination and ports of the connection's first packet

    @property
    def family(self) -> int:
        return 6 if ":" in self.to else 4

    def value(self, load: Load) -> bytes | None:
        """What the kernel has in the register after the load; None where it is not known."""
        found = self._field(load.what, load.width)
        for change in load.changes if found is not None else ():
            found = _changed(found or b"", change)
        return found

    def _field(self, what: tuple[Any, ...], width: int) -> bytes | None:
        if what[0] == "payload":
            return self._payload(what[1], what[2], width)
        if what[0] == "meta":
            found = self._meta(what[1])
            return found if found is None or what[1] in _OF_SOCKET else found[:width].ljust(width, b"\0")
        if what[0] == "ct":
            return self._ct(what[1], width, what[2])
        if what[0] == "fib":
            return self._fib(what[1], what[2])
        if what[0] == "bridged":
            return bytes([self.bridged])
        return what[1] if isinstance(what[1], bytes) else None

    def _payload(self, base: Any, offset: Any, width: int) -> bytes | None:
        headers = {0: self._frame, 1: self._network, 2: self._transport}
        header = headers[base]() if base in headers else []
        part = header[offset : offset + width] if isinstance(offset, int) else []
        known = [byte for byte in part if byte is not None]
        return bytes(known) if len(known) == width else None

    def _frame(self) -> list[int | None]:
        return [*[None] * 12, *_ETHER[self.family]]

    def _network(self) -> list[int | None]:
        ends = [*ip_address(self.source).packed, *ip_address(self.to).packed]
        protocol = PROTOCOLS[self.protocol]
        if self.family == 6:
            return [0x60, 0, *[None] * 4, protocol, None, *ends]
        return [0x45, 0, *[None] * 4, 0x40, 0, None, protocol, None, None, *ends]  # not a fragment

    def _transport(self) -> list[int | None]:
        if self.protocol == ND:
            return [self.port, 0, None, None]
        ports: list[int | None] = [*struct.pack(">HH", self.source_port, self.port)]
        if self.protocol == "tcp":
            return [*ports, *[None] * 9, _SYN_ACK if self.reply else _SYN]
        return ports

    def _meta(self, key: Any) -> bytes | None:
        if key in _OF_SOCKET:  # a forwarded packet has no socket
            return None if self.iif == NO_LINK else b""
        numbers = {3: self.mark, 4: _index(self.iif), 5: _index(self.oif), 6: _name(self.iif), 7: _name(self.oif)}
        if key in numbers:
            return numbers[key]
        plain = {
            1: _ETHER[self.family],
            15: bytes([2 if self.family == 4 else 10]),
            16: bytes([PROTOCOLS[self.protocol]]),
            19: b"\0",  # PACKET_HOST
            21: _group(self.iif),
            22: _group(self.oif),
            26: self.iif.kind.encode() if self.iif.kind is not None else None,
            27: self.oif.kind.encode() if self.oif.kind is not None else None,
        }
        return plain.get(key)

    def _ct(self, key: Any, width: int, of_original: Any) -> bytes | None:
        if key == 0:
            return u32(self.state)
        if self.status is None:
            return b""  # no entry: no comparison with it can be true
        if key == 2:
            return u32(self.status)
        if key == 3:
            return self.ctmark
        plain = {1: bytes([self.reply]), 7: bytes([2 if self.family == 4 else 10]), 17: bytes(2)}
        plain |= {10: bytes([PROTOCOLS[self.protocol]])}
        if self.original is None or not (of_original or (of_original is None and not self.reply)):
            return plain.get(key)
        source, to, source_port, port = self.original
        ends = {8: source, 19: source, 21: source, 9: to, 20: to, 22: to}
        if key in ends:
            packed = ip_address(ends[key]).packed
            return packed if len(packed) == width else None
        plain |= {11: struct.pack(">H", source_port), 12: struct.pack(">H", port)}
        return plain.get(key)

    def _fib(self, result: Any, flags: Any) -> bytes | None:
        if not isinstance(flags, int):
            return None
        if result == 3 and not flags & 0x1C:  # the type of an address, without a link or mark
            local = self.from_local if flags & 1 else self.to_local
            return u32(LOCAL if local else UNICAST)
        if result == 1 and flags & 0x29 == 0x29 and self.back is not None:  # is there a way back by the same link
            return u32(1 if self.back else 0)
        return None

    def but(self, **fields: Any) -> Packet:
        """A changed copy."""
        return dataclasses.replace(self, **fields)


def answer_to(packet: Packet) -> Packet:
    """The packet that the target sends back, when it leaves the target."""
    return Packet(
        packet.protocol,
        packet.to,
        packet.source,
        packet.port,
        packet.source_port,
        iif=packet.oif,
        reply=True,
        original=packet.original,
    )


def first(protocol: str, source: str, to: str, port: int, iif: Link = NO_LINK) -> Packet:
    """The first packet of a connection."""
    return Packet(protocol, source, to, _EPHEMERAL, port, iif, original=(source, to, _EPHEMERAL, port))


def u32(value: int) -> bytes:
    return struct.pack("=I", value)


def _index(link: Link) -> bytes | None:
    return u32(link.index) if link.index is not None else None


def _group(link: Link) -> bytes | None:
    return u32(link.group) if link.group is not None else None


def _name(link: Link) -> bytes | None:
    return link.name.encode() if link.name is not None else None


def _changed(value: bytes, change: tuple[Any, ...]) -> bytes:
    if change[0] == "swap":
        size = change[1] if isinstance(change[1], int) else 1
        if sys.byteorder == "big":
            return value
        return b"".join(value[at : at + size][::-1] for at in range(0, len(value), size or 1))
    keep, flip = change[1], change[2]
    return bytes(byte & mask ^ xor for byte, mask, xor in zip(value, keep, flip, strict=False))
