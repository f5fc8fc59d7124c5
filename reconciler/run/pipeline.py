"""From topologies to a plan that may be carried out.  How it goes on: converge.py."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.proc import dns_files
from reconciler.kinds import having
from reconciler.language.networks.lowered import Lowered
from reconciler.model.errors import Problem, Refused
from reconciler.model.keys import NO_ORIGIN
from reconciler.planning.intent import Intent, Planned, to_have
from reconciler.run import load, look, survey

_EDITS, _HOLDS = having(lambda kind: kind.edits), having(lambda kind: kind.holds)


# ------------------------------------------------------------------------------------------------ desired


def lower(arguments: Sequence[str], kernel: Kernel | None) -> list[Lowered]:
    """The files in the words of level one, as they are for this host; without a kernel, for one that holds nothing."""
    documents = load.documents(arguments)
    lowered = load.lower(documents)
    topologies = load.build(lowered)
    if kernel is None:
        return lowered
    lowered = load.lower(documents, look.facts(kernel, to_have(topologies)))
    load.build(lowered)
    return lowered


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
    planned, problems = look.look(kernel, intent)
    problems += [*_occupied(kernel, planned), *_managed_elsewhere(planned), *guard(planned)]
    if problems:
        raise Refused(problems)
    if not warn:
        return planned
    going = {change.key for change in planned.changes if change.after is None}
    staying = {key: one.object for key, one in planned.live.items() if key.kind in _HOLDS and key not in going}
    wanted = {key: one.object for key, one in planned.intent.desired.items()}
    return dataclasses.replace(planned, warnings=tuple(survey.around(kernel, wanted, staying, applied=True)))


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
