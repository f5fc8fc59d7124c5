"""Asks the kernel by which link and gateway it would send a packet (RTM_GETROUTE, rtnetlink(7))."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Sequence

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import transport
from reconciler.model.errors import Failure
from reconciler.model.rows import Ask, Way

RTM_GETROUTE = 26
RTA_DST, RTA_SRC, RTA_IIF, RTA_OIF, RTA_GATEWAY, RTA_PREFSRC, RTA_METRICS = 1, 2, 3, 4, 5, 7, 8
RTAX_MTU = 2
RTA_MARK, RTA_VIA = 16, 18
RTA_IP_PROTO, RTA_SPORT, RTA_DPORT = 27, 28, 29
_RTMSG = struct.Struct("=BBBBBBBBI")  # rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags
_TYPES = {1: "unicast", 2: "local", 3: "broadcast", 4: "anycast", 5: "multicast"}  # RTN_* of linux/rtnetlink.h
# The kernel answers for a route that drops the packet with an error (fib_props in net/ipv4/fib_semantics.c).
_DROPS = {errno.EINVAL: "blackhole", errno.EHOSTUNREACH: "unreachable", errno.EACCES: "prohibit"}

Packet = Ask


def ways(kernel: Kernel, scope: str, packets: Sequence[Packet]) -> list[Way]:
    """The way of each packet from or through the scope, asked in windows.  Raises KernelError without the namespace."""
    sock = kernel.socket(scope)
    answers = transport.exchange(sock, [transport.message(RTM_GETROUTE, _question(packet)) for packet in packets])
    return [_none(failure) if failure is not None else _way(body) for failure, body in answers]


def way(kernel: Kernel, scope: str, packet: Packet) -> Way:
    """As ``ways`` for one packet."""
    return ways(kernel, scope, [packet])[0]


def _question(packet: Packet) -> bytes:
    family = socket.AF_INET6 if ":" in packet.to else socket.AF_INET
    to, source = (socket.inet_pton(family, text) if text else b"" for text in (packet.to, packet.source))
    # strict checking (NETLINK_GET_STRICT_CHK) wants prefix lengths for the addresses that are given
    head = _RTMSG.pack(family, 8 * len(to), 8 * len(source), 0, 0, 0, 0, 0, 0)
    numbers = ((RTA_IIF, packet.iif), (RTA_OIF, packet.oif), (RTA_MARK, packet.mark))
    body = head + transport.attribute(RTA_DST, to)
    if source:
        body += transport.attribute(RTA_SRC, source)
    for kind, number in numbers:
        if number:
            body += transport.attribute(kind, struct.pack("=I", number))
    if packet.protocol:
        body += transport.attribute(RTA_IP_PROTO, bytes([packet.protocol]))
    for kind, number in ((RTA_SPORT, packet.source_port), (RTA_DPORT, packet.port)):
        if number:
            body += transport.attribute(kind, struct.pack(">H", number))
    return body


def _none(failure: Failure) -> Way:
    return Way(_DROPS.get(failure.errno, ""), error=str(failure), errno=failure.errno)


def _way(body: bytes) -> Way:
    family, *_, kind, _flags = _RTMSG.unpack_from(body)
    attrs = dict(transport.attributes(body, _RTMSG.size))
    via = attrs.get(RTA_VIA, b"")  # struct rtvia: the gateway of another family
    gateway = _address(family, attrs.get(RTA_GATEWAY, b"")) or (
        _address(struct.unpack_from("=H", via)[0], via[2:]) if via else ""
    )
    source = _address(family, attrs.get(RTA_PREFSRC, b""))
    oif = struct.unpack("=I", attrs.get(RTA_OIF, bytes(4)))[0]
    metrics = dict(transport.attributes(attrs.get(RTA_METRICS, b""), 0))
    mtu = struct.unpack("=I", metrics.get(RTAX_MTU, bytes(4)))[0]
    return Way(_TYPES.get(kind, str(kind)), oif, gateway, source, mtu=mtu)


def _address(family: int, value: bytes) -> str:
    return socket.inet_ntop(family, value) if value else ""
