"""Sends real packets from one namespace to another: connections, datagrams and pings, all at the same time."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct
import time
from collections.abc import Sequence
from typing import NamedTuple

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.model.errors import KernelError

TIMEOUT = 2.0  # seconds to wait for all answers
RETRY = 0.5  # seconds between two sends of a datagram or ping: the first may be lost while ARP resolves
_ICMP, _ICMP6 = 1, 58


class Probe(NamedTuple):
    """One packet to send from ``scope`` to ``address``.

    ``listen`` is (scope, address, port) where a listener is opened for it; scope "" for no listener.
    """

    scope: str
    address: str
    port: int
    protocol: str  # tcp, udp or icmp
    listen: tuple[str, str, int]


def run(kernel: Kernel, probes: Sequence[Probe]) -> list[tuple[bool, str]]:
    """(arrived, reason) for each probe; the reason is such as "connected", "answered" or "no answer"."""
    with contextlib.ExitStack() as stack:
        servers = [_listen(kernel, probe, stack) for probe in probes]
        clients = [_client(kernel, probe, stack) for probe in probes]
        results: list[tuple[bool, str]] = [
            (False, client) if isinstance(client, str) else (False, "no answer") for client in clients
        ]
        waiting = {client: number for number, client in enumerate(clients) if not isinstance(client, str)}
        _exchange([server for server in servers if server is not None], waiting, probes, results)
    return results


def _exchange(
    servers: list[socket.socket],
    waiting: dict[socket.socket, int],
    probes: Sequence[Probe],
    results: list[tuple[bool, str]],
) -> None:
    end, again = time.monotonic() + TIMEOUT, 0.0
    while waiting and time.monotonic() < end:
        if time.monotonic() >= again:
            again = time.monotonic() + RETRY
            for client, number in waiting.items():
                _send(client, probes[number])
        tcp = [client for client, number in waiting.items() if probes[number].protocol == "tcp"]
        ready, writable, _ = select.select([*servers, *(set(waiting) - set(tcp))], tcp, [], 0.05)
        for sock in (*ready, *writable):
            if sock in waiting:
                number = waiting[sock]
                result = _answer(sock, probes[number])
                if result is not None:
                    results[number] = result
                    del waiting[sock]
            else:
                _serve(sock)


def _listen(kernel: Kernel, probe: Probe, stack: contextlib.ExitStack) -> socket.socket | None:
    """A listener for the probe; None where it needs none, something listens there already, or bind fails."""
    scope, address, port = probe.listen
    if not scope or probe.protocol == "icmp":
        return None
    try:
        return stack.enter_context(kernel.run(scope, _open_listener, address, port, probe.protocol))
    except (OSError, KernelError):
        return None


def _open_listener(address: str, port: int, protocol: str) -> socket.socket:
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


def _serve(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        if sock.type == socket.SOCK_STREAM:
            sock.accept()[0].close()
        else:
            data, sender = sock.recvfrom(2048)
            sock.sendto(data, sender)


def _client(kernel: Kernel, probe: Probe, stack: contextlib.ExitStack) -> socket.socket | str:
    """A socket in the probe's scope; or, as text, why it could not be opened or connected."""
    try:
        sock = stack.enter_context(kernel.run(probe.scope, _open_client, probe.address, probe.protocol))
        code = sock.connect_ex((probe.address, probe.port))
    except (OSError, KernelError) as error:
        return str(error)
    return os.strerror(code).lower() if code not in (0, errno.EINPROGRESS) else sock


def _open_client(address: str, protocol: str) -> socket.socket:
    if protocol == "icmp":
        number = _ICMP6 if ":" in address else _ICMP
        return socket.socket(_family(address), socket.SOCK_RAW | socket.SOCK_NONBLOCK, number)
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    return socket.socket(_family(address), kind | socket.SOCK_NONBLOCK)


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _send(sock: socket.socket, probe: Probe) -> None:
    with contextlib.suppress(OSError):
        if probe.protocol == "udp":
            sock.send(b"netrecon")
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


def _answer(sock: socket.socket, probe: Probe) -> tuple[bool, str] | None:
    """The result after an event on a client's socket; None where the packet is not the answer."""
    if probe.protocol == "tcp":
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return (True, "connected") if code == 0 else (False, os.strerror(code).lower())
    try:
        data = sock.recv(2048)
    except OSError as error:
        return False, (error.strerror or "error").lower()
    if probe.protocol == "udp":
        return True, "answered"
    body = data if ":" in probe.address else data[(data[0] & 15) * 4 :]
    reply = 129 if ":" in probe.address else 0
    mine = body[4:6] == struct.pack(">H", os.getpid() & 0xFFFF)
    return (True, "answered") if body[:1] == bytes([reply]) and mine else None
