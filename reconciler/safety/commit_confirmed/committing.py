"""apply --confirm-within, confirm and rollback: changes are rolled back unless they are confirmed in time."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import sys
import time
from collections.abc import Callable

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.model.changes import Change
from reconciler.model.errors import KernelError, NetreconError, Problem, Refused
from reconciler.model.keys import NO_ORIGIN
from reconciler.planning.apply import Failed
from reconciler.safety import lock, rollback, undo_log
from reconciler.safety.commit_confirmed import confirmation
from reconciler.safety.commit_confirmed.confirmation import Confirmation

GRACE = 10.0  # seconds after the deadline until apply itself rolls back, if the watchdog has not
_YES = ("confirm", "netrecon confirm", "yes", "y")
_NO = ("rollback", "netrecon rollback", "no", "n")
Undone = tuple[list[Change], list[Failed]]


def refuse_or_settle(kernel: Kernel) -> str:
    """Before a new run, with the lock held: settle an earlier one; a note about it, "" for none.

    Raises Refused while a confirmation is pending.  An overdue one, whose watchdog is gone, is rolled back here.
    """
    found = confirmation.pending()
    if found is None:
        return rollback.after_a_kill(kernel)
    if found.seconds:
        raise Refused([Problem(NO_ORIGIN, str(found))])
    _undone, left = go_back(kernel)
    ending = "and not all of it could be taken back" if left else "the host is as it was before"
    return f"{', '.join(found.topologies)}: was not confirmed in time; rolled back, {ending}"


def arm(topologies: frozenset[str], window: float) -> Confirmation:
    """Begin a confirmation of ``window`` seconds and start its watchdog.  Raises KernelError, and then does neither."""
    from reconciler.safety.commit_confirmed import watchdog

    one = confirmation.begin(topologies, window)
    try:
        watchdog.start(one)
    except KernelError:
        confirmation.close(one, "rolled back")
        raise
    return one


def confirm(kernel: Kernel) -> Confirmation:
    """Keep the changes, with the lock held.  Raises NetreconError if no confirmation is pending."""
    found = confirmation.pending()
    if found is None:
        raise NetreconError("no confirmation is pending")
    rollback.forget(kernel)
    return confirmation.close(found, "confirmed")


def go_back(kernel: Kernel) -> Undone:
    """Go back to the snapshot of the unsettled run, with the lock held.  Raises NetreconError if there is none."""
    entry, found = undo_log.read(), confirmation.pending()
    if entry is None:
        if found is not None:
            confirmation.close(found, "not whole", "the snapshot is lost")
        raise NetreconError("there is nothing to roll back: no apply waits for confirmation, and none was interrupted")
    undone, left = rollback.back(kernel, entry)
    if found is not None:
        told = "; ".join(f"{one.change.key}: {one.failure}" for one in left)
        confirmation.close(found, "not whole" if left else "rolled back", told)
    return undone, left


def watch(identity: str, kernel: Callable[[], Kernel]) -> None:
    """The watchdog's work: wait until the confirmation ``identity`` is due, and go back unless it is settled."""
    from reconciler.safety.commit_confirmed import watchdog

    watchdog.settle_in()
    found = confirmation.read()
    while found is not None and found.id == identity and (due := confirmation.wait(found)) is not None:
        with lock.held(3600.0):  # an apply that takes longer than its window holds it, and then restarts the clock
            found = confirmation.pending()
            if found is not None and found.id == identity and found.seconds == 0:
                with kernel() as opened:
                    go_back(opened)
                return
        found = found or due


def wait(one: Confirmation, kernel: Callable[[], Kernel], interrupted: Callable[[], bool]) -> Confirmation:
    """Wait, without the lock, until the confirmation is settled: at this prompt, elsewhere, or by the watchdog."""
    asking = sys.stdin is not None and sys.stdin.isatty()
    while True:
        found = confirmation.read()
        if found is not None and found.previous[0] == one.id:
            return dataclasses.replace(one, state=found.previous[1])
        if found is None or found.id != one.id:
            return dataclasses.replace(one, state="not whole", told="nobody knows how it ended")
        if not found.open:
            return found
        answer = _answer() if asking else ""
        if answer in _YES:
            _locked(kernel, confirm)
        elif answer in _NO or interrupted() or confirmation.now() > found.deadline + GRACE:
            _locked(kernel, go_back)
        elif not asking:
            time.sleep(confirmation.POLL)


def _locked(kernel: Callable[[], Kernel], action: Callable[[Kernel], object]) -> None:
    with lock.held(60.0), kernel() as opened, contextlib.suppress(NetreconError):  # somebody else was quicker
        action(opened)


def _answer() -> str:
    """A line typed at the prompt, "" for none yet, and for a terminal that is closed."""
    try:
        ready = select.select([sys.stdin], [], [], confirmation.POLL)[0]
        line = os.read(sys.stdin.fileno(), 200) if ready else b""
        if ready and not line:
            time.sleep(confirmation.POLL)
        return " ".join(line.decode("utf-8", "replace").split()).lower()
    except OSError:
        time.sleep(confirmation.POLL)
        return ""
