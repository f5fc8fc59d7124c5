"""Reads the kernel and compares it with what is desired: all of it, or what a plan can have changed."""

from __future__ import annotations

import functools
from collections import ChainMap

from reconciler.kernel import live
from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.proc import dns_files
from reconciler.kinds import BY_NAME, KINDS, TABLES
from reconciler.kinds.kind import ENDS
from reconciler.model import data as dataclasses
from reconciler.model.changes import Change, Live
from reconciler.model.data import NamedTuple
from reconciler.model.errors import Problem
from reconciler.model.keys import HOST, Key, stamped
from reconciler.model.rows import LiveState
from reconciler.model.timings import stage
from reconciler.planning import affected, narrow, state
from reconciler.planning.affected import Reach
from reconciler.planning.consequences import NO_MEASURES, Consequences, Measures, Standing
from reconciler.planning.diff import DesiredObjects, Difference, by_line, diff
from reconciler.planning.finding import Finding
from reconciler.planning.intent import Intent, Planned
from reconciler.planning.plan import order
from reconciler.run import load
from reconciler.safety import records

_WITH_ENDS = frozenset(kind.name for kind in KINDS if kind.shows == ENDS)


class Again(NamedTuple):
    """The filter of a look after an apply: scopes of ``reach`` are read, all others are as in ``planned``.

    ``keys`` are the keys of the desired objects that can differ.
    """

    planned: Planned
    reach: Reach
    keys: frozenset[Key]


class Seen(NamedTuple):
    """The rows that were read (``found``), and the desired and live objects to compare."""

    intent: Intent
    view: state.View
    found: LiveState
    desired: DesiredObjects
    standing: Standing

    @property
    def live(self) -> dict[Key, Live]:
        """The live objects by key."""
        return self.standing.live


def look(kernel: Kernel, intent: Intent) -> tuple[Planned, list[Problem]]:
    """Read everything: the plan, and the problems that forbid it.  Raises KernelError."""
    seen = see(kernel, intent)
    difference = _difference(seen)
    changes = by_line(difference.changes, ChainMap(*(topology.names.lines for topology in seen.intent.topologies)))
    kept = _kept(kernel, seen, changes, difference.taken) if changes else NOTHING_SPARED
    with stage("plan"):
        names = (topology.names for topology in seen.intent.topologies)
        plan = order(_told(kernel, seen, kept), names, seen.live, kept.measures)
    planned = Planned(seen.intent, plan, seen.live, seen.found, kept.warnings)
    return planned, [*difference.problems, *kept.problems]


def _told(kernel: Kernel, seen: Seen, kept: Spared) -> list[Change]:
    """The changes with their impact."""
    if not kept.changes:
        return kept.changes
    from reconciler.kernel.observe import sock_diag
    from reconciler.planning import disruption  # not needed by a check that finds nothing to do

    listening = functools.partial(sock_diag.listening, kernel)
    return disruption.told(kept.changes, seen.standing, seen.found, kept.measures, listening)


def confirmed(kernel: Kernel, planned: Planned) -> LiveState | None:
    """The rows after the plan was carried out, if everything that it can have changed is as desired; else None.

    None also where a change can have effects in any scope: then everything must be read (``look``).
    """
    reach = affected.of(planned.changes, planned.found)
    if reach is None:
        return None
    again = Again(planned, reach, frozenset(narrow.keys(planned.intent, reach)))
    seen = see(kernel, planned.intent, again)
    difference = _difference(seen)
    return None if difference.changes or difference.problems else seen.found


def see(kernel: Kernel, intent: Intent, again: Again | None = None) -> Seen:
    """Read everything, or with ``again`` what a plan can have changed.  Raises KernelError."""
    memory = _memory(intent)
    rows = _rows(kernel, intent, memory, again)
    settled = _settled(kernel, intent, rows, memory)
    if settled is not intent:
        rows = _with_settings(kernel, rows, intent, settled)
    intent = settled
    with stage("objects"):
        view = state.View(intent.names, intent.desired, intent.relaxed, memory, intent.adopt)
        if again is None:
            return Seen(intent, view, rows, intent.desired, Standing(state.objects(rows, view)))
        desired, objects = narrow.objects(*again, rows, view)
        return Seen(intent, view, rows, desired, Standing(objects))


def _with_settings(kernel: Kernel, rows: LiveState, before: Intent, after: Intent) -> LiveState:
    """The rows with the sysctls of objects that only networks of other topologies brought: they are known by now."""
    names = state.settings(key for key in after.desired if key not in before.desired)
    more = {scope: {name for name in listed if (scope, name) not in rows.sysctls} for scope, listed in names.items()}
    more = {scope: listed for scope, listed in more.items() if listed and scope in rows.scopes}
    return live.read_more(kernel, rows, (), more, uppers=False) if more else rows


def _memory(intent: Intent) -> state.Memory:
    return records.memory(records.load(), intent.names, intent.desired)


def _rows(kernel: Kernel, intent: Intent, memory: state.Memory, again: Again | None = None) -> LiveState:
    """The rows of the kernel, before owners are known."""
    settings = state.settings(again.keys if again else intent.desired, memory)
    with stage("read"):
        if again is not None:
            reach = again.reach
            before = again.planned.found
            return live.read_again(kernel, before, reach.whole, reach.tables, reach.still, settings, TABLES)
        if _unsettled(intent):
            from reconciler.language.networks.lower import BRIDGE_NF

            settings.setdefault(HOST, set()).update(BRIDGE_NF.values())
        spaces = [key.name for key in intent.desired if key.kind == "namespace"]
        spaces += _peers(intent.desired).difference((HOST, *spaces))
        rows = live.read(kernel, lambda owner: owner in intent.names, spaces, settings, TABLES)
        more = state.more_settings(rows)
        return live.read_more(kernel, rows, (), more, uppers=False) if more else rows


def _peers(desired: DesiredObjects) -> set[str]:
    """The scopes of the ends of links with two ends: one may be in another topology's namespace."""
    ends = (BY_NAME[key.kind].links(one.object) for key, one in desired.items() if key.kind in _WITH_ENDS)
    return {scope for places in ends for scope, _ in places}


def _difference(seen: Seen) -> Difference:
    with stage("diff"):
        return diff(seen.desired, seen.standing, seen.intent.names, seen.intent.adopt)


class Spared(NamedTuple):
    """What is left of the changes so that others keep what they need, how, and the problems where that fails."""

    changes: list[Change]
    measures: Measures
    warnings: tuple[Finding, ...]
    problems: list[Problem]


NOTHING_SPARED = Spared([], NO_MEASURES, (), [])


def _kept(kernel: Kernel, seen: Seen, changes: list[Change], known: Consequences | None) -> Spared:
    from reconciler.safety import keeping  # not needed by a check that finds nothing to do

    with stage("diff"):
        changes, warnings = keeping.spare(kernel, changes)
        known = None if warnings else known
        measures, problems = keeping.keep(
            kernel, changes, seen.standing, seen.found, seen.view, seen.intent.force, known
        )
    return Spared(changes, measures, warnings, problems)


# ------------------------------------------------------------------ addresses, subnets and ports left to netrecon


def _unsettled(intent: Intent) -> bool:
    return not intent.settled and any(topology.draft is not None for topology in intent.topologies)


def _settled(kernel: Kernel, intent: Intent, rows: LiveState, memory: state.Memory) -> Intent:
    """The intent with the addresses, subnets and ports of its networks; chosen once for a run, at its first look."""
    if not _unsettled(intent):
        return intent
    topologies = load.settled(intent.topologies, _facts(kernel, intent, rows, memory))
    return dataclasses.replace(intent, topologies=topologies, settled=True)


def settled(kernel: Kernel, intent: Intent) -> Intent:
    """The intent as the host has it; it is read only where something is left to netrecon."""
    if not _unsettled(intent):
        return intent
    memory = _memory(intent)
    return _settled(kernel, intent, _rows(kernel, intent, memory), memory)


def facts(kernel: Kernel, intent: Intent) -> load.Seen:
    """The facts of the host that the choice of addresses, subnets and ports depends on."""
    memory = _memory(intent)
    return _facts(kernel, intent, _rows(kernel, intent, memory), memory)


def _facts(kernel: Kernel, intent: Intent, rows: LiveState, memory: state.Memory) -> load.Seen:
    from reconciler.kernel.observe import sock_diag
    from reconciler.run import expected, way_out

    after = expected.expected(rows, intent, memory)
    mtus = way_out.mtus(kernel, intent, rows, after) if load.leaves_mtu(intent.topologies) else {}
    listening = sock_diag.ports_in_use(kernel, HOST)
    around = _around(kernel, intent, rows)
    return load.Seen(rows, after, dns_files.upstream_resolver(), listening, mtus, around)


def _around(kernel: Kernel, intent: Intent, rows: LiveState) -> LiveState | None:
    """The rows with the namespaces of other topologies that have ports on the run's networks; None for none."""
    links = rows.scopes[HOST].links
    owners = load.joined(intent.topologies)
    bridges = {row.index for row in links.values() if stamped(row.alias) in owners}
    guests = {stamped(row.alias) for row in links.values() if row.master in bridges} - {"", *intent.names}
    if not guests:
        return None
    return live.read(kernel, lambda owner: owner in guests or owner in intent.names, (), {}, TABLES)
