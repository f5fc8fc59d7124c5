"""What the changes of a live host disrupt: the words of the plan, and real flows (tests/cases/impact.yaml)."""

from __future__ import annotations

import json
import pathlib
import selectors
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import impacts
import pytest
from situations import Situation
from snapshot import snapshot
from throwaway import inside, sh

pytestmark = pytest.mark.live

_SERVERS = ("host", "lan", "a", "b", "c")


@pytest.mark.parametrize("name", impacts.CASES)
def test_impact(name: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = impacts.CASES[name]
    situation = Situation(impacts.situation(case), tmp_path, capsys, by_hand, snapshot)
    file = situation.prepare()
    for link in ("front0", "back0"):
        sh(f"ip link set {link} up")
    with servers():
        flow = Flow(*case["flow"], size=case.get("size", 1)) if "flow" in case else None
        code, out, err = situation.run("plan", "--json", file)
        assert code == 2, out + err
        impacts.compare(json.loads(out), case)
        code, out, err = situation.run("apply", "--force", "-q", file)
        assert code == 0, out + err
        if flow is not None:
            assert flow.is_interrupted() == (bool(case.get("disrupts")) and not case.get("brief"))
            flow.close()


def by_hand(command: str) -> None:
    subprocess.run(command, shell=True, check=True)


class Flow:
    """A TCP connection whose server says who it is."""

    def __init__(self, scope: str, address: str, port: int, size: int) -> None:
        self._to, self._scope, self._size = (address, port), scope, size
        self._running = self._opened(20.0)
        self._server = self._asked(self._running)
        assert self._server

    def _opened(self, seconds: float) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._to[0] else socket.AF_INET
        opened: socket.socket = inside(self._scope, socket.socket, family, socket.SOCK_STREAM)
        opened.settimeout(seconds)
        try:
            opened.connect(self._to)
        except OSError:
            opened.close()
            raise
        return opened

    def _asked(self, connection: socket.socket) -> str:
        """The answer; the server answers when it has got all bytes, and sends as many."""
        answer = b""
        try:
            connection.sendall(b"?" * (self._size - 1) + b"\n")
            while not answer.endswith(b"\n"):
                part = connection.recv(65536)
                if not part:
                    return ""
                answer += part
        except OSError:
            return ""
        return answer.decode().strip(" \n")

    def is_interrupted(self) -> bool:
        """Whether the running connection has ended, or a new one fails or leads to another server."""
        self._running.settimeout(3.0)
        if self._asked(self._running) != self._server:
            return True
        try:
            with self._opened(3.0) as new:
                return self._asked(new) != self._server
        except OSError:
            return True

    def close(self) -> None:
        self._running.close()


@contextmanager
def servers() -> Iterator[None]:
    """On port 80 of each namespace a server that says its name."""
    waiting = selectors.DefaultSelector()
    ended = threading.Event()
    for name in _SERVERS:
        listener: socket.socket = inside(name, socket.socket, socket.AF_INET6, socket.SOCK_STREAM)
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("::", 80))
        listener.listen()
        waiting.register(listener, selectors.EVENT_READ, name)
    thread = threading.Thread(target=_serve, args=(waiting, ended))
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        for key in list(waiting.get_map().values()):
            with suppress(OSError):
                key.fileobj.close()  # type: ignore[union-attr]
        waiting.close()


def _serve(waiting: selectors.DefaultSelector, ended: threading.Event) -> None:
    asked: dict[Any, int] = {}
    while not ended.is_set():
        for key, _ in waiting.select(0.05):
            sock: Any = key.fileobj
            if sock not in asked and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                connection, _peer = sock.accept()
                asked[connection] = 0
                waiting.register(connection, selectors.EVENT_READ, key.data)
            elif not _answered(sock, key.data, asked):
                waiting.unregister(sock)
                sock.close()


def _answered(sock: socket.socket, name: str, asked: dict[Any, int]) -> bool:
    try:
        part = sock.recv(65536)
        asked[sock] += len(part)
        if part.endswith(b"\n"):
            sock.sendall(name.encode().ljust(asked[sock] - 1) + b"\n")
            asked[sock] = 0
    except OSError:
        return False
    return bool(part)
