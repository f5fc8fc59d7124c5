"""The file /run/netrecon/confirmation: the state and the deadline of an apply that must be confirmed.

apply, confirm, rollback and the watchdog communicate by this file only; whoever changes it holds the lock.  Times are
of CLOCK_BOOTTIME, which goes on while the host sleeps and which nobody can set.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import time
from collections.abc import Iterable
from typing import Any, Literal, get_args

from reconciler.model.data import dataclass
from reconciler.model.errors import Failure, KernelError
from reconciler.safety import state_dir, undo_log

NAME = "confirmation"
POLL = 0.25  # seconds between two reads of the file

State = Literal["applying", "pending", "confirmed", "rolled back", "not whole"]


@dataclass(frozen=True, slots=True)
class Confirmation:
    """``deadline`` is a CLOCK_BOOTTIME and ``window`` the time allowed, both in seconds; ``told`` is a message."""

    id: str
    state: State
    topologies: tuple[str, ...]
    window: float
    deadline: float
    told: str = ""
    previous: tuple[str, State] = ("", "confirmed")  # id and state of the one before, for an apply that reads late

    @property
    def seconds(self) -> float:
        """The seconds left, 0 when it is overdue."""
        return max(0.0, self.deadline - now())

    @property
    def open(self) -> bool:
        return self.state in ("applying", "pending")

    def __str__(self) -> str:
        names = ", ".join(self.topologies)
        return f"{names}: waits for confirmation, {self.seconds:.0f} s left; netrecon confirm or netrecon rollback"


def now() -> float:
    """CLOCK_BOOTTIME in seconds."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def begin(topologies: Iterable[str], window: float) -> Confirmation:
    """A new confirmation whose ``window`` seconds start now; ``restart`` it after the apply."""
    before = read()
    previous: tuple[str, State] = (before.id, before.state) if before is not None else ("", "confirmed")
    names = tuple(sorted(topologies))
    return write(Confirmation(os.urandom(8).hex(), "applying", names, window, now() + window, previous=previous))


def restart(confirmation: Confirmation) -> Confirmation:
    """Start the window again, after the apply."""
    return write(dataclasses.replace(confirmation, state="pending", deadline=now() + confirmation.window))


def close(confirmation: Confirmation, state: State, told: str = "") -> Confirmation:
    """Settle the confirmation; whoever waits for it reads that in the file."""
    return write(dataclasses.replace(confirmation, state=state, told=told))


def settled(confirmation: Confirmation, state: State, told: str = "") -> Confirmation:
    """As ``close`` after the host went back: where the file cannot be written it is deleted, so that nobody waits."""
    try:
        return close(confirmation, state, told)
    except KernelError:
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(state_dir.FOLDER, NAME))
        return dataclasses.replace(confirmation, state=state, told=told)


def write(confirmation: Confirmation) -> Confirmation:
    """Write the file.  Raises KernelError."""
    data = {"boot": undo_log.boot(), **dataclasses.asdict(confirmation)}
    try:
        state_dir.write_file(NAME, json.dumps(data), 0o644)
    except OSError as error:
        raise KernelError(f"write {state_dir.FOLDER}/{NAME}", Failure(error.errno or 0)) from error
    return confirmation


def read() -> Confirmation | None:
    """The latest confirmation of this boot, settled or not; None where there is none."""
    return state_dir.understood(NAME, _from_plain)


def _from_plain(data: dict[str, Any]) -> Confirmation | None:
    if data.pop("boot") != undo_log.boot():
        return None
    state = data["state"]
    if state not in get_args(State):
        raise ValueError(f"no confirmation is {state!r}")
    times = {"window": float(data["window"]), "deadline": float(data["deadline"])}
    more = {"topologies": tuple(map(str, data["topologies"])), "previous": tuple(data["previous"])}
    return Confirmation(**{**data, **more, **times})


def pending() -> Confirmation | None:
    """The confirmation that is not settled, overdue or not; None for none."""
    latest = read()
    return latest if latest is not None and latest.open else None


def wait(awaited: Confirmation) -> Confirmation | None:
    """Sleep until the confirmation is due; the confirmation, or None as soon as somebody has settled it."""
    while True:
        latest = read()
        if latest is None or latest.id != awaited.id or not latest.open:
            return None
        if latest.seconds == 0:
            return latest
        time.sleep(min(POLL * 4, latest.seconds))


def same_host(pid: int) -> bool:
    """Whether a process is in our network namespace and our mount namespace."""
    try:
        return all(
            os.stat(f"/proc/{pid}/ns/{kind}").st_ino == os.stat(f"/proc/self/ns/{kind}").st_ino
            for kind in ("net", "mnt")
        )
    except OSError:
        return False
