"""Gives the objects of a topology the name of another one.  The way back is the same, with the names exchanged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from reconciler.kernel import live
from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kinds import BY_NAME, TABLES
from reconciler.model.changes import Change, Live
from reconciler.model.data import NamedTuple
from reconciler.model.keys import Key
from reconciler.model.requests import Request
from reconciler.model.rows import LiveState
from reconciler.planning import state
from reconciler.planning.apply import Failed, Southbound
from reconciler.planning.apply import apply as carry_out
from reconciler.planning.plan import Plan, Step
from reconciler.safety import records
from reconciler.safety.records import Record

Names = tuple[str, str]  # of a topology, before and after


class Everything(NamedTuple):
    """All that was read, in every namespace, and all records by topology."""

    rows: LiveState
    records: dict[str, Record]


def read(kernel: Kernel) -> Everything:
    """Read everything.  Raises KernelError."""
    known = records.load()
    return Everything(live.read_stamped(kernel, state.settings((), records.memory(known, ())), TABLES), known)


def objects(everything: Everything, topology: str) -> dict[Key, Live]:
    """The live objects, as a run for this topology sees them."""
    memory = records.memory(everything.records, (topology,))
    return state.objects(everything.rows, state.View(frozenset({topology}), {}, frozenset(), memory))


def steps(seen: Mapping[Key, Live], names: Names) -> tuple[Step, ...]:
    """The steps that give the objects of the topology ``names[0]`` the name ``names[1]``.

    One without requests is for an object that does not bear the name itself: it follows its table or link, or is on
    record.
    """
    return tuple(_steps(seen, *names))


def bearing(kernel: Kernel, names: Names) -> tuple[Step, ...]:
    """Read everything; the steps for what bears the name ``names[0]``.  Raises KernelError."""
    return tuple(step for step in steps(objects(read(kernel), names[0]), names) if step.requests)


def plan(listed: tuple[Step, ...]) -> Plan:
    """The steps as one stage: none depends on another."""
    return Plan(tuple(step.change for step in listed), (listed,) if listed else ())


def _steps(seen: Mapping[Key, Live], topology: str, to: str) -> Iterator[Step]:
    for key, entry in seen.items():
        kind = BY_NAME[key.kind]
        requests: tuple[Request, ...] = tuple(kind.rename(entry.object, topology, to))
        if requests or (entry.owner == topology and not kind.existing):
            change = Change("adopt", key, entry.object, entry.object, (), "none", to, owner_before=topology)
            yield Step(change, requests, ())


def recorded(record: Record, to: str) -> Record:
    """The record of a topology that is called ``to`` now."""
    pairs = ((key, BY_NAME[key.kind].renamed, value) for key, value in record.items())
    return {key if renamed is None else renamed(key, to): value for key, renamed, value in pairs}


def back(kernel: Kernel, names: Names, southbound: Southbound) -> tuple[list[Change], list[Failed]]:
    """Undo what a run that renames has done: the changes undone, and those that failed to be undone."""
    return _towards(kernel, (names[1], names[0]), southbound)


def onward(kernel: Kernel, names: Names, southbound: Southbound) -> list[Failed]:
    """Do what a killed run that renames has left to do: the changes that failed.  Raises KernelError."""
    record = records.load().get(names[0])
    if record is not None:
        records.save(names[1], recorded(record, names[1]))
    _done, left = _towards(kernel, names, southbound)
    if not left:
        records.save(names[0], {})
    return left


def _towards(kernel: Kernel, names: Names, southbound: Southbound) -> tuple[list[Change], list[Failed]]:
    outcome = carry_out(plan(bearing(kernel, names)), southbound)
    return outcome.applied, list(outcome.failed.values())
