"""apply --confirm-within, confirm and rollback: changes are rolled back unless they are confirmed in time."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from collections.abc import Callable, Collection
from functools import partial

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.model import data as dataclasses
from reconciler.model.changes import Change
from reconciler.model.errors import KernelError, NetreconError, Problem, Refused
from reconciler.model.keys import NO_ORIGIN
from reconciler.planning.apply import Failed
from reconciler.safety import journal, lock, rollback, undo_log
from reconciler.safety.commit_confirmed import confirmation
from reconciler.safety.commit_confirmed.confirmation import Confirmation

GRACE = 10.0  # seconds after the deadline until apply itself rolls back, if the watchdog has not
BY_TIMER = "rolled back by timer"
_YES = ("confirm", "netrecon confirm", "yes", "y")
_NO = ("rollback", "netrecon rollback", "no", "n")
Undone = tuple[list[Change], list[Failed]]


def refuse_or_settle(kernel: Kernel, topologies: Collection[str]) -> str:
    """Before a new run for these topologies, with the lock held: settle an earlier one; a note about it, "" for none.

    Raises Refused while a confirmation is pending.  An overdue one, whose watchdog is gone, is rolled back here.
    """
    pending = confirmation.pending()
    if pending is None:
        return rollback.after_a_kill(kernel, topologies)
    if pending.seconds:
        raise Refused([Problem(NO_ORIGIN, str(pending))])
    _undone, left = go_back(kernel, how=BY_TIMER)
    ending = "and not all of it could be taken back" if left else "the host is as it was before"
    return f"{', '.join(pending.topologies)}: was not confirmed in time; rolled back, {ending}"


def arm(topologies: frozenset[str], window: float) -> Confirmation:
    """Begin a confirmation of ``window`` seconds and start its watchdog.  Raises KernelError, and then does neither."""
    from reconciler.safety.commit_confirmed import watchdog

    pending = confirmation.begin(topologies, window)
    try:
        watchdog.start(pending)
    except KernelError:
        confirmation.settled(pending, "rolled back")
        raise
    return pending


def awaited_topologies() -> tuple[str, ...]:
    """The topologies that wait for their confirmation."""
    pending = confirmation.pending()
    return pending.topologies if pending is not None else ()


def confirm(kernel: Kernel) -> Confirmation:
    """Keep the changes, with the lock held.  Raises NetreconError if no confirmation is pending."""
    pending = confirmation.pending()
    if pending is None:
        raise NetreconError("no confirmation is pending")
    rollback.forget(kernel)
    closed = confirmation.close(pending, "confirmed")
    journal.tell("confirm", pending.topologies, "confirmed")
    return closed


def go_back(kernel: Kernel, how: str = "rolled back") -> Undone:
    """Go back to the snapshot of the unsettled run, with the lock held.  Raises NetreconError if there is none.

    ``how``: the words for the journal, "" where the caller tells it.
    """
    entry, pending = undo_log.read(), confirmation.pending()
    if entry is None:
        if pending is not None:
            confirmation.settled(pending, "not whole", "the snapshot is lost")
        raise NetreconError("there is nothing to roll back: no apply waits for confirmation, and none was interrupted")
    undone, left = rollback.back(kernel, entry)
    if how:
        ending, well = "not whole" if left else how, not left and how != BY_TIMER
        journal.tell("rollback", entry.snapshot.topologies, ending, len(undone), well)
    if pending is not None:
        errors = "; ".join(f"{failed.change.key}: {failed.failure}" for failed in left)
        confirmation.settled(pending, "not whole" if left else "rolled back", errors)
    return undone, left


def watch(identity: str, kernel: Callable[[], Kernel]) -> None:
    """The watchdog's work: wait until the confirmation ``identity`` is due, and go back unless it is settled."""
    from reconciler.safety.commit_confirmed import watchdog

    watchdog.settle_in()
    latest = confirmation.read()
    while latest is not None and latest.id == identity and (due := confirmation.wait(latest)) is not None:
        with lock.held(3600.0):  # an apply that takes longer than its window holds it, and then restarts the clock
            latest = confirmation.pending()
            if latest is not None and latest.id == identity and latest.seconds == 0:
                with kernel() as opened:
                    go_back(opened, how=BY_TIMER)
                return
        latest = latest or due


def wait(awaited: Confirmation, kernel: Callable[[], Kernel], interrupted: Callable[[], bool]) -> Confirmation:
    """Wait, without the lock, until the confirmation is settled: at this prompt, elsewhere, or by the watchdog."""
    asking = sys.stdin is not None and sys.stdin.isatty()
    while True:
        latest = confirmation.read()
        if latest is not None and latest.previous[0] == awaited.id:
            return dataclasses.replace(awaited, state=latest.previous[1])
        if latest is None or latest.id != awaited.id:
            return dataclasses.replace(awaited, state="not whole", told="nobody knows how it ended")
        if not latest.open:
            return latest
        answer = _answer() if asking else ""
        if answer in _YES:
            _locked(kernel, confirm)
        elif answer in _NO or interrupted():
            _locked(kernel, go_back)
        elif confirmation.now() > latest.deadline + GRACE:
            _locked(kernel, partial(go_back, how=BY_TIMER))
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
