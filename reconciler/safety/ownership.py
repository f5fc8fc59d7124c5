"""What a run puts on record: before the kernel has it, and as it is to stay."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.kinds import BY_NAME
from reconciler.model import port_ranges
from reconciler.model.changes import Change, Desired
from reconciler.model.keys import HOST, Key
from reconciler.planning.intent import Planned, Result
from reconciler.planning.topology import Topology
from reconciler.safety import state_dir
from reconciler.safety.state_dir import Record


def before(planned: Planned) -> None:
    """On record before the kernel has it: a run that is killed leaves at worst a record too many."""
    for name, record in _records(planned).items():
        old = state_dir.load().get(name, Record())
        reserved = {key: port_ranges.ranges_of(_either(key, old, record)) for key in (*old.reserved, *record.reserved)}
        merged = Record(old.shared | record.shared, {**record.sysctls, **_kept(old, record)}, reserved)
        if merged != old:
            state_dir.save(name, merged)


def _either(key: Key, old: Record, new: Record) -> set[int]:
    return port_ranges.ports_of(old.reserved.get(key, ())) | port_ranges.ports_of(new.reserved.get(key, ()))


def _kept(old: Record, new: Record) -> dict[Key, tuple[str, str]]:
    """The value before our first write stays, whatever we write later."""
    return {key: (pair[0], new.sysctls.get(key, pair)[1]) for key, pair in old.sysctls.items()}


def after(planned: Planned, result: Result) -> None:
    """The records as they are to stay, once all is as declared.  Raises KernelError."""
    if not result.verified:
        return
    current = state_dir.load()
    for name, record in _records(planned).items():
        old = current.get(name, Record())
        sysctls = {key: pair for key, pair in _kept(old, record).items() if key in record.sysctls}
        wanted = Record(record.shared, {**record.sysctls, **sysctls}, record.reserved)
        if wanted != old:
            state_dir.save(name, wanted)


def _records(planned: Planned) -> dict[str, Record]:
    """By topology: what lies on links of others, and the host's sysctls that it sets or helps to hold."""
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
        own = _own_links(one)
        for key, wanted in _of_kind(one, "sysctl"):
            old = _value_before(key, updated.get(key), known)
            if old is not None and BY_NAME["sysctl"].without(wanted.object, own) is not None:
                record.sysctls[key] = (old, wanted.object.value)
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


def _own_links(one: Topology) -> frozenset[tuple[str, str]]:
    """Links that take their sysctls along when they go."""
    return frozenset(where for where, key in one.names.links.items() if key.kind != "interface")


def _value_before(key: Key, change: Change | None, known: dict[str, Record]) -> str | None:
    for record in known.values():
        if key in record.sysctls:
            return record.sysctls[key][0]
    return None if change is None or change.before is None else str(change.before.value)
