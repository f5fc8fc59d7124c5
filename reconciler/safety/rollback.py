"""Takes the snapshot before the first change of a run, and reconciles the kernel back to it."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Collection, Iterable, Mapping

from reconciler.kernel import live
from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.nftables import nft_tables
from reconciler.kernel.proc import sysctl
from reconciler.kinds import TABLES
from reconciler.kinds.context import Names
from reconciler.kinds.fields import lost_secrets
from reconciler.model import data as dataclasses
from reconciler.model.changes import Change, Live
from reconciler.model.errors import Failure, KernelError
from reconciler.model.keys import Key
from reconciler.model.rows import LinkSettings, LiveState
from reconciler.planning import state
from reconciler.planning.apply import Failed, Southbound
from reconciler.planning.apply import apply as carry_out
from reconciler.planning.consequences import Standing
from reconciler.planning.intent import Planned
from reconciler.planning.plan import live_names, order
from reconciler.safety import announcing, journal, keeping, records, renaming, snapshot, undo_log
from reconciler.safety.snapshot import Snapshot

# Namespaces first, then their content, and again for objects that were lost with a link that was created again.
ROUNDS = 5
_UNMAKABLE = Failure(errno.ENOTSUP, "netrecon cannot make it again, or waits for what it could not")


def southbound(kernel: Kernel, parking: bool = False) -> Southbound:
    """Sends requests to the kernel; ``parking``: a namespace is moved aside, not deleted."""
    from reconciler.kernel.writer import Writer

    return Writer(kernel, {}, lambda scope, requests: nft_tables.transact(kernel, scope, requests), parking)


def prepare(kernel: Kernel, planned: Planned) -> undo_log.Unsettled:
    """Take the snapshot and write it to disk.  Raises KernelError if it cannot be written."""
    settings = _settings(kernel, snapshot.lost_links(planned))
    tables = {key: nft_tables.listing(kernel, key.scope, key.name) for key in snapshot.edited_tables(planned)}
    taken = snapshot.with_tables(snapshot.take(planned), tables)
    upset = snapshot.upset(planned)
    taken = snapshot.with_settings(taken, sysctl.read_many(kernel, upset)) if upset else taken
    taken = snapshot.with_settings(taken, snapshot.held_meanwhile(planned))
    known = records.load()
    measures = planned.plan.measures
    entry = undo_log.Unsettled(
        taken,
        {name: known.get(name, {}) for name in planned.intent.names},
        settings,
        [change.key for change in measures.restored],
        [setting for listed in measures.settings.values() for setting in listed],
    )
    return begin(kernel, entry)


def begin(kernel: Kernel, entry: undo_log.Unsettled) -> undo_log.Unsettled:
    """Write the state before a run to disk; that of an earlier run is given up.  Raises KernelError."""
    entry = _resumed(entry, undo_log.read())
    forget(kernel)
    undo_log.write(entry)
    return entry


def _settings(kernel: Kernel, lost: Iterable[tuple[str, str]]) -> list[LinkSettings]:
    links: dict[str, list[str]] = {}
    for scope, link in lost:
        links.setdefault(scope, []).append(link)
    if not links:
        return []
    from reconciler.kernel.proc import link_settings

    return link_settings.read_link_settings(kernel, links)


def _resumed(entry: undo_log.Unsettled, killed: undo_log.Unsettled | None) -> undo_log.Unsettled:
    """The entry, with the foreign objects that a killed run has not put back."""
    if killed is None or not killed.kept:
        return entry
    lost = {key: one for key in killed.kept if (one := killed.snapshot.entries.get(key)) is not None}
    taken = dataclasses.replace(entry.snapshot, entries={**lost, **entry.snapshot.entries})
    return dataclasses.replace(entry, snapshot=taken, kept=[*entry.kept, *lost], resumed=True)


def put_right(kernel: Kernel, entry: undo_log.Unsettled) -> list[Change]:
    """Put back what a killed run had no time to: foreign objects, and sysctls that still have their temporary value."""
    names: dict[str, set[str]] = {}
    for one in entry.meanwhile:
        names.setdefault(one.scope, set()).add(one.key)
    values = sysctl.read_many(kernel, names)
    left = {(one.scope, one.key) for one in entry.meanwhile if values.get((one.scope, one.key)) == one.meanwhile}
    entries = {key: one for key, one in entry.snapshot.entries.items() if key in entry.kept or snapshot.sets(key, left)}
    if not entries:
        return []
    taken = dataclasses.replace(entry.snapshot, entries=entries)
    return _towards(kernel, lambda: taken)[0]


def after_a_kill(kernel: Kernel, topologies: Collection[str]) -> str:
    """Before a new run for these topologies: put right what a killed one left; a note about it, "" for none."""
    entry = undo_log.read()
    if entry is not None and entry.renamed is not None:
        return _settle_name(kernel, entry, entry.renamed, topologies)
    done = _once(put_right(kernel, entry)) if entry is not None else []
    if entry is None or not done:
        return ""
    told = "an earlier run was killed; put back"
    journal.tell("rollback", entry.snapshot.topologies, told, len(done))
    return f"{told}: {', '.join(str(one.key) for one in done)}"


def _settle_name(kernel: Kernel, entry: undo_log.Unsettled, names: renaming.Names, topologies: Collection[str]) -> str:
    """End a killed rename: with the new name if the run asks for that one, else with the old one."""
    if names[1] in topologies:
        left = renaming.onward(kernel, names, southbound(kernel))
        if not left:
            forget(kernel)
    else:
        _undone, left = back(kernel, entry)
    if left:
        raise KernelError(f"settle a rename of {names[0]} to {names[1]} that was killed", left[0].failure)
    before, after = names if names[1] in topologies else names[::-1]
    journal.tell(f"rename {names[0]} to", [names[1]], f"was killed; all of {before} is {after} now")
    return f"an earlier run was killed while it renamed {names[0]} to {names[1]}; all of {before} is {after} now"


def forget(kernel: Kernel) -> None:
    """Give up the possibility to go back: delete the snapshot, and the namespaces that were moved aside."""
    kernel.release_parked()
    undo_log.settle()


def abandon(kernel: Kernel, entry: undo_log.Unsettled) -> None:
    """Undo the preparation of a run that has changed nothing yet."""
    _records_back(entry)
    forget(kernel)


def back(kernel: Kernel, entry: undo_log.Unsettled) -> tuple[list[Change], list[Failed]]:
    """Go back to the snapshot: the changes undone, and those that failed to be undone, with the error.

    The snapshot is deleted only when nothing failed, so that a later attempt is possible.
    """
    from reconciler.kernel.proc import link_settings

    if entry.renamed is not None:
        return _renamed_back(kernel, entry, entry.renamed)
    undone, left, failed = _towards(
        kernel, lambda: snapshot.with_settings(entry.snapshot, link_settings.differing(kernel, entry.settings))
    )
    _records_back(entry)
    if not left:
        forget(kernel)
    lost = {change.key: failed.get(change.key) or Failed(change, _reason(change)) for change in left}
    return _once(change for change in undone if change.key not in lost), list(lost.values())


def _renamed_back(
    kernel: Kernel, entry: undo_log.Unsettled, names: renaming.Names
) -> tuple[list[Change], list[Failed]]:
    undone, left = renaming.back(kernel, names, southbound(kernel))
    if not left:
        put_right(kernel, entry)
        _records_back(entry)
        forget(kernel)
    return undone, left


def _towards(kernel: Kernel, goal: Callable[[], Snapshot]) -> tuple[list[Change], list[Change], Mapping[Key, Failed]]:
    """Reconcile towards a snapshot: the changes made, those left to make, and the failures of the last round."""
    undone: list[Change] = []
    left: list[Change] = []
    failed: dict[Key, Failed] = {}
    first: LiveState | None = None
    for _ in range(ROUNDS):
        taken = goal()
        rows, view = _read(kernel, taken)
        first = first or rows
        live = _objects(kernel, taken, rows, view)
        left = snapshot.undo(taken, live)
        able = [change for change in left if not _only_secrets(change)]
        if not able:
            break
        measures, _ = keeping.keep(kernel, able, Standing(live), rows, view)
        outcome = carry_out(order(able, [_names(taken)], live, measures, restoring=True), southbound(kernel))
        undone += outcome.applied
        failed = outcome.failed
        if not outcome.applied:
            break
    if first is not None and first is not rows:
        announcing.tell(kernel, first, rows)
    return undone, left, failed


def _only_secrets(change: Change) -> bool:
    """Whether the change only restores secrets of which the disk has nothing but the digest."""
    return change.after is not None and bool(change.differs) and lost_secrets(change.after) >= {*change.differs}


def _reason(change: Change) -> Failure:
    words = sorted(lost_secrets(change.after)) if change.after is not None else []
    if not words:
        return _UNMAKABLE
    return Failure(errno.ENOTSUP, f"{', '.join(words)} is secret and was not kept on disk; apply its topology again")


def _names(taken: Snapshot) -> Names:
    return live_names({key: entry.held for key, entry in taken.entries.items() if entry.held})


def _read(kernel: Kernel, taken: Snapshot) -> tuple[LiveState, state.View]:
    rows = live.read(kernel, lambda _owner: False, taken.scopes, state.settings(taken.entries), TABLES)
    memory = records.memory(records.load(), taken.topologies)  # records of the run: they have what it reserved
    return rows, state.View(taken.topologies, taken.wanted, taken.relaxed, memory, adopting=True)


def _objects(kernel: Kernel, taken: Snapshot, rows: LiveState, view: state.View) -> dict[Key, Live]:
    entries = state.objects(rows, view) | keeping.read_aside(kernel, rows, taken.entries.keys(), view)
    return {key: entry for key, entry in entries.items() if snapshot.was_read(key, rows)}


def _records_back(entry: undo_log.Unsettled) -> None:
    for name, record in entry.records.items():
        with contextlib.suppress(KernelError):  # a full disk: the record then has too much, which does no harm
            records.save(name, record)


def _once(changes: Iterable[Change]) -> list[Change]:
    return list({(change.action, change.key): change for change in changes}.values())
