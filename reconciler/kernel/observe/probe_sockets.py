"""The sockets of probes: listeners, clients, and what an event on a client's socket says."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterator

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.observe import watching
from reconciler.model.data import NamedTuple
from reconciler.model.errors import KernelError

HELLO = b"netrecon"  # what a listener says to each client
_ICMP, _ICMP6 = 1, 58
_LINGER_NONE = struct.pack("ii", 1, 0)  # struct linger: close() resets the connection
Answer = tuple[bool, str]  # whether it arrived, and what shows it


class Probe(NamedTuple):
    """One packet to send from ``scope`` to ``address``.

    ``listen`` is (scope, address, port) where a listener is opened for it; scope "" for no listener.  ``leaves``: the
    scope that a datagram must leave by a link, "" where it must be answered; ``masked``: from another address than
    the sender's.  ``ttl`` and ``source_port`` 0: the kernel chooses.  ``exact``: an answer counts only if
    it is of the listener, where one was opened.
    """

    scope: str
    address: str
    port: int
    protocol: str  # tcp, udp or icmp
    listen: tuple[str, str, int]
    leaves: str = ""
    masked: bool = False
    ttl: int = 0
    source_port: int = 0
    exact: bool = False


def open_listener(address: str, port: int, protocol: str) -> socket.socket:
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    sock = socket.socket(_family(address), kind | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1) if protocol == "tcp" else None
        sock.bind((address, port))
        if protocol == "tcp":
            sock.listen(64)
    except OSError:
        sock.close()
        raise
    return sock


def serve(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        if sock.type == socket.SOCK_STREAM:
            client = sock.accept()[0]
            with client:
                client.send(HELLO)
        else:
            data, sender = sock.recvfrom(2048)
            sock.sendto(data, sender)


def client(kernel: Kernel, probe: Probe, stack: contextlib.ExitStack) -> socket.socket | str:
    """A socket in the probe's scope; or, as text, why it could not be opened or connected."""
    try:
        sock = stack.enter_context(kernel.run(probe.scope, open_client, probe))
        code = sock.connect_ex((probe.address, probe.port))
    except (OSError, KernelError) as error:
        return str(error)
    return os.strerror(code).lower() if code not in (0, errno.EINPROGRESS) else sock


def open_client(probe: Probe) -> socket.socket:
    six = ":" in probe.address
    family = _family(probe.address)
    if probe.protocol == "icmp":
        return socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, _ICMP6 if six else _ICMP)
    kind = socket.SOCK_STREAM if probe.protocol == "tcp" else socket.SOCK_DGRAM
    sock = socket.socket(family, kind | socket.SOCK_NONBLOCK)
    with contextlib.ExitStack() as stack:
        stack.callback(sock.close)
        for level, option, value in _options(probe, six):
            sock.setsockopt(level, option, value)
        if probe.source_port:
            sock.bind(("", probe.source_port))
        stack.pop_all()
    return sock


def _options(probe: Probe, six: bool) -> Iterator[tuple[int, int, int | bytes]]:
    if probe.ttl:
        place = (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS) if six else (socket.IPPROTO_IP, socket.IP_TTL)
        yield *place, probe.ttl
    if probe.protocol == "tcp" and probe.source_port:  # so that it can be used again at once
        yield socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def send(sock: socket.socket, probe: Probe, number: int) -> None:
    with contextlib.suppress(OSError):
        if probe.protocol == "udp":
            sock.send(watching.token(number))
        elif probe.protocol == "icmp":
            sock.send(_echo(":" in probe.address))


def _echo(six: bool) -> bytes:
    kind = 128 if six else 8
    head = struct.pack(">BBHHH", kind, 0, 0, os.getpid() & 0xFFFF, 1)
    if six:
        return head  # the kernel fills in the checksum of ICMPv6 (RFC 3542)
    total = sum(struct.unpack(">4H", head))
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack(">BBHHH", kind, 0, ~total & 0xFFFF, os.getpid() & 0xFFFF, 1)


def answer(sock: socket.socket, probe: Probe) -> tuple[bool, str] | None:
    """The result after an event on a client's socket; None where the packet is not the answer."""
    if probe.protocol == "tcp":
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return (True, "connected") if code == 0 else (False, os.strerror(code).lower())
    try:
        data = sock.recv(2048)
    except OSError as error:
        return False, (error.strerror or "error").lower()
    if probe.protocol == "udp":
        return None if probe.leaves else (True, "answered")
    body = data if ":" in probe.address else data[(data[0] & 15) * 4 :]
    reply = 129 if ":" in probe.address else 0
    mine = body[4:6] == struct.pack(">H", os.getpid() & 0xFFFF)
    return (True, "answered") if body[:1] == bytes([reply]) and mine else None
