"""Raw netlink: dumps, and requests sent in windows, each with its acknowledgement (netlink(7), linux/netlink.h)."""

from __future__ import annotations

import errno
import itertools
import os
import socket
import struct
from collections.abc import Iterator

from reconciler.model.errors import Failure, KernelError

ROUTE = 0
NETFILTER = 12

NLM_F_REQUEST = 0x1
NLM_F_MULTI = 0x2
NLM_F_ACK = 0x4
NLM_F_ECHO = 0x8
NLM_F_DUMP_INTR = 0x10
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_DUMP = 0x300
NLM_F_CREATE = 0x400
NLM_F_APPEND = 0x800
NLM_F_CAPPED = 0x100  # in an NLMSG_ERROR: the request is not echoed beyond its header
NLM_F_ACK_TLVS = 0x200  # in an NLMSG_ERROR or NLMSG_DONE: extended-ack attributes follow

NLMSG_ERROR = 2
NLMSG_DONE = 3
NLMSGERR_ATTR_MSG = 1
NLMSGERR_ATTR_OFFS = 2

SOL_NETLINK = 270
NETLINK_CAP_ACK = 10
NETLINK_EXT_ACK = 11
NETLINK_GET_STRICT_CHK = 12
SO_RCVBUFFORCE = 33

RECEIVE_BUFFER = 8 << 20
DATAGRAM = 1 << 16  # the kernel fills at most 32 KiB of a dump into one datagram
TIMEOUT = 60  # seconds to wait for an answer: a lost one ends in an error instead of a hang
RETRIES = 20  # times that a dump is repeated when its list changed meanwhile
WINDOW = 64  # requests sent before their ACKs are read; 2,000 ACKs would overflow a default receive buffer
WINDOW_BYTES = 1 << 16

HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_FLAGS = struct.Struct("=H")
_SEQUENCE = struct.Struct("=I")
_ERROR = struct.Struct("=i")
_ATTRIBUTE = struct.Struct("=HH")

_sequence = itertools.count(1)

Message = tuple[int, bytes]  # type, and what follows the nlmsghdr
Answer = tuple[Failure | None, bytes]  # of a request: its failure, and the body of what the kernel answered beside ACK


def open_socket(protocol: int) -> socket.socket:
    """A netlink socket in the calling thread's network namespace, with strict checks and extended acks on."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    for option in (NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK):
        sock.setsockopt(SOL_NETLINK, option, 1)
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", TIMEOUT, 0))
    sock.bind((0, 0))
    return sock


def message(kind: int, body: bytes, flags: int = 0) -> bytes:
    """One request with NLM_F_ACK; its sequence number is filled in when it is sent."""
    return HEADER.pack(16 + len(body), kind, flags | NLM_F_REQUEST | NLM_F_ACK, 0, 0) + body


def echoed(request: bytes) -> bytes:
    """The request with NLM_F_ECHO: the kernel answers with its notification of the change too."""
    (flags,) = _FLAGS.unpack_from(request, 6)
    return request[:6] + _FLAGS.pack(flags | NLM_F_ECHO) + request[8:]


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute (TLV), padded to four bytes."""
    return _ATTRIBUTE.pack(4 + len(value), kind) + value + bytes(-len(value) % 4)


# ------------------------------------------------------------------ dumps


def dump(sock: socket.socket, kind: int, body: bytes) -> list[Message]:
    """All messages that answer one dump request.

    ``kind`` is the request's type (RTM_GETLINK, ...), ``body`` its header and filters.  A dump during which
    the kernel's list changed may be inconsistent (NLM_F_DUMP_INTR) and is repeated.  Raises
    KernelError with the kernel's extended-ack text.
    """
    for _ in range(RETRIES):
        messages = _dump_once(sock, kind, body)
        if messages is not None:
            return messages
    raise KernelError("read", Failure(errno.EAGAIN, "the configuration keeps changing while it is read"))


def _dump_once(sock: socket.socket, kind: int, body: bytes) -> list[Message] | None:
    """The messages, or None for a dump that may be inconsistent or of which a part was lost."""
    sequence = next(_sequence) & 0xFFFFFFFF
    sock.send(HEADER.pack(16 + len(body), kind, NLM_F_REQUEST | NLM_F_DUMP, sequence, 0) + body)
    messages: list[Message] = []
    whole = True
    while True:
        data = _receive(sock)
        if data is None:  # a part was lost: read on to the end, else the next dump gets EBUSY
            whole = False
            continue
        at, end = 0, len(data)
        while at < end:
            length, answer, flags, number, _port = _header(data, at, end)
            if number == sequence:
                if flags & NLM_F_DUMP_INTR:
                    whole = False
                if answer in (NLMSG_DONE, NLMSG_ERROR):
                    _raise_if_failed(data[at : at + length], answer, flags)
                    return messages if whole else None
                messages.append((answer, data[at + 16 : at + length]))
            at += (length + 3) & ~3


def _raise_if_failed(data: bytes, kind: int, flags: int) -> None:
    failure = done_failure(data, flags) if kind == NLMSG_DONE else error_failure(data, flags)
    if failure is not None:
        raise KernelError("read", failure)


def _receive(sock: socket.socket) -> bytes | None:
    """One datagram; None where the receive buffer overflowed (ENOBUFS) and messages were dropped."""
    try:
        return sock.recv(DATAGRAM)
    except BlockingIOError:
        raise KernelError("netlink", Failure(errno.ETIMEDOUT, f"no answer in {TIMEOUT} s")) from None
    except OSError as error:
        if error.errno == errno.ENOBUFS:
            return None
        raise KernelError("netlink", Failure(error.errno or errno.EIO)) from error


def _header(data: bytes, at: int, end: int) -> tuple[int, int, int, int, int]:
    if end - at >= 16:
        fields: tuple[int, int, int, int, int] = HEADER.unpack_from(data, at)
        if 16 <= fields[0] <= end - at:
            return fields
    raise KernelError("netlink", Failure(errno.EBADMSG, "malformed message"))


# ------------------------------------------------------------------ errors


def error_failure(data: bytes, flags: int) -> Failure | None:
    """The Failure in an NLMSG_ERROR (``data`` includes its nlmsghdr); None for an ACK."""
    if len(data) < 36:
        return Failure(errno.EBADMSG, "malformed NLMSG_ERROR")
    code = -_ERROR.unpack_from(data, 16)[0]
    if code == 0:
        return None
    # struct nlmsgerr is the error and the request's header; the request's body follows unless NLM_F_CAPPED is set
    echoed: int = 16 if flags & NLM_F_CAPPED else _SEQUENCE.unpack_from(data, 20)[0]
    return Failure(code, _words(data, 20 + ((echoed + 3) & ~3), flags, code))


def done_failure(data: bytes, flags: int) -> Failure | None:
    """The Failure in an NLMSG_DONE (``data`` includes its nlmsghdr) of a dump that failed; None where it succeeded."""
    code = -_ERROR.unpack_from(data, 16)[0] if len(data) >= 20 else 0
    return Failure(code, _words(data, 20, flags, code)) if code > 0 else None


def _words(data: bytes, at: int, flags: int, code: int) -> str:
    text, place = "", -1
    for kind, value in attributes(data, at) if flags & NLM_F_ACK_TLVS else ():
        if kind == NLMSGERR_ATTR_MSG:
            text = value.rstrip(b"\0").decode("utf-8", "replace")
        elif kind == NLMSGERR_ATTR_OFFS and len(value) == 4:
            place = _SEQUENCE.unpack(value)[0]
    return (text or os.strerror(code)) + (f" (attribute at byte {place})" if place >= 0 else "")


def attributes(data: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    """The attributes (TLVs) from byte ``at`` on: (type without its flags, value)."""
    while len(data) - at >= 4:
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < 4 or at + length > len(data):
            return
        yield kind & 0x3FFF, data[at + 4 : at + length]
        at += (length + 3) & ~3


# ------------------------------------------------------------------ requests


def send_window(sock: socket.socket, messages: list[bytes]) -> list[Failure | None]:
    """Send requests made by ``message`` and wait for their ACKs; a result for each, None where it succeeded.

    Up to WINDOW requests are sent at a time.  The kernel executes them in order, and one that fails does not stop
    those after it.
    """
    return [failure for failure, _ in exchange(sock, messages)]


def exchange(sock: socket.socket, messages: list[bytes]) -> list[Answer]:
    """As send_window; each result is (failure, body of the kernel's answer), the body b"" where there was none."""
    results: list[Answer] = []
    at = 0
    while at < len(messages):
        end, size = at, 0
        while end < len(messages) and end - at < WINDOW and (end == at or size < WINDOW_BYTES):
            size += len(messages[end])
            end += 1
        results += _exchange_window(sock, messages[at:end])
        at = end
    return results


def _exchange_window(sock: socket.socket, messages: list[bytes]) -> list[Answer]:
    numbers = {}
    data = bytearray()
    for place, request in enumerate(messages):
        number = next(_sequence) & 0xFFFFFFFF
        numbers[number] = place
        _append(data, request, number)
    try:
        sock.send(data)
    except OSError as error:
        return [(Failure(error.errno or errno.EIO), b"")] * len(messages)
    return _collect(sock, numbers)


def _append(data: bytearray, request: bytes, number: int) -> None:
    start = len(data)
    data += request
    data += bytes(-len(request) % 4)
    _SEQUENCE.pack_into(data, start + 8, number)


def _collect(sock: socket.socket, numbers: dict[int, int]) -> list[Answer]:
    lost = Failure(errno.ENOBUFS, "the acknowledgement was lost: whether it was done is not known")
    failures: list[Failure | None] = [lost] * len(numbers)
    bodies = [b""] * len(numbers)
    waiting = set(numbers)
    while waiting:
        data = _receive(sock)
        if data is None:  # dropped acknowledgements do not come again
            break
        _sort_in(data, numbers, waiting, failures, bodies)
    return list(zip(failures, bodies, strict=True))


def _sort_in(
    data: bytes,
    numbers: dict[int, int],
    waiting: set[int],
    failures: list[Failure | None],
    bodies: list[bytes],
) -> None:
    at, end = 0, len(data)
    while at < end:
        length, kind, flags, number, _port = _header(data, at, end)
        place = numbers.get(number)
        if place is not None:
            if kind == NLMSG_ERROR:
                failures[place] = error_failure(data[at : at + length], flags)
                waiting.discard(number)
            else:
                bodies[place] = data[at + 16 : at + length]
        at += (length + 3) & ~3
