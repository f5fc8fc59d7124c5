"""One run that gives a topology which the kernel holds another name: lock, look, refuse, carry out or roll back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.nftables import rename_table
from reconciler.model.changes import Live
from reconciler.model.errors import KernelError, NetreconError, Problem, Refused
from reconciler.model.keys import HOST, NO_ORIGIN, Key, stamped
from reconciler.model.requests import RenameTable
from reconciler.planning.apply import apply as carry_out
from reconciler.planning.intent import Intent, Planned, Result
from reconciler.run import converge, host, refusals
from reconciler.run.session import Audience, ending, failure
from reconciler.safety import interrupts, journal, lock, records, renaming, rollback, undo_log
from reconciler.safety.commit_confirmed import committing
from reconciler.safety.interrupts import Interrupt
from reconciler.safety.renaming import Everything, Names
from reconciler.safety.snapshot import Snapshot


def run(names: Names, lock_timeout: float, audience: Audience) -> Result:
    """Give the topology ``names[0]`` the name ``names[1]``.  Raises NetreconError if nothing was changed."""
    host.need_root()
    command = f"rename {names[0]} to"
    with journal.refusals(command, [names[1]]), lock.held(lock_timeout), host.kernel() as kernel:
        killed = undo_log.read()
        audience.note(committing.refuse_or_settle(kernel, {names[1]}))
        planned = _planned(kernel, names, resumed=killed is not None and killed.renamed == names)
        with interrupts.put_off() as interrupt:
            audience.planned(planned)
            with audience.progress(planned) as progress:
                result = _apply(kernel, planned, names, progress, interrupt)
            journal.tell(command, [names[1]], ending(result), result.applied, result.verified, failure(result))
            audience.ended(planned, result)
            if result.verified:
                audience.note(_to_edit(planned, names))
            return result


# ------------------------------------------------------------------ before


def _planned(kernel: Kernel, names: Names, resumed: bool) -> Planned:
    """The plan.  Raises NetreconError where the names do not allow it, and Refused for what cannot be carried over.

    ``resumed``: a killed run for the same names was brought to its end just now, so that nothing may be left to do.
    """
    everything = renaming.read(kernel)
    seen = renaming.objects(everything, names[0])
    steps = renaming.steps(seen, names)
    if not resumed:
        _check_names(everything, names, seen)
    planned = Planned(Intent(frozenset(names)), renaming.plan(steps), seen, everything.rows)
    problems = [*_uncarried(kernel, planned), *refusals.of(kernel, planned, None)]
    if problems:
        raise Refused(problems)
    return planned


def _check_names(everything: Everything, names: Names, seen: dict[Key, Live]) -> None:
    before, after = names
    if not (renaming.steps(seen, names) or before in everything.records):
        raise NetreconError(f"rename: the kernel holds no topology {before}; netrecon list shows those that it holds")
    others = renaming.steps(renaming.objects(everything, after), (after, before))
    if others or after in everything.records:
        raise NetreconError(f"rename: the kernel holds a topology {after} already; take another name, or delete it")


def _uncarried(kernel: Kernel, planned: Planned) -> Iterator[Problem]:
    for stage in planned.plan.stages:
        for step in stage:
            for request in step.requests:
                if isinstance(request, RenameTable):
                    why = rename_table.foreseen(kernel, request.scope, request.table, request.to)
                    if why:
                        text = f"{step.change.key}: {why}; delete it, and make it again afterwards"
                        yield Problem(NO_ORIGIN, text, step.change.key)


def _to_edit(planned: Planned, names: Names) -> str:
    """A note of the topologies with links on bridges of this one: their files may name it."""
    links = planned.found.scopes[HOST].links
    theirs = {row.index: row.name for row in links.values() if stamped(row.alias) in names}
    users = {(stamped(row.alias), theirs[row.master]) for row in links.values() if row.master in theirs}
    told = [f"{user} (on {link})" for user, link in sorted(users) if user and user not in names]
    where = f"where their files say external: {names[0]}, write external: {names[1]}"
    return f"other topologies have links on its bridges: {', '.join(told)}; {where}" if told else ""


# ------------------------------------------------------------------ the changes


def _apply(
    kernel: Kernel, planned: Planned, names: Names, progress: Callable[[int], None], interrupt: Interrupt
) -> Result:
    started = time.monotonic()
    result = Result()
    entry = _prepared(kernel, names)
    try:
        _carry_out(kernel, planned, names, result, progress, interrupt)
    except Exception as error:  # after any error the host must not be left half changed
        result.trouble = converge.words(error)
    if result.verified:
        if entry.resumed:
            rollback.put_right(kernel, entry)
        rollback.forget(kernel)
    else:
        converge.go_back(kernel, entry, result)
    result.seconds = time.monotonic() - started
    return result


def _prepared(kernel: Kernel, names: Names) -> undo_log.Unsettled:
    """Write to disk what a way back needs, and the records of the new name.  Raises KernelError."""
    before, after = names
    known = records.load()
    kept = {name: known.get(name, {}) for name in names}
    nothing = Snapshot(frozenset(names), frozenset(), {})
    entry = rollback.begin(kernel, undo_log.Unsettled(nothing, kept, renamed=names))
    try:
        if kept[before]:
            records.save(after, renaming.recorded(kept[before], after))
    except KernelError:  # a full disk, for example: nothing has been changed yet
        rollback.abandon(kernel, entry)
        raise
    return entry


def _carry_out(
    kernel: Kernel,
    planned: Planned,
    names: Names,
    result: Result,
    progress: Callable[[int], None],
    interrupt: Interrupt,
) -> None:
    outcome = carry_out(planned.plan, rollback.southbound(kernel), progress, False, interrupt)
    result.applied, result.failed = len(outcome.applied), list(outcome.failed.values())
    if interrupt.name and not outcome.applied:
        result.trouble = f"stopped by {interrupt.name}"
    if result.failed or result.trouble:
        return
    result.remaining = [step.change for step in renaming.bearing(kernel, names)]
    if not result.remaining:
        records.save(names[0], {})
