"""Sends a batch of raw nf_tables messages, which the kernel carries out as one transaction (linux/nfnetlink.h)."""

from __future__ import annotations

import contextlib
import errno
import itertools
import socket
import struct
from collections.abc import Sequence
from typing import Any

from reconciler.kernel.netlink import transport
from reconciler.model.data import NamedTuple
from reconciler.model.errors import Failure, KernelError

INET = 1  # NFPROTO_INET
SUBSYSTEM = 10  # NFNL_SUBSYS_NFTABLES
GETGEN = SUBSYSTEM << 8 | 16
_BEGIN, _END = 0x10, 0x11  # NFNL_MSG_BATCH_*
_BATCH_GENID, _GEN_ID = 1, 1
_SO_SNDBUFFORCE = 32
_GENMSG = struct.Struct(">BBH")  # nfgenmsg: family, version, res_id
_OUTDATED = errno.ERESTART if hasattr(errno, "ERESTART") else 85

_sequence = itertools.count(1 << 30)  # beside those of transport.py, on the same sockets


class Message(NamedTuple):
    """One message of a batch; ``what`` it is about, in words."""

    kind: int  # NFT_MSG_*
    attributes: bytes
    what: str
    flags: int = transport.NLM_F_CREATE


class Refusal(NamedTuple):
    """What of a batch the kernel refused, in words, and its error."""

    what: str
    failure: Failure


def generation(sock: Any) -> int:
    """The generation of the namespace's ruleset, which every transaction raises."""
    number = next(_sequence)
    sock.send(_message(GETGEN, transport.NLM_F_REQUEST, number, INET))
    for kind, flags, data, sequence in _answers(sock):
        if sequence == number and kind == transport.NLMSG_ERROR:
            failure = transport.error_failure(data, flags)
            raise KernelError("read the generation of nftables", failure or Failure(errno.EBADMSG))
        if sequence == number:
            words = dict(transport.attributes(data, 20))
            return int.from_bytes(words[_GEN_ID], "big")
    raise KernelError("read the generation of nftables", Failure(errno.EBADMSG))


def outdated(refusal: Refusal | None) -> bool:
    """Whether the ruleset had another generation than the batch was made for."""
    return refusal is not None and refusal.failure.errno == _OUTDATED


def send(sock: Any, messages: Sequence[Message], of_generation: int = 0, check: bool = False) -> Refusal | None:
    """Carry out all messages or none, if the ruleset still has this generation (0: any); None when it is done.

    ``check``: only ask whether the kernel would.  A batch without an end is validated and dropped.
    """
    first = next(_sequence)
    numbers = {next(_sequence): message for message in messages}
    genid = transport.attribute(_BATCH_GENID, struct.pack(">I", of_generation)) if of_generation else b""
    data = bytearray(_message(_BEGIN, transport.NLM_F_REQUEST, first, 0, SUBSYSTEM, genid))
    last = next(reversed(numbers))
    for number, message in numbers.items():
        # older kernels acknowledge no begin and no end of a batch
        flags = message.flags | transport.NLM_F_REQUEST | (transport.NLM_F_ACK if number == last else 0)
        data += _message(SUBSYSTEM << 8 | message.kind, flags, number, INET, attributes=message.attributes)
    if not check:
        data += _message(_END, transport.NLM_F_REQUEST, next(_sequence), 0, SUBSYSTEM)
    with contextlib.suppress(PermissionError):
        sock.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, 2 * len(data) + (1 << 16))
    try:
        sock.send(data)
    except OSError as error:
        return Refusal("", Failure(error.errno or errno.EIO))
    return _result(sock, first, last, numbers)


def _result(sock: Any, first: int, last: int, numbers: dict[int, Message]) -> Refusal | None:
    """The first error: of the batch as a whole (it names the first message), or of one of its messages."""
    refusal: Refusal | None = None
    for kind, flags, data, number in _answers(sock):
        if kind != transport.NLMSG_ERROR or not first <= number <= last:
            continue
        failure = transport.error_failure(data, flags)
        if failure is not None and refusal is None:
            refusal = Refusal(numbers[number].what if number in numbers else "", failure)
        if number == last or (number == first and failure is not None):
            break
    return refusal


def _answers(sock: Any) -> Any:
    """(type, flags, message, sequence number) of each message that arrives; it ends only with an error."""
    while True:
        try:
            received = sock.recv(transport.DATAGRAM)
        except BlockingIOError:
            text = f"no answer in {transport.TIMEOUT} s"
            raise KernelError("nftables", Failure(errno.ETIMEDOUT, text)) from None
        except OSError as error:
            raise KernelError("nftables", Failure(error.errno or errno.EIO)) from error
        at = 0
        while at + 16 <= len(received):
            length, kind, flags, number, _port = transport.HEADER.unpack_from(received, at)
            if not 16 <= length <= len(received) - at:
                raise KernelError("nftables", Failure(errno.EBADMSG, "malformed message"))
            yield kind, flags, received[at : at + length], number
            at += (length + 3) & ~3


def _message(kind: int, flags: int, number: int, family: int, resource: int = 0, attributes: bytes = b"") -> bytes:
    body = _GENMSG.pack(family, 0, resource) + attributes
    return transport.HEADER.pack(16 + len(body), kind, flags, number, 0) + body
