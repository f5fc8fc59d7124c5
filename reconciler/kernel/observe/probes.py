"""Sends real packets from one namespace to another: connections, datagrams and pings, all at the same time."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import time
from collections.abc import Sequence

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.observe import probe_sockets, watching
from reconciler.kernel.observe.probe_sockets import Answer, Probe
from reconciler.model.errors import KernelError

__all__ = ["Probe", "run"]

TIMEOUT = 2.0  # seconds to wait for all answers of a window
RETRY = 0.5  # seconds between two sends of a datagram or ping: the first may be lost while ARP resolves
WINDOW = 200  # probes at a time: each may open two sockets, and a process may have 1,024 descriptors
_UNREACHABLE = os.strerror(errno.EHOSTUNREACH).lower()
_OTHER = "answered by another program"


def run(kernel: Kernel, probes: Sequence[Probe]) -> list[Answer]:
    """(arrived, reason) for each probe; the reason is such as "connected", "answered" or "no answer"."""
    results: list[Answer] = []
    for at in range(0, len(probes), WINDOW):
        with contextlib.ExitStack() as stack:
            results += _Window(kernel, probes[at : at + WINDOW], stack).results()
    return results


class _Window:
    """Probes that are sent at the same time, with the sockets that are open for them."""

    def __init__(self, kernel: Kernel, probes: Sequence[Probe], stack: contextlib.ExitStack) -> None:
        self._kernel = kernel
        self._probes = probes
        self._stack = stack
        self._selector = stack.enter_context(selectors.DefaultSelector())
        self._watched: set[tuple[str, bool]] = set()
        self._opened: set[tuple[tuple[str, str, int], str]] = set()
        self._connected: set[int] = set()
        self._unreachable: set[int] = set()
        self._sent_by: dict[int, str] = {}  # the address from which a datagram is sent, by the probe's number
        listened = dict.fromkeys((probe.listen, probe.protocol) for probe in probes)
        for listen, protocol in listened:
            self._serve_at(listen, protocol)
        for scope in dict.fromkeys(probe.leaves for probe in probes if probe.leaves):
            self._watch(scope, leaving=True)
        self._answers: list[Answer | None] = [None] * len(probes)
        self._waiting: dict[int, socket.socket] = {}
        for number, probe in enumerate(probes):
            self._begin(number, probe)

    def results(self) -> list[Answer]:
        end, again = time.monotonic() + TIMEOUT, 0.0
        while (self._waiting or self._unreachable) and time.monotonic() < end:
            if time.monotonic() >= again:
                again = time.monotonic() + RETRY
                self._send_all()
            for key, _ in self._selector.select(0.05):
                self._event(key.fileobj, key.data)  # type: ignore[arg-type]
        return [answer or (False, self._nothing(number)) for number, answer in enumerate(self._answers)]

    def _send_all(self) -> None:
        """Send every datagram and ping, and open the connections again that found no neighbour."""
        unreachable, self._unreachable = self._unreachable, set()
        for number in unreachable:
            self._begin(number, self._probes[number])
        for number, client in self._waiting.items():
            probe_sockets.send(client, self._probes[number], number)

    def _nothing(self, number: int) -> str:
        if number in self._connected:
            return _OTHER
        return "did not leave" if self._probes[number].leaves else "no answer"

    def _serve_at(self, listen: tuple[str, str, int], protocol: str) -> None:
        """Open a listener where none is; a program that has the port may not answer a datagram: watch it arrive."""
        scope, address, port = listen
        if not scope or protocol == "icmp":
            return
        try:
            sock = self._stack.enter_context(
                self._kernel.run(scope, probe_sockets.open_listener, address, port, protocol)
            )
        except (OSError, KernelError) as error:
            if protocol == "udp" and getattr(error, "errno", 0) == errno.EADDRINUSE:
                self._watch(scope, leaving=False)
            return
        self._opened.add((listen, protocol))
        self._selector.register(sock, selectors.EVENT_READ, "listener")

    def _watch(self, scope: str, leaving: bool) -> None:
        if (scope, leaving) not in self._watched:
            self._watched.add((scope, leaving))
            sock = self._stack.enter_context(self._kernel.run(scope, watching.open_watcher))
            self._selector.register(sock, selectors.EVENT_READ, ("watcher", scope, leaving))

    def _begin(self, number: int, probe: Probe) -> None:
        client = probe_sockets.client(self._kernel, probe, self._stack)
        if isinstance(client, str):
            self._answers[number] = (False, client)
            return
        self._waiting[number] = client
        self._sent_by[number] = client.getsockname()[0] if probe.protocol == "udp" else ""
        event = selectors.EVENT_WRITE if probe.protocol == "tcp" else selectors.EVENT_READ
        self._selector.register(client, event, number)

    def _event(self, sock: socket.socket, data: object) -> None:
        if isinstance(data, int):
            probe = self._probes[data]
            exact = probe.exact and (probe.listen, probe.protocol) in self._opened
            self._settle(data, self._exact_answer(data, sock, probe) if exact else probe_sockets.answer(sock, probe))
        elif data == "listener":
            probe_sockets.serve(sock)
        elif isinstance(data, tuple):
            for seen in watching.seen(sock):
                self._arrived(seen, *data[1:])

    def _exact_answer(self, number: int, sock: socket.socket, probe: Probe) -> Answer | None:
        """The result of a probe that only our listener may answer: it sends its first word, or the datagram back."""
        if probe.protocol == "tcp" and number not in self._connected:
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code == 0:
                self._connected.add(number)
                self._selector.modify(sock, selectors.EVENT_READ, number)
            return (False, os.strerror(code).lower()) if code else None
        try:
            data = sock.recv(2048)
        except OSError as error:
            return False, (error.strerror or "error").lower()
        ours = data == (probe_sockets.HELLO if probe.protocol == "tcp" else watching.token(number))
        return (True, "connected" if probe.protocol == "tcp" else "answered") if ours else (False, _OTHER)

    def _arrived(self, seen: watching.Seen, scope: str, leaving: bool) -> None:
        if seen.number >= len(self._probes) or seen.leaving != leaving:
            return
        probe = self._probes[seen.number]
        if leaving and probe.leaves == scope:
            hidden = seen.source != self._sent_by.get(seen.number)
            words = f"left by {seen.link} as {seen.source}" if hidden else f"left by {seen.link} with its own address"
            self._settle(seen.number, (hidden or not probe.masked, words))
        elif not leaving and probe.listen[0] == scope and probe.listen[2] == seen.port:
            self._settle(seen.number, (True, "arrived, a program listens there"))

    def _settle(self, number: int, answer: Answer | None) -> None:
        """Note an answer.  One without a neighbour is no last word: a search from before the probe may have ended."""
        client = self._waiting.get(number)
        if answer is None or client is None:
            return
        self._answers[number] = answer
        unreachable = answer == (False, _UNREACHABLE)
        if unreachable and self._probes[number].protocol != "tcp":
            return
        if unreachable:
            self._unreachable.add(number)
        del self._waiting[number]
        self._selector.unregister(client)
        if unreachable:
            client.close()  # its port is bound again
