"""What a run puts on record: before the kernel has it, and as it is to stay."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from reconciler.kinds import sysctl
from reconciler.kinds.kind import Noting
from reconciler.model import port_ranges
from reconciler.model.changes import Desired
from reconciler.model.keys import HOST, Key
from reconciler.planning.intent import Planned, Result
from reconciler.planning.topology import Topology
from reconciler.safety import state_dir
from reconciler.safety.state_dir import Record


def before(planned: Planned, at_birth: Mapping[str, str]) -> None:
    """On record before the kernel has it: a run that is killed leaves at worst a record too many.

    ``at_birth`` has the settings of a namespace that was just made.
    """
    for name, record in _records(planned, at_birth).items():
        old = state_dir.load().get(name, Record())
        reserved = {key: port_ranges.ranges_of(_either(key, old, record)) for key in (*old.reserved, *record.reserved)}
        merged = Record(old.shared | record.shared, {**record.sysctls, **_kept(old, record)}, reserved)
        if merged != old:
            state_dir.save(name, merged)


def _either(key: Key, old: Record, new: Record) -> set[int]:
    return port_ranges.ports_of(old.reserved.get(key, ())) | port_ranges.ports_of(new.reserved.get(key, ()))


def _kept(old: Record, new: Record) -> dict[Key, tuple[str | None, str]]:
    """The value before our first write stays, whatever we write later."""
    return {key: (pair[0], new.sysctls.get(key, pair)[1]) for key, pair in old.sysctls.items()}


def after(planned: Planned, result: Result) -> None:
    """The records as they are to stay, once all is as declared.  Raises KernelError."""
    if not result.verified:
        return
    current = state_dir.load()
    for name, record in _records(planned, {}).items():
        old = current.get(name, Record())
        sysctls = {key: pair for key, pair in _kept(old, record).items() if key in record.sysctls}
        wanted = Record(record.shared, {**record.sysctls, **sysctls}, record.reserved)
        if wanted != old:
            state_dir.save(name, wanted)


def settings_of_newborn(planned: Planned) -> set[str]:
    """The settings that the plan writes in namespaces that it makes: what they are at birth only a new one can tell."""
    born = {change.key.name for change in planned.changes if change.key.kind == "namespace" and change.before is None}
    return {change.key.name for change in planned.changes if change.key.kind == "sysctl" and change.key.scope in born}


def _records(planned: Planned, at_birth: Mapping[str, str]) -> dict[str, Record]:
    """By topology: what lies on links of others, and the settings that it makes or helps to hold."""
    found = {name: Record() for name in planned.intent.names}
    known = state_dir.load()
    updated = {change.key: change for change in planned.changes}
    for one in planned.intent.topologies:
        record = found[one.name]
        scopes = [scope for scope, kind in one.names.by_scope if kind == "reserved_ports"]
        for key, wanted in (pair for scope in scopes for pair in _of_kind(one, "reserved_ports", scope)):
            change, held = updated.get(key), planned.live.get(key)
            after = change.after if change else held.object if held else wanted.object
            record.reserved.update({key: after.ports} if after.ports else {})
        for kind in ("address", "route"):
            record.shared.update(key for key, _ in _of_kind(one, kind) if _is_shared(one, key))
        record.sysctls.update(_sysctls(planned, one, known, at_birth))
    return found


def _of_kind(one: Topology, kind: str, scope: str = HOST) -> Iterator[tuple[Key, Desired]]:
    """A topology's objects of one kind in one scope: there may be 10,000 others."""
    return ((key, one.objects[key]) for key in one.names.by_scope.get((scope, kind), ()))


def _is_shared(one: Topology, key: Key) -> bool:
    """Whether nothing in the kernel says that it is ours: its link is not one that we made."""
    held = one.objects[key].object
    devices = [held.link] if key.kind == "address" else [hop.dev for hop in held.hops] or [None]
    made = [one.names.links.get((HOST, device or "")) for device in devices]
    return any(link is None or link.kind == "interface" for link in made)


def _sysctls(
    planned: Planned, one: Topology, known: dict[str, Record], at_birth: Mapping[str, str]
) -> Iterator[tuple[Key, tuple[str | None, str]]]:
    """The settings that a topology wrote or writes, each with the value before and its own."""
    noted = {key: pair for record in known.values() for key, pair in record.sysctls.items()}
    changes = {change.key: change for change in planned.changes}
    noting = Noting(one.names, changes, planned.live, noted, at_birth)
    for scope in [scope for scope, kind in one.names.by_scope if kind == "sysctl"]:
        for key, wanted in _of_kind(one, "sysctl", scope):
            pair = sysctl.record(key, wanted.object, noting)
            if pair is not None:
                yield key, (pair[0], str(pair[1]))
