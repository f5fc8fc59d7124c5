"""Finds listening sockets by netlink (sock_diag(7)), and the processes that have them open."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Collection, Iterable, Iterator

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import transport
from reconciler.kernel.nftables.nft_decode import attributes
from reconciler.kernel.proc import processes
from reconciler.model.errors import KernelError
from reconciler.model.rows import Listener

SOCK_DIAG = 4  # NETLINK_SOCK_DIAG
_BY_FAMILY = 20  # SOCK_DIAG_BY_FAMILY
# Protocol number and states, a bit each: a TCP or SCTP socket that accepts connections is in LISTEN (10), a UDP socket
# without a peer in CLOSE (7).
_PROTOCOLS = {"tcp": (6, 1 << 10), "udp": (17, 1 << 7), "sctp": (132, 1 << 10)}
# struct inet_diag_msg (linux/inet_diag.h): family, state, timer, retrans, ports, addresses, interface, cookie,
# expires, rqueue, wqueue, uid, inode
_MESSAGE = struct.Struct(">4BHH16s16s")
_INODE = struct.Struct("=I")
_INODE_AT, _SIZE = 68, 72
_SKV6ONLY, _MARK = 11, 15  # INET_DIAG_*
_NO_COOKIE = b"\xff" * 8  # INET_DIAG_NOCOOKIE: any
_MAPPED = bytes(10) + b"\xff\xff"  # ::ffff:0:0/96


def listeners(kernel: Kernel, scope: str, wanted: Collection[tuple[str, int]]) -> list[Listener]:
    """The sockets of one scope that listen on one of the ``wanted`` (protocol, port), with their processes.

    Raises KernelError.  Where the kernel has no socket diagnostics for a protocol, it gives no listeners of it.
    """
    asked = _PROTOCOLS.keys() & {protocol for protocol, _ in wanted}
    sockets = [
        (listener, inode)
        for listener, inode in _sockets(kernel, scope, asked)
        if (listener.protocol, listener.port) in wanted
    ]
    if not sockets:
        return []
    owners = _owners({inode for _, inode in sockets})
    return [
        listener._replace(pid=pid, process=name)
        for listener, inode in sockets
        for pid, name in (owners.get(inode, (0, "")),)
    ]


def ports_in_use(kernel: Kernel, scope: str) -> frozenset[tuple[str, int]]:
    """(protocol, port) of every listening socket of the scope, on any address."""
    return frozenset((listener.protocol, listener.port) for listener, _ in _sockets(kernel, scope, _PROTOCOLS))


def listening(kernel: Kernel, scope: str) -> frozenset[tuple[str, str, int]]:
    """(protocol, address, port) of every listening socket of the scope; one of IPv6 may take IPv4 too."""
    sockets = [one for one, _ in _sockets(kernel, scope, _PROTOCOLS)]
    both = {(one.protocol, "0.0.0.0", one.port) for one in sockets if one.address == "::" and not one.only6}
    return frozenset((one.protocol, one.address, one.port) for one in sockets) | both


def mark_of(kernel: Kernel, scope: str, local: tuple[str, int], peer: tuple[str, int]) -> int:
    """The firewall mark (SO_MARK) of the scope's TCP socket between two addresses with ports; 0 where unknown.

    The kernel tells it to who has CAP_NET_ADMIN.
    """
    family = socket.AF_INET6 if ":" in local[0] else socket.AF_INET
    try:
        ends = [socket.inet_pton(family, address).ljust(16, b"\0") for address, _ in (local, peer)]
        ports = struct.pack(">HH", local[1], peer[1])
        request = struct.pack("=BBBBI", family, _PROTOCOLS["tcp"][0], 0, 0, 0xFFFFFFFF) + ports + b"".join(ends)
        asked = transport.message(_BY_FAMILY, request + bytes(4) + _NO_COOKIE)
        ((failure, body),) = transport.exchange(kernel.socket(scope, SOCK_DIAG), [asked])
    except (KernelError, OSError):
        return 0
    if failure is not None or len(body) < _SIZE:
        return 0
    return int(struct.unpack("=I", dict(attributes(body, _SIZE)).get(_MARK, bytes(4))[:4])[0])


def _sockets(kernel: Kernel, scope: str, protocols: Iterable[str]) -> Iterator[tuple[Listener, int]]:
    for protocol in sorted(protocols):
        number, states = _PROTOCOLS[protocol]
        for family in (socket.AF_INET, socket.AF_INET6):
            request = struct.pack("=BBBBI48x", family, number, 0, 0, states)
            try:
                messages = transport.dump(kernel.socket(scope, SOCK_DIAG), _BY_FAMILY, request)
            except KernelError:  # ENOENT: no socket of this protocol yet, or its module cannot be loaded
                continue
            for _, body in messages:
                if len(body) >= _SIZE:
                    yield _listener(protocol, body), _INODE.unpack_from(body, _INODE_AT)[0]


def _listener(protocol: str, body: bytes) -> Listener:
    family, _, _, _, port, _, source, _ = _MESSAGE.unpack_from(body)
    only6 = dict(attributes(body, _SIZE)).get(_SKV6ONLY, b"\0")[:1] == b"\1"
    if family == socket.AF_INET:
        address = socket.inet_ntop(socket.AF_INET, source[:4])
    elif source.startswith(_MAPPED):
        address = socket.inet_ntop(socket.AF_INET, source[12:])
    else:
        address = socket.inet_ntop(socket.AF_INET6, source)
    return Listener(protocol, address, port, only6, 0, "")


def _owners(inodes: Collection[int]) -> dict[int, tuple[int, str]]:
    """Inode of a socket -> (pid, name) of the process with the lowest pid that has it open, by one walk of /proc."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    owners: dict[int, tuple[int, str]] = {}
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdecimal()):
        for target in _open_files(pid):
            if target in wanted:
                owners.setdefault(wanted[target], (pid, processes.name_of(pid)))
        if len(owners) == len(wanted):
            break
    return owners


def _open_files(pid: int) -> Iterator[str]:
    with contextlib.suppress(OSError):  # it has ended
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                yield os.readlink(f"/proc/{pid}/fd/{name}")
