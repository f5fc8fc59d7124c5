"""What nobody confirms in time goes back: with a clock that the test turns, and no kernel."""

from __future__ import annotations

import os
import pathlib
import shutil
import stat
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from command import Netrecon
from pretended.seam import Kernel, Pretended

from reconciler.model.errors import KernelError
from reconciler.safety import interrupts, undo_log
from reconciler.safety.commit_confirmed import committing, confirmation, watchdog
from reconciler.safety.commit_confirmed.confirmation import Confirmation

BEFORE: dict[str, Any] = {"bridges": {"br0": {"addresses": ["10.0.0.1/24"]}}}
AFTER: dict[str, Any] = {"bridges": {"br0": {"addresses": ["10.0.1.1/24"], "mtu": 1400}, "br1": {}}}


class Clock:
    """Time passes only while somebody sleeps; ``meanwhile`` is what happens then, once."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.meanwhile: Callable[[], object] = lambda: None

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        happens, self.meanwhile = self.meanwhile, lambda: None
        happens()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(confirmation, "now", lambda: clock.now)
    monkeypatch.setattr(time, "sleep", clock.sleep)
    monkeypatch.setattr(watchdog, "start", lambda _one: "nobody")
    monkeypatch.setattr(watchdog, "settle_in", lambda: None)
    monkeypatch.setattr(sys, "stdin", None)
    return clock


@pytest.fixture
def before(netrecon: Netrecon, pretended: Pretended, clock: Clock) -> dict[str, Any]:
    """The host on which AFTER is applied."""
    netrecon("apply", "-q", BEFORE)
    return pretended.picture()


def apply(netrecon: Netrecon, code: int, *more: str) -> str:
    return netrecon("apply", *more, "--confirm-within", "60s", AFTER, code=code)


# ------------------------------------------------------------------ somebody, or nobody


def test_confirmed_in_another_shell(before: Any, netrecon: Netrecon, pretended: Pretended, clock: Clock) -> None:
    clock.meanwhile = lambda: committing.confirm(Kernel(pretended))
    assert "case: waits for confirmation, 60 s left; netrecon confirm or netrecon rollback" in apply(netrecon, 0)
    assert pretended.picture() != before
    netrecon("check", AFTER)
    assert undo_log.read() is None
    assert "no confirmation is pending" in netrecon("confirm", code=1)


def test_taken_back_in_another_shell(before: Any, netrecon: Netrecon, pretended: Pretended, clock: Clock) -> None:
    clock.meanwhile = lambda: committing.go_back(Kernel(pretended))
    assert "not confirmed" in apply(netrecon, 3)
    assert pretended.picture() == before
    assert undo_log.read() is None


def test_nobody_confirms_and_the_watchdog_is_gone(
    before: Any, netrecon: Netrecon, pretended: Pretended, clock: Clock
) -> None:
    start = clock.now
    apply(netrecon, 3)
    assert pretended.picture() == before
    assert 60 + committing.GRACE < clock.now - start < 61 + committing.GRACE


def test_interrupted_while_it_waits(
    before: Any, netrecon: Netrecon, pretended: Pretended, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[interrupts.Interrupt] = []

    class Noted(interrupts.Interrupt):
        def __init__(self) -> None:
            made.append(self)

    monkeypatch.setattr(interrupts, "Interrupt", Noted)
    clock.meanwhile = lambda: setattr(made[-1], "name", "SIGINT")
    apply(netrecon, 3)
    assert pretended.picture() == before
    assert clock.now < 1002


@pytest.mark.parametrize(
    ("typed", "code"), [("yes", 0), ("  NETRECON   Confirm ", 0), ("no", 3), ("rollback", 3), ("maybe\nyes", 0)]
)
def test_answered_at_the_prompt(
    typed: str,
    code: int,
    before: Any,
    netrecon: Netrecon,
    pretended: Pretended,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = os.pipe()
    lines = iter(typed.split("\n"))
    real = os.read
    monkeypatch.setattr(os, "read", lambda fd, size: f"{next(lines)}\n".encode() if fd == ours else real(fd, size))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True, fileno=lambda: ours, buffer=None))
    os.write(theirs, b"x")  # there is something to read
    apply(netrecon, code)
    assert (pretended.picture() == before) is (code == 3)
    os.close(ours)
    os.close(theirs)


def test_terminal_that_is_gone_says_nothing(
    before: Any, netrecon: Netrecon, pretended: Pretended, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(os.devnull) as ended:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True, fileno=ended.fileno))
        assert committing._answer() == ""
    closed = os.open(os.devnull, os.O_RDONLY)
    os.close(closed)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True, fileno=lambda: closed))
    apply(netrecon, 3)
    assert pretended.picture() == before


# ------------------------------------------------------------------ the watchdog


def test_watchdog_goes_back_when_it_is_due(before: Any, netrecon: Netrecon, pretended: Pretended, clock: Clock) -> None:
    def watch() -> None:
        found = confirmation.read()
        assert found is not None
        netrecon("rollback", "--when-due", found.id)

    clock.meanwhile = watch
    apply(netrecon, 3)
    assert pretended.picture() == before
    found = confirmation.read()
    assert found is not None
    assert (found.state, clock.now < found.deadline + 1) == ("rolled back", True)


def test_watchdog_leaves_what_was_confirmed(
    before: Any, netrecon: Netrecon, pretended: Pretended, clock: Clock
) -> None:
    clock.meanwhile = lambda: committing.confirm(Kernel(pretended))
    apply(netrecon, 0)
    after, found = pretended.picture(), confirmation.read()
    assert found is not None
    committing.watch(found.id, lambda: Kernel(pretended))
    committing.watch("another", lambda: Kernel(pretended))
    assert pretended.picture() == after


def test_watchdog_that_does_not_start_leaves_nothing(
    before: Any, netrecon: Netrecon, pretended: Pretended, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_one: Confirmation) -> str:
        raise KernelError("start the watchdog", committing.Failed)  # type: ignore[arg-type]

    monkeypatch.setattr(watchdog, "start", refuse)
    sent = len(pretended.sent)
    apply(netrecon, 1)
    assert (pretended.picture(), pretended.sent[sent:]) == (before, [])
    assert (confirmation.pending(), undo_log.read()) == (None, None)


# ------------------------------------------------------------------ the next run


def pending(pretended: Pretended, netrecon: Netrecon, clock: Clock) -> None:
    """An apply whose process was killed while it waited."""

    class Killed(BaseException):
        pass

    def kill() -> None:
        raise Killed

    clock.meanwhile = kill
    with pytest.raises(Killed):
        apply(netrecon, 0)


def test_no_run_while_one_is_pending(before: Any, netrecon: Netrecon, pretended: Pretended, clock: Clock) -> None:
    pending(pretended, netrecon, clock)
    assert "waits for confirmation" in netrecon("apply", BEFORE, code=1)
    assert netrecon.json("list")["confirmation"] == {"topologies": ["case"], "seconds": 59.8}
    assert "waits for confirmation" in netrecon("list")
    said = netrecon("confirm")
    assert "case: confirmed, and stays as it is." in said
    netrecon("check", AFTER)


def test_overdue_one_is_rolled_back_by_the_next_run(
    before: Any, netrecon: Netrecon, pretended: Pretended, clock: Clock
) -> None:
    pending(pretended, netrecon, clock)
    clock.now += 100
    assert "was not confirmed in time; rolled back, the host is as it was before" in netrecon("apply", BEFORE)
    assert pretended.picture() == before


def test_rolled_back_by_hand(before: Any, netrecon: Netrecon, pretended: Pretended, clock: Clock) -> None:
    pending(pretended, netrecon, clock)
    found = netrecon.json("rollback")
    assert found["state"] == "rolled back"
    assert pretended.picture() == before
    assert "there is nothing to roll back" in netrecon("rollback", code=1)


def test_confirmed_as_json(before: Any, netrecon: Netrecon, pretended: Pretended, clock: Clock) -> None:
    pending(pretended, netrecon, clock)
    assert netrecon.json("confirm") == {"format": 1, "command": "confirm", "state": "confirmed", "result": ["case"]}


def test_snapshot_is_lost(before: Any, netrecon: Netrecon, pretended: Pretended, clock: Clock) -> None:
    pending(pretended, netrecon, clock)
    (pretended.folder / "netrecon" / "snapshot").unlink()
    assert "there is nothing to roll back" in netrecon("rollback", code=1)
    found = confirmation.read()
    assert found is not None
    assert (found.state, found.told) == ("not whole", "the snapshot is lost")


def test_what_cannot_go_back_is_told_to_the_next_run(
    before: Any, netrecon: Netrecon, pretended: Pretended, clock: Clock
) -> None:
    from reconciler.model.errors import Failure

    pending(pretended, netrecon, clock)
    clock.now += 100
    pretended.fault = lambda _number, request: Failure(12, "no") if "deladdr" in str(request) else None
    said = netrecon("apply", "--json", BEFORE, code=3)
    assert "was not confirmed in time; rolled back, and not all of it could be taken back" in said


def test_somebody_began_another_one(clock: Clock, pretended: Pretended) -> None:
    first = confirmation.restart(confirmation.begin({"a"}, 60))
    confirmation.close(first, "confirmed")
    second = confirmation.begin({"b"}, 60)
    assert committing.wait(first, lambda: Kernel(pretended), lambda: False).state == "confirmed"
    confirmation.close(second, "rolled back")
    confirmation.begin({"c"}, 60)
    found = committing.wait(first, lambda: Kernel(pretended), lambda: False)
    assert (found.state, found.told) == ("not whole", "nobody knows how it ended")


def test_confirmation_of_another_boot_is_none(clock: Clock, pretended: Pretended, monkeypatch: Any) -> None:
    one = confirmation.begin({"a"}, 60)
    assert confirmation.pending() == one
    monkeypatch.setattr(undo_log, "boot", lambda: "another")
    assert confirmation.pending() is None


def test_folder_that_cannot_be_written(clock: Clock, pretended: Pretended, tmp_path: pathlib.Path) -> None:
    (tmp_path / "netrecon").write_text("")
    with pytest.raises(KernelError, match="netrecon/confirmation"):
        confirmation.begin({"a"}, 60)


# ------------------------------------------------------------------ what starts the watchdog


@pytest.fixture
def one() -> Confirmation:
    return Confirmation("0123", "applying", ("case",), 60.0, 1060.0)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No systemd-run here."""
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    return monkeypatch


def test_process_of_its_own(one: Confirmation, found: pytest.MonkeyPatch) -> None:
    said = watchdog.start(one)
    assert said.startswith("process ")
    pid = int(said.split()[1])
    os.waitpid(pid, 0)  # no confirmation is pending: it has nothing to do


def test_process_that_says_nothing(one: Confirmation, found: pytest.MonkeyPatch) -> None:
    found.setattr(sys, "executable", "/bin/true")
    with pytest.raises(KernelError, match="it does not answer; nothing was changed"):
        watchdog.start(one)


def test_process_that_cannot_be_started(one: Confirmation, found: pytest.MonkeyPatch) -> None:
    found.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(KernelError, match="start the watchdog: No such file"):
        watchdog.start(one)


@pytest.mark.parametrize("works", [True, False])
def test_systemd_timer(works: bool, one: Confirmation, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "systemd-run"
    run.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/said\nexit {0 if works else 1}\n')
    run.chmod(run.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(shutil, "which", lambda _name: str(run))
    monkeypatch.setattr(watchdog, "SYSTEMD", str(tmp_path))
    monkeypatch.setattr(watchdog, "same_host", lambda _pid: True)
    monkeypatch.setattr(watchdog, "_by_process", lambda _one: 7)
    assert watchdog.start(one) == ("systemd timer netrecon-confirm-0123" if works else "process 7")
    assert "--on-active=60s" in (tmp_path / "said").read_text()
