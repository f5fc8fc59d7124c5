"""Flows that go on while a test does something, and new ones all the time; each counts what it lost."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Generator, Iterator

from throwaway import inside

Address = tuple[str, int]
SECONDS = 3.0  # without an answer for so long a packet counts as lost


class Traffic:
    """``lost`` and ``answered`` by the flow's name."""

    def __init__(self) -> None:
        self.answered: dict[str, int] = {}
        self.lost: dict[str, list[str]] = {}
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._servers: list[socket.socket] = []

    def serve(self, scope: str, port: int) -> None:
        """Echo TCP and UDP on a port of the scope."""
        listener = inside(scope, socket.create_server, ("0.0.0.0", port))
        datagrams = inside(scope, socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind(("0.0.0.0", port))
        self._servers += [listener, datagrams]
        threading.Thread(target=_accept, args=(listener,), daemon=True).start()
        threading.Thread(target=_echo_datagrams, args=(datagrams,), daemon=True).start()

    def send(self, scope: str, name: str, address: Address) -> None:
        """A running TCP connection, new ones, a running UDP flow, and new ones, from the scope to an address."""
        for kind, flow in (("tcp", _running), ("new tcp", _new), ("udp", _datagrams), ("new udp", _new_datagrams)):
            opened = inside(scope, socket.create_connection, address, SECONDS) if flow is _running else None
            thread = threading.Thread(target=inside, args=(scope, self._go, f"{kind} {name}", flow, address, opened))
            self._threads.append(thread)
            thread.start()

    def _go(
        self,
        name: str,
        flow: Callable[[Address, socket.socket | None], Generator[bool, None, None]],
        address: Address,
        opened: socket.socket | None,
    ) -> None:
        self.answered[name], self.lost[name] = 0, []
        try:
            with contextlib.closing(flow(address, opened)) as answers:
                for answered in answers:
                    self.answered[name] += answered
                    if not answered:
                        self.lost[name].append("another answer")
                    if self._over.is_set():
                        return
        except OSError as error:
            self.lost[name].append(str(error))

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(3 * SECONDS)
        for server in self._servers:
            server.shutdown(socket.SHUT_RDWR) if server.type == socket.SOCK_STREAM else None
            server.close()


@contextlib.contextmanager
def traffic() -> Iterator[Traffic]:
    made = Traffic()
    try:
        yield made
    finally:
        made.end()


def _accept(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it was closed
        while True:
            threading.Thread(target=_echo, args=(listener.accept()[0],), daemon=True).start()


def _echo(connection: socket.socket) -> None:
    with contextlib.suppress(OSError), connection:
        while data := connection.recv(4096):
            connection.sendall(data)


def _echo_datagrams(sock: socket.socket) -> None:
    sock.settimeout(0.5)
    while sock.fileno() >= 0:
        with contextlib.suppress(OSError):  # who was not translated cannot be answered, and counts that as lost
            data, sender = sock.recvfrom(2048)
            sock.sendto(data, sender)


def _running(_address: Address, opened: socket.socket | None) -> Generator[bool, None, None]:
    assert opened is not None
    with opened:
        opened.settimeout(SECONDS)
        while True:
            yield _asked(opened)


def _asked(sock: socket.socket) -> bool:
    sock.sendall(b"hello")
    return sock.recv(16) == b"hello"


def _new(address: Address, _opened: socket.socket | None) -> Generator[bool, None, None]:
    while True:
        with socket.create_connection(address, SECONDS) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # leaves no TIME_WAIT behind
            yield _asked(sock)


def _datagrams(address: Address, _opened: socket.socket | None) -> Generator[bool, None, None]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(SECONDS)
        sock.connect(address)
        while True:
            yield _asked(sock)


def _new_datagrams(address: Address, opened: socket.socket | None) -> Generator[bool, None, None]:
    while True:
        with contextlib.closing(_datagrams(address, opened)) as flow:
            yield next(flow)
