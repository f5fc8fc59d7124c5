"""Carries out a plan: snapshot, apply, verify, and roll back where the result is not as declared."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.nftables import nft_tables
from reconciler.kernel.proc import sysctl
from reconciler.kinds import BY_NAME
from reconciler.kinds.kind import NFT
from reconciler.model.errors import KernelError, NetreconError, Problem
from reconciler.model.rows import LiveState
from reconciler.model.timings import stage
from reconciler.planning.apply import Southbound
from reconciler.planning.apply import apply as carry_out
from reconciler.planning.intent import Planned, Result
from reconciler.run import look
from reconciler.safety import announcing, ownership, rollback, snapshot
from reconciler.safety.interrupts import NO_INTERRUPT, Interrupt

if TYPE_CHECKING:
    from reconciler.safety.undo_log import Unsettled

ROUNDS = 3  # a change may undo an earlier one by a side effect: then the plan is made and carried out again


def apply(
    kernel: Kernel,
    planned: Planned,
    progress: Callable[[int], None] = lambda _count: None,
    interrupt: Interrupt = NO_INTERRUPT,
    arm: Callable[[], object] | None = None,
) -> Result:
    """Carry out the plan and read the kernel again; if it is not as declared, roll back all changes.

    ``progress`` is called with the number of steps done.  ``arm`` is called after the snapshot and before the first
    change; with it the snapshot stays until the changes are confirmed.  Raises NetreconError if nothing was changed.
    """
    started = time.monotonic()
    result = Result()
    if planned.changes:
        _need_libnftables(planned)
        _carry_out(kernel, planned, result, progress, interrupt, arm)
    else:
        _remember(planned, result)
        rollback.forget(kernel)  # the snapshot of a run that was killed after its last change
    result.seconds = time.monotonic() - started
    return result


def _carry_out(
    kernel: Kernel,
    planned: Planned,
    result: Result,
    progress: Callable[[int], None],
    interrupt: Interrupt,
    arm: Callable[[], object] | None,
) -> None:
    before = rollback.prepare(kernel, planned)
    try:
        if arm is not None:
            arm()
        ownership.before(planned, _at_birth(ownership.births(planned)), snapshot.upset_before(before.snapshot, planned))
    except KernelError:  # a full disk, for example: nothing has been changed yet
        rollback.abandon(kernel, before)
        raise
    try:
        after = _rounds(kernel, planned, result, progress, interrupt)
        if result.verified or (planned.intent.keep_going and not interrupt.name):
            result.notes += announcing.tell(kernel, planned.found, after)
        if planned.intent.verify and result.verified:
            _verify(kernel, planned, result)
    except Exception as error:  # after any error the host must not be left half changed
        result.trouble = words(error)
    if result.verified or (planned.intent.keep_going and not interrupt.name):
        _remember(planned, result)
        if before.resumed:
            rollback.put_right(kernel, before)
        if arm is None:
            rollback.forget(kernel)
    else:
        result.trouble = result.trouble or (f"stopped by {interrupt.name}" if interrupt.name else "")
        go_back(kernel, before, result)


def _at_birth(keys: set[str]) -> dict[str, str]:
    return sysctl.read_at_birth(keys) if keys else {}


def _verify(kernel: Kernel, planned: Planned, result: Result) -> None:
    from reconciler.run import verify

    result.proofs = verify.prove(kernel, planned.intent.topologies)
    result.trouble = verify.disproved(result.proofs)


def go_back(kernel: Kernel, before: Unsettled, result: Result) -> None:
    """Roll back, and write into the result what became of it."""
    try:
        result.undone, result.left = rollback.back(kernel, before)
        result.rolled_back = not result.left
    except Exception as error:
        result.trouble = "; ".join(filter(None, [result.trouble, f"cannot go back: {words(error)}"]))


def words(error: Exception) -> str:
    """The error as a line for people."""
    return str(error) if isinstance(error, NetreconError) else f"unforeseen {type(error).__name__}: {error}"


def _rounds(
    kernel: Kernel, planned: Planned, result: Result, progress: Callable[[int], None], stop: Callable[[], bool]
) -> LiveState:
    """Carry out plans until live equals desired or a round changes nothing; stop at a failure unless ``keep_going``.

    Returns the rows of the last look.
    """
    problems: list[Problem] = []
    for number in range(ROUNDS):
        with stage("send"):
            outcome = carry_out(planned.plan, southbound(kernel), progress, planned.intent.keep_going, stop)
        result.applied += sum(change.action != "restore" for change in outcome.applied)
        result.failed, result.blocked = list(outcome.failed.values()), list(outcome.blocked.values())
        with stage("verify"):
            whole = result.failed or result.blocked or outcome.stopped or problems  # then everything must be read
            if not whole and (after := look.confirmed(kernel, planned)) is not None:
                result.remaining = []
                return after
            again, problems = look.look(kernel, planned.intent)
        result.remaining = [c for c in again.changes if c.key not in outcome.failed and c.key not in outcome.blocked]
        if not again.changes:
            result.failed, result.blocked = [], []
            result.trouble = "; ".join(map(str, problems))  # new problems: with old ones nothing would have changed
            break
        if outcome.stopped or (outcome.failed and not planned.intent.keep_going) or (number and not outcome.applied):
            break
        planned = again
    return again.found


def _remember(planned: Planned, result: Result) -> None:
    try:
        ownership.after(planned, result, _at_birth(ownership.brought(planned)))
    except KernelError as error:  # a full disk: the record then has too much, which does no harm
        result.notes.append(str(error))


def _need_libnftables(planned: Planned) -> None:
    """Load libnftables before the first change, so that MissingDependency means that nothing was changed."""
    if any(BY_NAME[change.key.kind].transaction == NFT for change in planned.changes):
        nft_tables.library()


def southbound(kernel: Kernel) -> Southbound:
    """Sends requests to the kernel; a namespace to be deleted is moved aside, so that a rollback can restore it."""
    return rollback.southbound(kernel, parking=True)
