"""The whole story up to the plan: text -> desired; kernel -> live; diff -> plan.  How it goes on: converge.py."""

from __future__ import annotations

import dataclasses
from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from reconciler.kernel import live
from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.proc import dns_files
from reconciler.kinds import TABLES, having
from reconciler.language.networks.lowered import Lowered
from reconciler.model.changes import Change, Live
from reconciler.model.errors import Problem, Refused
from reconciler.model.keys import HOST, NO_ORIGIN, Key
from reconciler.model.rows import LiveState
from reconciler.model.timings import stage
from reconciler.planning import doctor, state
from reconciler.planning.consequences import NO_MEASURES, Measures
from reconciler.planning.diff import by_line, diff
from reconciler.planning.doctor import Finding
from reconciler.planning.intent import Intent, Planned
from reconciler.planning.plan import order
from reconciler.planning.topology import Topology
from reconciler.run import load
from reconciler.safety import state_dir

_EDITS, _HOLDS = having(lambda kind: kind.edits), having(lambda kind: kind.holds)


# ------------------------------------------------------------------------------------------------ desired


def lower(arguments: Sequence[str], kernel: Kernel | None) -> list[Lowered]:
    """The files in the words of level one, as they are for this host; without a kernel, for one that holds nothing."""
    documents = load.documents(arguments)
    lowered = load.lower(documents)
    topologies = load.build(lowered)
    if kernel is None:
        return lowered
    lowered = load.lower(documents, _seen(kernel, _gather(kernel, to_have(topologies))))
    load.build(lowered)
    return lowered


def to_have(
    topologies: Iterable[Topology], adopt: bool = False, force: bool = False, keep_going: bool = False
) -> Intent:
    listed = tuple(topologies)
    return Intent(frozenset(one.name for one in listed), listed, adopt, force, keep_going)


def to_be_gone(names: Iterable[str], force: bool = False, keep_going: bool = False) -> Intent:
    return Intent(frozenset(names), (), False, force, keep_going)


# ------------------------------------------------------------------------------------------------ live


def read(kernel: Kernel, intent: Intent) -> dict[Key, Live]:
    """The live objects as this run sees them."""
    return _objects(_gather(kernel, intent), intent)


def _gather(kernel: Kernel, intent: Intent) -> LiveState:
    desired = intent.desired
    spaces = [key.name for key in desired if key.kind == "namespace"]
    memory = memory_of(intent)
    settings = state.settings(desired, memory)
    if not intent.settled and any(one.draft for one in intent.topologies):
        from reconciler.language.networks.lower import BRIDGE_NF

        settings.setdefault(HOST, set()).update(BRIDGE_NF.values())
    with stage("read"):
        return live.read(kernel, lambda owner: owner in intent.names, spaces, settings, TABLES)


def _objects(found: LiveState, intent: Intent) -> dict[Key, Live]:
    with stage("objects"):
        return state.objects(found, _view(intent))


def _view(intent: Intent) -> state.View:
    return state.View(intent.names, intent.desired, intent.relaxed, memory_of(intent), intent.adopt)


def memory_of(intent: Intent) -> state.Memory:
    """What is on record of the intent's topologies."""
    return state_dir.memory(state_dir.load(), intent.names)


def _settled(kernel: Kernel, intent: Intent, found: LiveState) -> Intent:
    """The intent with the addresses, subnets and ports that its networks hold; once for a run, from its first look."""
    if intent.settled or all(one.draft is None for one in intent.topologies):
        return intent
    topologies = load.settled(intent.topologies, _seen(kernel, found))
    return dataclasses.replace(intent, topologies=topologies, settled=True)


def _seen(kernel: Kernel, found: LiveState) -> load.Seen:
    from reconciler.kernel.observe import sock_diag

    return load.Seen(found, dns_files.upstream_resolver(), sock_diag.ports_in_use(kernel, HOST))


# ------------------------------------------------------------------------------------------------ plan


def plan(
    kernel: Kernel,
    intent: Intent,
    warn: bool = True,
    guard: Callable[[Planned], list[Problem]] = lambda _planned: [],
) -> Planned:
    """Read, compare, order, and look around unless ``warn`` is off.

    Raises Refused with all that stands in the way, and what ``guard`` finds.
    """
    planned, problems = look(kernel, intent)
    problems += [*_occupied(kernel, planned), *_managed_elsewhere(planned), *guard(planned)]
    if problems:
        raise Refused(problems)
    if not warn:
        return planned
    going = {change.key for change in planned.changes if change.after is None}
    staying = {key: one.object for key, one in planned.live.items() if key.kind in _HOLDS and key not in going}
    wanted = {key: one.object for key, one in planned.intent.desired.items()}
    return dataclasses.replace(planned, warnings=tuple(_around(kernel, wanted, staying, applied=True)))


def _around(kernel: Kernel, objects: Mapping[Key, Any], beside: Mapping[Key, Any], applied: bool) -> list[Finding]:
    scopes = doctor.published(objects)
    if not scopes:
        return doctor.diagnose(objects, {}, applied, beside)
    from reconciler.kernel.observe import host_facts

    return doctor.diagnose(objects, host_facts.read(kernel, scopes), applied, beside)


def look(kernel: Kernel, intent: Intent) -> tuple[Planned, list[Problem]]:
    """Read, compare and order; with the plan, what stands in its way."""
    found = _gather(kernel, intent)
    intent = _settled(kernel, intent, found)
    live = _objects(found, intent)
    with stage("diff"):
        changes, problems = diff(intent.desired, live, intent.names, intent.adopt)
        changes = by_line(changes, ChainMap(*(one.names.lines for one in intent.topologies)))
        measures, lost = _kept(kernel, intent, changes, live, found) if changes else (NO_MEASURES, [])
    with stage("plan"):
        plan = order(changes, (one.names for one in intent.topologies), live, measures)
    return Planned(intent, plan, live, found), [*problems, *lost]


def _kept(
    kernel: Kernel, intent: Intent, changes: list[Change], live: dict[Key, Live], found: LiveState
) -> tuple[Measures, list[Problem]]:
    from reconciler.safety import keeping  # a check that finds nothing to do has no use for it

    return keeping.keep(kernel, changes, live, found, _view(intent), intent.force)


def _occupied(kernel: Kernel, planned: Planned) -> list[Problem]:
    """Namespaces to be deleted in which processes live."""
    going = [c.key.name for c in planned.changes if c.key.kind == "namespace" and c.action == "delete"]
    if planned.intent.force or not going:
        return []
    found = kernel.occupants(going).items()
    return [
        Problem(NO_ORIGIN, f"namespace {name} has live processes: pid {_listed(pids)}; --force deletes it")
        for name, pids in found
        if pids
    ]


def _managed_elsewhere(planned: Planned) -> list[Problem]:
    """Files of the host into which no block can go."""
    wanted = [c for c in planned.changes if c.key.kind in _EDITS and c.after]
    files = [(change, file) for change in wanted if (file := _EDITS[change.key.kind](change.after))]
    texts = [(change, dns_files.managed_elsewhere(file)) for change, file in files]
    return [Problem(c.origin, f"{c.key} cannot be written: {text}") for c, text in texts if text]


def _listed(pids: list[int]) -> str:
    return ", ".join(map(str, pids[:10])) + (f" and {len(pids) - 10} more" if len(pids) > 10 else "")


# ------------------------------------------------------------------------------------------------ doctor


def examine(kernel: Kernel, topologies: Sequence[Topology] | None) -> tuple[list[str], list[Finding]]:
    """The names of the topologies, and what is in their way; None stands for all that the kernel holds."""
    if topologies is not None:
        names = [one.name for one in topologies]
        intent = to_have(topologies)
        wanted = {key: one.object for key, one in intent.desired.items()}
        live = {key: one.object for key, one in read(kernel, intent).items()}
        return names, _around(kernel, wanted, live, applied=False)
    held = {key: one for key, one in _everything(kernel).items() if one.owner and one.owner[0] != "<"}
    names = sorted({one.owner for one in held.values()})
    return names, _around(kernel, {key: one.object for key, one in held.items()}, {}, applied=False)


# ------------------------------------------------------------------------------------------------ list


def holdings(kernel: Kernel) -> dict[str, dict[str, int]]:
    """By topology, how many objects of each kind the kernel holds."""
    counts: dict[str, dict[str, int]] = {name: {} for name in sorted(state_dir.load())}
    for key, one in _everything(kernel).items():
        if one.owner and one.owner[0] != "<":
            kinds = counts.setdefault(one.owner, {})
            kinds[key.kind] = kinds.get(key.kind, 0) + 1
    return {name: counts[name] for name in sorted(counts)}


def _everything(kernel: Kernel) -> dict[Key, Live]:
    """All objects of all topologies, and what else lies in the namespaces that they own."""
    remembered = state_dir.load()
    memory = state_dir.memory(remembered, ())
    found = live.read(kernel, bool, (), state.settings((), memory), TABLES)
    names = frozenset(remembered) | _owners_of_blocks(found.files.values())
    return state.objects(found, state.View(names, {}, frozenset(), memory))


def _owners_of_blocks(texts: Iterable[str]) -> frozenset[str]:
    marks = (line for text in texts for line in text.splitlines() if line.startswith("# BEGIN netrecon:"))
    return frozenset(mark.partition(":")[2] for mark in marks)
