"""Sees datagrams of probes on the links of a namespace: arriving at it, or leaving it (packet(7))."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Iterator

from reconciler.model.data import NamedTuple
from reconciler.model.errors import Failure, KernelError

_MARK = b"netr"  # what the filter looks for
_ETH_P_ALL = 0x0003
_SO_ATTACH_FILTER = 26
_IPV4_PAYLOAD, _IPV6_PAYLOAD = 28, 48  # headers of IP, without options, and of UDP
_UDP = 17
# struct sock_filter (bpf(4)): code, jump if true, jump if false, value
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_VALUE = int.from_bytes(_MARK, "big")
_PROGRAM = (
    (_LOAD, 0, 0, _IPV4_PAYLOAD),
    (_EQUAL, 3, 0, _VALUE),
    (_LOAD, 0, 0, _IPV6_PAYLOAD),
    (_EQUAL, 1, 0, _VALUE),
    (_RETURN, 0, 0, 0),
    (_RETURN, 0, 0, 0xFFFF),
)


class Seen(NamedTuple):
    """A probe's datagram: the probe's number, the link, whether it leaves by it, its source, its destination port."""

    number: int
    link: str
    leaving: bool
    source: str
    port: int


def token(number: int) -> bytes:
    """The payload of a probe's datagram."""
    return b"netrecon %d %d" % (os.getpid(), number)


def open_watcher() -> socket.socket:
    """A packet socket in the calling thread's namespace that gets probes' datagrams only, of every link."""
    try:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, socket.htons(_ETH_P_ALL))
        program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _PROGRAM))
        filtered = struct.pack("HP", len(_PROGRAM), ctypes.addressof(program))
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filtered)
    except OSError as error:
        raise KernelError("watch packets", Failure(error.errno or errno.EIO)) from None
    return sock


def seen(sock: socket.socket) -> Iterator[Seen]:
    """The datagrams of this process's probes that the watcher has."""
    while True:
        try:
            data, (link, _protocol, kind, *_) = sock.recvfrom(2048)
        except OSError:
            return
        six = data[0] >> 4 == 6
        at, protocol = (_IPV6_PAYLOAD, data[6]) if six else (_IPV4_PAYLOAD, data[9])
        words = data[at:].split()
        if protocol == _UDP and words[:2] == [b"netrecon", b"%d" % os.getpid()]:
            source = socket.inet_ntop(socket.AF_INET6 if six else socket.AF_INET, data[8:24] if six else data[12:16])
            port = int.from_bytes(data[at - 6 : at - 4], "big")
            yield Seen(int(words[2]), link, kind == socket.PACKET_OUTGOING, source, port)
