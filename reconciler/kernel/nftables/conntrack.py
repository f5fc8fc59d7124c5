"""Reads and deletes conntrack entries (linux/netfilter/nfnetlink_conntrack.h)."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import transport
from reconciler.kernel.nftables.nft_decode import attributes
from reconciler.model.data import NamedTuple
from reconciler.model.errors import Failure, KernelError

_SUBSYSTEM = 1 << 8  # NFNL_SUBSYS_CTNETLINK
GET, _DELETE = _SUBSYSTEM | 1, _SUBSYSTEM | 2  # IPCTNL_MSG_CT_*
NESTED = 0x8000

TUPLE_ORIG, _TUPLE_REPLY, _STATUS, _ID, _ZONE = 1, 2, 3, 12, 18  # CTA_*
TUPLE_IP, _TUPLE_PROTO = 1, 2
_SOURCES, _DESTINATIONS = (1, 3), (2, 4)  # CTA_IP_V4_*, CTA_IP_V6_*
_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_SEEN_REPLY, _SRC_NAT, _DST_NAT = 1 << 1, 1 << 4, 1 << 5  # IPS_*
_ABSENT = {errno.EPROTONOSUPPORT, errno.EOPNOTSUPP, errno.EINVAL}  # the kernel has no ctnetlink, and so no entries


class End(NamedTuple):
    """One direction of an entry; the ports are 0 where the protocol has none."""

    protocol: int
    source: str
    destination: str
    source_port: int
    port: int


class Flow(NamedTuple):
    """One entry: ``asked`` is the direction of its first packet, ``answer`` that of the replies.

    ``sent_on``: DNAT changed the destination (IPS_DST_NAT); ``masked``: SNAT changed the source (IPS_SRC_NAT);
    ``answered``: a packet came back (IPS_SEEN_REPLY).
    """

    asked: End
    answer: End
    sent_on: bool
    masked: bool
    answered: bool


def entries(kernel: Kernel, scope: str, may_match: Callable[[bytes], bool]) -> list[bytes]:
    """The messages of the scope's entries that ``may_match``; none where the kernel has no conntrack.

    It takes one walk through the table of all namespaces.  Raises KernelError.
    """
    sock = kernel.socket(scope, transport.NETFILTER)
    try:
        return [body for _, body in transport.dump(sock, GET, bytes(4)) if may_match(body)]
    except KernelError as error:
        if error.failure.errno in _ABSENT:
            return []
        raise


def flow(body: bytes) -> Flow | None:
    """The entry in a message; None for one without addresses."""
    entry = dict(attributes(body, 4))
    asked, answer = (_end(entry.get(kind, b"")) for kind in (TUPLE_ORIG, _TUPLE_REPLY))
    if asked is None or answer is None:
        return None
    status = int.from_bytes(entry.get(_STATUS, b""), "big")
    return Flow(asked, answer, bool(status & _DST_NAT), bool(status & _SRC_NAT), bool(status & _SEEN_REPLY))


def delete(kernel: Kernel, scope: str, bodies: list[bytes]) -> Failure | None:
    """Delete the entries of these messages; the first failure, None where all are gone."""
    if not bodies:
        return None
    failures = transport.send_window(kernel.socket(scope, transport.NETFILTER), [_deletion(body) for body in bodies])
    return next((failure for failure in failures if failure is not None and failure.errno != errno.ENOENT), None)


def _deletion(body: bytes) -> bytes:
    """The message that deletes an entry: by tuple and by id, so that a new entry with the same tuple stays."""
    entry = dict(attributes(body, 4))
    parts = [transport.attribute(TUPLE_ORIG | NESTED, entry[TUPLE_ORIG])]
    parts += [transport.attribute(kind, entry[kind]) for kind in (_ZONE, _ID) if kind in entry]
    return transport.message(_DELETE, body[:4] + b"".join(parts))


def _end(data: bytes) -> End | None:
    parts = dict(attributes(data))
    addresses = dict(attributes(parts.get(TUPLE_IP, b"")))
    ports = dict(attributes(parts.get(_TUPLE_PROTO, b"")))
    source = next((addresses[kind] for kind in _SOURCES if kind in addresses), b"")
    destination = next((addresses[kind] for kind in _DESTINATIONS if kind in addresses), b"")
    if {len(source), len(destination)} not in ({4}, {16}):
        return None
    numbers = (int.from_bytes(ports.get(kind, b""), "big") for kind in (_NUMBER, _SOURCE_PORT, _DESTINATION_PORT))
    protocol, source_port, port = numbers
    return End(protocol, _address(source), _address(destination), source_port, port)


def _address(raw: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)
