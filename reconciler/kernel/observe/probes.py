"""Real packets from one namespace to another: connections, datagrams and pings, all at the same time."""

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

TIMEOUT = 2.0  # seconds in which an answer must be there
RETRY = 0.5  # a datagram or a ping may be lost to the first ARP
_ICMP, _ICMP6 = 1, 58


class Probe(NamedTuple):
    """From a scope to an address; and where a listener is wanted: scope "" for nowhere."""

    scope: str
    address: str
    port: int
    protocol: str  # tcp, udp or icmp
    listen: tuple[str, str, int]


def run(kernel: Kernel, probes: Sequence[Probe]) -> list[tuple[bool, str]]:
    """Whether each arrived, and in a word how that shows."""
    with contextlib.ExitStack() as stack:
        servers = [_listen(kernel, probe, stack) for probe in probes]
        clients = [_client(kernel, probe, stack) for probe in probes]
        results: list[tuple[bool, str]] = [
            (False, client) if isinstance(client, str) else (False, "no answer") for client in clients
        ]
        waiting = {client: number for number, client in enumerate(clients) if not isinstance(client, str)}
        _exchange([one for one in servers if one is not None], waiting, probes, results)
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
    """A listener where nothing listens yet; None where something does, or nobody can."""
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
    """A socket in the probe's scope; or, as text, why there can be none."""
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
        return head  # the kernel fills the checksum in
    total = sum(struct.unpack(">4H", head))
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack(">BBHHH", kind, 0, ~total & 0xFFFF, os.getpid() & 0xFFFF, 1)


def _answer(sock: socket.socket, probe: Probe) -> tuple[bool, str] | None:
    """What an event on a client's socket means; None for nothing yet."""
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
