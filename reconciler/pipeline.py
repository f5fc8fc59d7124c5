"""The whole story: text -> desired; kernel -> live; diff -> plan -> apply -> verify."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reconciler import doctor, document, ports, records, schema, sources, state, topology
from reconciler.apply import Southbound
from reconciler.apply import apply as carry_out
from reconciler.diff import diff
from reconciler.doctor import Finding
from reconciler.errors import InputError, Problem, Refused
from reconciler.kinds import BY_NAME, NFT, reserved_ports
from reconciler.model import HOST, Change, Held, Key
from reconciler.plan import order
from reconciler.records import Record
from reconciler.run import Intent, Planned, Result
from reconciler.state import Memory
from reconciler.timings import stage
from reconciler.topology import Topology

if TYPE_CHECKING:
    from reconciler.kernel.namespaces import Kernel

ROUNDS = 3  # an apply may undo by side effect what an earlier part of it did; then it looks and goes on


# ------------------------------------------------------------------------------------------------ desired


def load(arguments: Sequence[str]) -> list[Topology]:
    """The topologies of files, folders and ``-``; InputError with the problems of all of them."""
    topologies: list[Topology] = []
    problems: list[Problem] = []
    for file in sources.expand(list(arguments)):
        try:
            topologies.append(load_one(file))
        except InputError as error:
            problems.extend(error.problems)
    if problems:
        raise InputError(problems)
    with stage("build"):
        topology.together(topologies)
    return topologies


def load_one(file: str) -> Topology:
    with stage("load"):
        loaded = document.load("<stdin>" if file == sources.STDIN else file, sources.read(file))
    with stage("validate"):
        problems = schema.check(loaded)
    if problems:
        from reconciler import salvage

        raise InputError(sorted({*problems, *salvage.problems(loaded, topology.problems)}))
    with stage("build"):
        return topology.build(loaded)


def to_have(topologies: Iterable[Topology], adopt: bool = False, force: bool = False) -> Intent:
    listed = tuple(topologies)
    return Intent(frozenset(one.name for one in listed), listed, adopt, force)


def to_be_gone(names: Iterable[str], force: bool = False) -> Intent:
    return Intent(frozenset(names), (), False, force)


# ------------------------------------------------------------------------------------------------ live


def read(kernel: Kernel, intent: Intent) -> dict[Key, Held]:
    """The live objects as this run sees them."""
    from reconciler.kernel import live

    desired = intent.desired
    memory = records.memory(records.load(), intent.names)
    spaces = [key.name for key in desired if key.kind == "namespace"]
    with stage("read"):
        found = live.read(kernel, lambda owner: owner in intent.names, spaces, _settings(memory, desired))
    with stage("objects"):
        return state.objects(found, state.View(intent.names, desired, intent.relaxed, memory, intent.adopt))


def _settings(memory: Memory, desired: Iterable[Key] = ()) -> dict[str, set[str]]:
    """By scope, the sysctls that are worth a look."""
    settings: dict[str, set[str]] = {}
    for key in (*memory.sysctls, *memory.reserved, *desired):
        if key.kind == "sysctl":
            settings.setdefault(key.scope, set()).add(key.name)
        elif key.kind == "reserved_ports":
            settings.setdefault(key.scope, set()).update((reserved_ports.RESERVED, reserved_ports.EPHEMERAL))
    return settings


# ------------------------------------------------------------------------------------------------ plan


def plan(kernel: Kernel, intent: Intent, warn: bool = True) -> Planned:
    """Read, compare, order, and look around unless ``warn`` is off.  Raises Refused with all that stands in the way."""
    planned, problems = _look(kernel, intent)
    problems += _occupied(kernel, planned) + _managed_elsewhere(planned)
    if problems:
        raise Refused(problems)
    wanted = {key: one.object for key, one in intent.desired.items()} if warn else {}
    return dataclasses.replace(planned, warnings=tuple(_around(kernel, wanted, applied=True)))


def _around(kernel: Kernel, objects: Mapping[Key, Any], applied: bool) -> list[Finding]:
    scopes = doctor.published(objects)
    if not scopes:
        return doctor.diagnose(objects, {}, applied)
    from reconciler.kernel import surroundings

    return doctor.diagnose(objects, surroundings.read(kernel, scopes), applied)


def _look(kernel: Kernel, intent: Intent) -> tuple[Planned, list[Problem]]:
    live = read(kernel, intent)
    with stage("diff"):
        changes, problems = diff(intent.desired, live, intent.names, intent.adopt)
    with stage("plan"):
        return Planned(intent, order(changes, (one.names for one in intent.topologies), live), live), problems


def _occupied(kernel: Kernel, planned: Planned) -> list[Problem]:
    """Namespaces to be deleted in which processes live."""
    going = [c.key.name for c in planned.changes if c.key.kind == "namespace" and c.action == "delete"]
    if planned.intent.force or not going:
        return []
    found = kernel.occupants(going).items()
    return [
        Problem("", 0, 0, "", f"namespace {name} has live processes: pid {_listed(pids)}; --force deletes it")
        for name, pids in found
        if pids
    ]


def _managed_elsewhere(planned: Planned) -> list[Problem]:
    """Files of the host into which no block can go."""
    from reconciler.kernel import files

    wanted = [c for c in planned.changes if c.key.kind == "dns_file" and c.key.scope == HOST and c.origin]
    texts = [(change, files.managed_elsewhere(change.key.name)) for change in wanted]
    return [
        topology.problem_at(c.origin, f"{c.key} cannot be written: {text}") for c, text in texts if text and c.origin
    ]


def _listed(pids: list[int]) -> str:
    return ", ".join(map(str, pids[:10])) + (f" and {len(pids) - 10} more" if len(pids) > 10 else "")


# ------------------------------------------------------------------------------------------------ apply


def apply(kernel: Kernel, planned: Planned, progress: Callable[[int], None] = lambda _count: None) -> Result:
    """Carry the plan out, read again, and go on until live equals desired or nothing moves any more."""
    started = time.monotonic()
    result = Result()
    if planned.changes:
        _need_libnftables(planned)
        _remember_before(planned)
        _rounds(kernel, planned, result, progress)
    _remember_after(planned, result)
    result.seconds = time.monotonic() - started
    return result


def _rounds(kernel: Kernel, planned: Planned, result: Result, progress: Callable[[int], None]) -> None:
    for number in range(ROUNDS):
        with stage("send"):
            outcome = carry_out(planned.plan, southbound(kernel), progress)
        result.applied += len(outcome.applied)
        result.failed, result.blocked = list(outcome.failed.values()), list(outcome.blocked.values())
        with stage("verify"):
            again, _problems = _look(kernel, planned.intent)
        result.remaining = [c for c in again.changes if c.key not in outcome.failed and c.key not in outcome.blocked]
        if not again.changes:
            result.failed, result.blocked = [], []
            return
        if number and not outcome.applied:
            return
        planned = again


def _need_libnftables(planned: Planned) -> None:
    """Found out before the first change: MissingDependency means that nothing was done."""
    if any(change.key.kind in NFT for change in planned.changes):
        from reconciler.kernel import nftables

        nftables.library()


def southbound(kernel: Kernel) -> Southbound:
    from reconciler.kernel import nftables
    from reconciler.kernel.writer import Writer

    return Writer(kernel, {}, lambda scope, requests: nftables.transact(kernel, scope, requests))


# ------------------------------------------------------------------------------------------------ records


def _remember_before(planned: Planned) -> None:
    """On record before the kernel has it: a run that is killed leaves at worst a record too many."""
    for name, record in _records(planned).items():
        old = records.load().get(name, Record())
        reserved = {key: ports.ranges_of(_either(key, old, record)) for key in (*old.reserved, *record.reserved)}
        merged = Record(old.shared | record.shared, {**record.sysctls, **_kept(old, record)}, reserved)
        if merged != old:
            records.save(name, merged)


def _either(key: Key, old: Record, new: Record) -> set[int]:
    return ports.ports_of(old.reserved.get(key, ())) | ports.ports_of(new.reserved.get(key, ()))


def _kept(old: Record, new: Record) -> dict[Key, tuple[str, str]]:
    """The value before our first write stays, whatever we write later."""
    return {key: (pair[0], new.sysctls.get(key, pair)[1]) for key, pair in old.sysctls.items()}


def _remember_after(planned: Planned, result: Result) -> None:
    if result.failed or result.blocked or result.remaining:
        return
    current = records.load()
    for name, record in _records(planned).items():
        old = current.get(name, Record())
        sysctls = {key: pair for key, pair in _kept(old, record).items() if key in record.sysctls}
        wanted = Record(record.shared, {**record.sysctls, **sysctls}, record.reserved)
        if wanted != old:
            records.save(name, wanted)


def _records(planned: Planned) -> dict[str, Record]:
    """By topology: what lies on links of others, and the host's sysctls that it sets or helps to hold."""
    found = {name: Record() for name in planned.intent.names}
    known = records.load()
    updated = {change.key: change for change in planned.changes}
    for one in planned.intent.topologies:
        for key, wanted in one.objects.items():
            if key.kind == "reserved_ports":
                change, held = updated.get(key), planned.live.get(key)
                after = change.after if change else held.object if held else wanted.object
                found[one.name].reserved.update({key: after.ports} if after.ports else {})
            if key.scope != HOST:
                continue
            if key.kind in ("address", "route") and _is_shared(one, key):
                found[one.name].shared.add(key)
            elif key.kind == "sysctl" and BY_NAME["sysctl"].without(wanted.object, _own_links(one)) is not None:
                before = _before(key, updated.get(key), known)
                if before is not None:
                    found[one.name].sysctls[key] = (before, wanted.object.value)
    return found


def _is_shared(one: Topology, key: Key) -> bool:
    """Whether nothing in the kernel says that it is ours: its link is not one that we made."""
    held = one.objects[key].object
    devices = [held.link] if key.kind == "address" else [hop.dev for hop in held.hops] or [None]
    made = [one.names.links.get((HOST, device or "")) for device in devices]
    return any(link is None or link.kind == "interface" for link in made)


def _own_links(one: Topology) -> frozenset[tuple[str, str]]:
    """Links that take their sysctls along when they go."""
    return frozenset(where for where, key in one.names.links.items() if key.kind != "interface")


def _before(key: Key, change: Change | None, known: dict[str, Record]) -> str | None:
    for record in known.values():
        if key in record.sysctls:
            return record.sysctls[key][0]
    return None if change is None or change.before is None else str(change.before.value)


# ------------------------------------------------------------------------------------------------ doctor


def examine(kernel: Kernel, topologies: Sequence[Topology] | None) -> tuple[list[str], list[Finding]]:
    """The names of the topologies, and what is in their way; None stands for all that the kernel holds."""
    if topologies is not None:
        names = [one.name for one in topologies]
        wanted = {key: one.object for key, one in to_have(topologies).desired.items()}
        return names, _around(kernel, wanted, applied=False)
    held = {key: one for key, one in _everything(kernel).items() if one.owner and one.owner[0] != "<"}
    names = sorted({one.owner for one in held.values()})
    return names, _around(kernel, {key: one.object for key, one in held.items()}, applied=False)


# ------------------------------------------------------------------------------------------------ list


def holdings(kernel: Kernel) -> dict[str, dict[str, int]]:
    """By topology, how many objects of each kind the kernel holds."""
    counts: dict[str, dict[str, int]] = {name: {} for name in sorted(records.load())}
    for key, one in _everything(kernel).items():
        if one.owner and one.owner[0] != "<":
            kinds = counts.setdefault(one.owner, {})
            kinds[key.kind] = kinds.get(key.kind, 0) + 1
    return {name: counts[name] for name in sorted(counts)}


def _everything(kernel: Kernel) -> dict[Key, Held]:
    """All objects of all topologies, and what else lies in the namespaces that they own."""
    from reconciler.kernel import live

    remembered = records.load()
    memory = records.memory(remembered, ())
    found = live.read(kernel, bool, (), _settings(memory))
    names = frozenset(remembered) | _owners_of_blocks(found.files.values())
    return state.objects(found, state.View(names, {}, frozenset(), memory))


def _owners_of_blocks(texts: Iterable[str]) -> frozenset[str]:
    marks = (line for text in texts for line in text.splitlines() if line.startswith("# BEGIN netrecon:"))
    return frozenset(mark.partition(":")[2] for mark in marks)
