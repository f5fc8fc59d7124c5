"""Asks conntrack about one TCP connection: whether it is tracked, and which address and port its client opened."""

from __future__ import annotations

import errno
import socket
import struct

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import transport
from reconciler.kernel.nftables.nft_decode import attributes
from reconciler.model.errors import KernelError

# linux/netfilter/nfnetlink_conntrack.h
_GET = 1 << 8 | 1  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET
_ORIG, _REPLY, _IP, _PROTO = 1, 2, 1, 2  # CTA_TUPLE_*
_NUMBER, _SOURCE_PORT, _PORT = 1, 2, 3  # CTA_PROTO_*
_ADDRESSES: dict[int, tuple[int, int]] = {socket.AF_INET: (1, 2), socket.AF_INET6: (3, 4)}  # CTA_IP_*_SRC, _DST
_NESTED = 0x8000
_TCP = 6
End = tuple[str, int]  # address, port


def opened(kernel: Kernel, scope: str, server: End, client: End) -> End | None:
    """The address and port that the client opened to get to the server; ("", 0) for a connection not tracked.

    None where the scope has no conntrack to ask.
    """
    family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
    try:
        head = struct.pack(">BBH", family, 0, 0) + _nested(_REPLY, _tuple(family, server, client))
        asked = transport.message(_GET, head)
        ((failure, body),) = transport.exchange(kernel.socket(scope, transport.NETFILTER), [asked])
    except (KernelError, OSError):
        return None
    if failure is not None:
        return ("", 0) if failure.errno == errno.ENOENT else None
    original = dict(attributes(dict(attributes(body, 4)).get(_ORIG, b"")))
    address = dict(attributes(original.get(_IP, b""))).get(_ADDRESSES[family][1], b"")
    port = dict(attributes(original.get(_PROTO, b""))).get(_PORT, bytes(2))
    return (socket.inet_ntop(family, address), int.from_bytes(port, "big")) if address else None


def _tuple(family: int, source: End, destination: End) -> bytes:
    kinds = zip(_ADDRESSES[family], (source, destination), strict=True)
    addresses = b"".join(transport.attribute(kind, socket.inet_pton(family, end[0])) for kind, end in kinds)
    ports = ((_SOURCE_PORT, source[1]), (_PORT, destination[1]))
    numbers = b"".join(transport.attribute(kind, struct.pack(">H", port)) for kind, port in ports)
    return _nested(_IP, addresses) + _nested(_PROTO, transport.attribute(_NUMBER, bytes([_TCP])) + numbers)


def _nested(kind: int, value: bytes) -> bytes:
    return transport.attribute(kind | _NESTED, value)
