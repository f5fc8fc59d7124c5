"""One run that changes the kernel: lock, settle an old confirmation, plan, guard, apply, confirm or roll back."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.model.data import dataclass
from reconciler.model.errors import KernelError, NetreconError
from reconciler.planning.intent import Intent, Planned, Result
from reconciler.run import converge, host, loading, pipeline
from reconciler.safety import interrupts, journal, lock
from reconciler.safety.commit_confirmed import committing, confirmation
from reconciler.safety.commit_confirmed.confirmation import Confirmation
from reconciler.safety.interrupts import Interrupt


@dataclass(frozen=True, slots=True)
class Terms:
    """The options of a run.

    ``lock_timeout``: seconds to wait for the lock.  ``confirm_within``: seconds in which the changes must be
    confirmed, 0 for no confirmation.  ``protect``: addresses that must stay reachable.  ``warn``: add the findings of
    the doctor to the plan; ``only_shut``: those that shut published ports are enough.  ``command``: for the journal.
    """

    lock_timeout: float = 0.0
    rehearse: bool = False
    protect: tuple[str, ...] = ()
    confirm_within: float = 0.0
    warn: bool = True
    only_shut: bool = False
    command: str = "apply"


class Audience(Protocol):
    """Gets reports of the run while it goes on."""

    def note(self, text: str) -> None:
        """A note about the run; "" is none."""

    def planned(self, planned: Planned) -> None:
        """The plan, before it is carried out."""

    def progress(self, planned: Planned) -> AbstractContextManager[Callable[[int], None]]:
        """A context with a function that is called with the number of steps done."""

    def ended(self, planned: Planned, result: Result) -> None:
        """The result; no signal stops the run until this returns."""


def run(intent: Intent, terms: Terms, audience: Audience) -> Result:
    """Carry out the intent.  Raises NetreconError (Refused, LockHeld) if nothing was changed."""
    host.need_root()
    with journal.refusals(terms.command, intent.names):
        result, planned, waiting = _run(intent, terms, audience)
    return result if waiting is None else _confirmed(planned, result, waiting, audience)


def _run(intent: Intent, terms: Terms, audience: Audience) -> tuple[Result, Planned, Confirmation | None]:
    with lock.held(terms.lock_timeout):
        if terms.rehearse:
            audience.note(rehearsed_first(intent))
        with host.kernel() as kernel:
            planned = _guarded(kernel, intent, terms, audience)
            with interrupts.put_off() as interrupt:
                result, waiting = _apply(kernel, planned, terms, audience, interrupt)
                words = ending(result) + (", waits for confirmation" if waiting else "")
                journal.tell(terms.command, intent.names, words, result.applied, result.verified, failure(result))
                if waiting is None:
                    audience.ended(planned, result)
                return result, planned, waiting


def ending(result: Result) -> str:
    """How a run ended, in the words of the journal."""
    if result.verified:
        return "converged"
    return "failed and rolled back" if result.rolled_back else "not whole"


def failure(result: Result) -> str:
    """Why a run did not end well, for the journal; "" where it did, or where the kernel differs afterwards."""
    failed = (f"{one.change.key}: {one.failure}" for one in result.failed)
    return result.trouble or next(failed, "")


def rehearsed_first(intent: Intent) -> str:
    """For --rehearse: the result of the rehearsal as text, "" where there is nothing to do.

    Raises InputError if the kernel refuses a change there.  The rehearsal forks, so it opens a kernel of its own.
    """
    from reconciler.run import rehearsal

    with host.kernel() as kernel:
        planned = pipeline.allowed(pipeline.plan(kernel, intent, warn=False, protect=None))
    return str(rehearsal.rehearse(planned.intent, planned.live)) if planned.changes else ""


# ------------------------------------------------------------------------------------------------ before


def _guarded(kernel: Kernel, intent: Intent, terms: Terms, audience: Audience) -> Planned:
    """The plan, after an earlier run is settled.  Raises Refused also if the plan would cut somebody off."""
    audience.note(committing.refuse_or_settle(kernel, intent.names))
    protect = None if intent.force or terms.confirm_within else terms.protect
    return pipeline.allowed(pipeline.plan(kernel, intent, terms.warn, protect, terms.only_shut))


# ------------------------------------------------------------------------------------------------ the changes


def _apply(
    kernel: Kernel, planned: Planned, terms: Terms, audience: Audience, interrupt: Interrupt
) -> tuple[Result, Confirmation | None]:
    """Apply the plan: the result, and the confirmation that is now pending, None for none."""
    armed: list[Confirmation] = []

    def arm() -> None:
        armed.append(committing.arm(planned.intent.names, terms.confirm_within))

    audience.planned(planned)
    try:
        with audience.progress(planned) as progress:
            ready = loading.with_modules(kernel, planned)
            result = converge.apply(kernel, ready, progress, interrupt, arm if terms.confirm_within else None)
    except NetreconError:  # nothing was changed
        for pending in armed:
            confirmation.settled(pending, "rolled back")
        raise
    return result, _begun(kernel, armed[0], result) if armed else None


def _begun(kernel: Kernel, pending: Confirmation, result: Result) -> Confirmation | None:
    """The confirmation with its clock started; None where the apply failed and there is nothing to confirm.

    Where the clock cannot be started (a full disk), the changes are undone: nobody could confirm them.
    """
    if result.verified:
        try:
            return confirmation.restart(pending)
        except KernelError as error:
            result.trouble = f"nobody could confirm the changes: {error}"
            result.undone, result.left = committing.go_back(kernel, how="")
            result.rolled_back = not result.left
            return None
    confirmation.settled(pending, "rolled back" if result.rolled_back else "not whole")
    return None


def _confirmed(planned: Planned, result: Result, pending: Confirmation, audience: Audience) -> Result:
    """Wait for the confirmation, without the lock; the result with the outcome."""
    audience.note(f"{pending} (in any shell, or typed here)")
    # The end of a session (SIGHUP) must not roll back changes that its user may confirm from a new one.
    with interrupts.put_off((signal.SIGINT,)) as interrupt:
        settled = committing.wait(pending, host.kernel, interrupt)
        result.confirmed = settled.state == "confirmed"
        if not result.confirmed:
            result.rolled_back = settled.state == "rolled back"
            result.trouble = settled.told or "not confirmed"
        audience.ended(planned, result)
    return result
