"""Stamps the ``lo`` of a new namespace and sets it up, in one message."""

from __future__ import annotations

import socket
import struct

from reconciler.kernel.netlink import transport
from reconciler.model.errors import KernelError

RTM_SETLINK = 19
LOOPBACK = 1  # the ifindex of lo in every namespace
_IFF_UP = 1
_IFLA_IFALIAS = 20
_IFLA_GROUP = 27
_IFINFO = struct.Struct("=BxHiII")


def stamp_loopback(sock: socket.socket, alias: str, group: int = 0) -> None:
    """Set ``lo`` up with alias and group, in one message, so that it never has only one of them; KernelError."""
    body = _IFINFO.pack(0, 0, LOOPBACK, _IFF_UP, _IFF_UP)
    body += transport.attribute(_IFLA_IFALIAS, alias.encode()) if alias else b""
    body += transport.attribute(_IFLA_GROUP, struct.pack("=I", group)) if group else b""
    (failure,) = transport.send_window(sock, [transport.message(RTM_SETLINK, body)])
    if failure is not None:
        raise KernelError("stamp lo", failure)
