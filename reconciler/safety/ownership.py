"""Writes the records of a run: before its first change, and after its last."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping

from reconciler.kinds import BY_NAME, having
from reconciler.kinds.context import Noting
from reconciler.model.keys import HOST, Key
from reconciler.planning.intent import Planned, Result
from reconciler.safety import records
from reconciler.safety.records import Record

_RECORD = having(lambda kind: kind.record)


def before(planned: Planned, at_birth: Mapping[str, str], upset: Mapping[Key, str]) -> None:
    """Write the records before the changes, so that a killed run leaves no change unrecorded.  Raises KernelError.

    ``at_birth`` and ``upset``: see kinds.context.Noting.
    """
    known = records.load()
    for name, record in _records(planned, known, at_birth, upset).items():
        old = known.get(name, {})
        both = {key: BY_NAME[key.kind].either(old[key], record[key]) for key in old.keys() & record.keys()}
        _save(name, old, old | record | both)


def after(planned: Planned, result: Result, at_birth: Mapping[str, str]) -> None:
    """Write the final records, if the result is verified.  Raises KernelError.

    ``at_birth`` are the values of ``brought``.
    """
    if result.verified:
        known = records.load()
        for name, record in _records(planned, known, at_birth, {}).items():
            _save(name, known.get(name, {}), record)


def _save(name: str, old: Record, new: Record) -> None:
    if new != old:
        records.save(name, new)


def births(planned: Planned) -> set[str]:
    """The sysctls that must be read in a new namespace: their values there belong into the records."""
    return {name for change in planned.changes for name in BY_NAME[change.key.kind].births(change.key)}


def brought(planned: Planned) -> set[str]:
    """As ``births``, for sysctls of the host that were not there before: a kernel module came with the changes."""
    made = (change.key for change in planned.changes if change.action == "create" and change.key.scope == HOST)
    return {key.name for key in made if key.name in BY_NAME[key.kind].births(key)}


def _records(
    planned: Planned, known: Mapping[str, Record], at_birth: Mapping[str, str], upset: Mapping[Key, str]
) -> dict[str, Record]:
    """The records of each topology, as the kinds of its objects make them."""
    by_topology: dict[str, Record] = {name: {} for name in planned.intent.names}
    changes = {change.key: change for change in planned.changes}
    for topology in planned.intent.topologies:
        noted = ChainMap(known.get(topology.name, {}), *known.values())
        noting = Noting(topology.names, changes, planned.live, noted, at_birth, upset)
        keys = (key for (_, kind), keys in topology.names.by_scope.items() if kind in _RECORD for key in keys)
        pairs = ((key, _RECORD[key.kind](key, topology.objects[key].object, noting)) for key in keys)
        by_topology[topology.name] = {key: record for key, record in pairs if record is not None}
    return by_topology
