"""The one message that is built by hand: it stamps a new namespace's lo and sets it up."""

from __future__ import annotations

import socket
import struct

from reconciler.kernel.netlink import transport
from reconciler.model.errors import KernelError

RTM_SETLINK = 19
LOOPBACK = 1  # lo is the first link of every namespace
_IFF_UP = 1
_IFLA_IFALIAS = 20
_IFLA_GROUP = 27
_IFINFO = struct.Struct("=BxHiII")


def stamp_loopback(sock: socket.socket, alias: str, group: int = 0) -> None:
    """Set ``lo`` up with alias and group in one message, so that no moment exists with only one of them."""
    body = _IFINFO.pack(0, 0, LOOPBACK, _IFF_UP, _IFF_UP)
    body += transport.attribute(_IFLA_IFALIAS, alias.encode()) if alias else b""
    body += transport.attribute(_IFLA_GROUP, struct.pack("=I", group)) if group else b""
    (failure,) = transport.send_window(sock, [transport.message(RTM_SETLINK, body)])
    if failure is not None:
        raise KernelError("stamp lo", failure)
