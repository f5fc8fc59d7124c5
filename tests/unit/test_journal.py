"""Every run that changes the kernel leaves one line in the system's journal, and none waits or fails for it."""

from __future__ import annotations

import errno
import os
import pathlib
import re
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from command import Netrecon
from pretended.seam import Pretended

from reconciler.model.errors import Failure
from reconciler.model.requests import Request
from reconciler.run import host
from reconciler.safety import journal, lock
from reconciler.safety.commit_confirmed import committing, confirmation, watchdog

BRIDGE: dict[str, Any] = {"bridges": {"br0": {}}}
TWO: dict[str, Any] = {"bridges": {"br0": {}, "br1": {}}}


class Log:
    """What has arrived at the socket."""

    def __init__(self, path: str) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(path)
        self.sock.setblocking(False)

    def lines(self) -> list[str]:
        found = []
        while True:
            try:
                found.append(self.sock.recv(4096).decode())
            except BlockingIOError:
                return found

    def told(self) -> list[str]:
        """The lines without their heads."""
        return [re.sub(r"^<\d+>\w{3} [ \d]\d \d\d:\d\d:\d\d netrecon\[\d+\]: ", "", line) for line in self.lines()]


@pytest.fixture
def log(pretended: Pretended, monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    monkeypatch.setenv("SUDO_USER", "alice")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    opened = Log(journal.SOCKET)
    yield opened
    opened.sock.close()


def test_the_form_of_a_line(log: Log) -> None:
    journal.tell("apply", ["shop", "a"], "converged", 1)
    journal.tell("apply", [], "not whole", 2, well=False)
    first, second = log.lines()
    assert re.fullmatch(
        rf"<29>[A-Z][a-z][a-z] [ \d]\d \d\d:\d\d:\d\d netrecon\[{os.getpid()}\]: "
        r"apply a, shop by alice: converged, 1 change",
        first,
    )
    assert re.fullmatch(r"<28>.*: apply - by alice: not whole, 2 changes", second)


def test_each_command(log: Log, netrecon: Netrecon, pretended: Pretended) -> None:
    for words, told in {
        ("plan", 2): [],
        ("apply", 0): ["apply case by alice: converged, 1 change"],
        ("check", 0): [],
    }.items():
        netrecon(words[0], BRIDGE, code=words[1])
        assert log.told() == told
    netrecon("apply", BRIDGE)
    assert log.told() == ["apply case by alice: converged, 0 changes"]
    netrecon("rename", "case", "shop")
    assert log.told() == ["rename case to shop by alice: converged, 1 change"]
    netrecon("rename", "case", "shop", code=1)
    (refused,) = log.told()
    assert refused.startswith("rename case to shop by alice: refused: rename: the kernel holds no topology case; ")
    pretended.fault = lambda _number, _request: Failure(errno.EPERM, "no")
    netrecon("delete", "--name", "shop", code=3)
    (failed,) = log.told()
    assert re.fullmatch(r"delete shop by alice: failed and rolled back, 0 changes: bridge/host/br0: no", failed)


def test_refused(log: Log, netrecon: Netrecon, pretended: Pretended) -> None:
    pretended.sh("ip link add br0 type bridge")
    netrecon("apply", BRIDGE, code=1)
    (line,) = log.lines()
    assert line.startswith("<28>")
    assert "apply case by alice: refused: " in line
    assert "\n" not in line
    with lock.held(0):
        netrecon("apply", BRIDGE, code=5)
        netrecon("confirm", code=5)
        netrecon("rename", "case", "shop", code=5)
    for line, command in zip(log.told(), ["apply case", "confirm -", "rename case to shop"], strict=True):
        assert line.startswith(f"{command} by alice: refused: another process holds the lock")
    for command in ("confirm", "rollback"):
        netrecon(command, code=1)
        assert log.told()[0].startswith(f"{command} - by alice: refused: ")


def test_interrupted_before_the_first_change(log: Log, netrecon: Netrecon, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(committing, "refuse_or_settle", interrupt)
    netrecon("apply", BRIDGE, code=None)
    assert log.told() == ["apply case by alice: interrupted"]


@pytest.fixture
def pending(log: Log, netrecon: Netrecon, monkeypatch: pytest.MonkeyPatch) -> None:
    """An apply that waits for its confirmation, without its watchdog and without who waits."""
    monkeypatch.setattr(watchdog, "start", lambda _pending: None)
    monkeypatch.setattr(watchdog, "settle_in", lambda: None)
    monkeypatch.setattr(committing, "wait", lambda awaited, *_: awaited)
    netrecon("apply", "--confirm-within", "60s", TWO, code=None)
    assert log.told() == ["apply case by alice: converged, waits for confirmation, 2 changes"]


@pytest.mark.usefixtures("pending")
def test_confirmed(log: Log, netrecon: Netrecon) -> None:
    netrecon("confirm")
    assert log.told() == ["confirm case by alice: confirmed"]


@pytest.mark.usefixtures("pending")
def test_rolled_back(log: Log, netrecon: Netrecon) -> None:
    netrecon("rollback")
    assert log.told() == ["rollback case by alice: rolled back, 2 changes"]


@pytest.mark.usefixtures("pending")
def test_rolled_back_by_the_watchdog(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = confirmation.pending()
    assert waiting is not None
    monkeypatch.setattr(confirmation, "now", lambda: waiting.deadline + 1)
    committing.watch(waiting.id, host.kernel)
    (line,) = log.lines()
    assert line.startswith("<28>")
    assert line.endswith("rollback case by alice: rolled back by timer, 2 changes")


class Killed(BaseException):
    """As if the process had been killed."""


def test_a_killed_rename_is_told_by_the_next_run(log: Log, netrecon: Netrecon, pretended: Pretended) -> None:
    netrecon("apply", TWO)
    log.lines()

    def kill(number: int, _request: Request) -> Failure | None:
        if number == first + 2:
            raise Killed
        return None

    first, pretended.fault = len(pretended.sent), kill
    with pytest.raises(Killed):
        netrecon("rename", "case", "shop")
    pretended.fault = lambda _number, _request: None
    netrecon("apply", {**TWO, "name": "shop"})
    assert log.told() == [
        "rename case to shop by alice: was killed; all of case is shop now",
        "apply shop by alice: converged, 0 changes",
    ]


def test_nobody_listens(netrecon: Netrecon) -> None:
    assert not os.path.exists(journal.SOCKET)
    netrecon("apply", BRIDGE)


def test_a_reader_that_does_not_keep_up(log: Log) -> None:
    began = time.monotonic()
    for _ in range(2000):
        journal.tell("apply", ["shop"], "converged", 1)
    assert time.monotonic() - began < 5
    assert 0 < len(log.lines()) < 2000


def test_a_syslogd_that_takes_a_stream(pretended: Pretended) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(journal.SOCKET)
        server.listen()
        journal.tell("apply", ["shop"], "converged", 1)
        taken = server.accept()[0]
        with taken:
            assert taken.recv(4096).endswith(b"\0")


def test_control_characters_and_long_texts(log: Log) -> None:
    journal.tell("apply", ["shop"], "refused: a\x1b[31m\n\r\u2028b \udc80" + "x" * 4000)
    (line,) = log.lines()
    assert "a\\x1b[31m\\n\\r\\u2028b" in line
    assert line.isprintable()
    assert len(line.encode()) < 1024
    journal.tell("apply", ["shop"], "refused: " + "\u20ac" * 4000)  # its last character is whole
    assert log.told()[0].endswith("\u20ac")


def test_who_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setattr(journal, "_login_uid", lambda: 0)
    assert journal.user() == "root"
    monkeypatch.setattr(journal, "_login_uid", lambda: 4242424)
    assert journal.user() == "uid 4242424"
    monkeypatch.setenv("SUDO_USER", "mallory")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)  # anybody can set a variable
    assert journal.user() == "uid 4242424"
