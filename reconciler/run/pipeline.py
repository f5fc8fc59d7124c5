"""Makes a plan that may be carried out; converge.py carries it out."""

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
    """The files in the words of level one, for this host; without a kernel, for an empty host.  Raises InputError."""
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
    """Read the kernel, compare and order: the plan, with the findings of the doctor unless ``warn`` is off.

    Raises Refused with all problems, those of ``guard`` included.
    """
    planned, problems = look.look(kernel, intent)
    problems += [*_occupied(kernel, planned), *_managed_elsewhere(planned), *guard(planned)]
    if problems:
        raise Refused(problems)
    if not warn:
        return planned
    going = {change.key for change in planned.changes if change.after is None}
    staying = {key: entry.object for key, entry in planned.live.items() if key.kind in _HOLDS and key not in going}
    wanted = {key: entry.object for key, entry in planned.intent.desired.items()}
    return dataclasses.replace(planned, warnings=tuple(survey.around(kernel, wanted, staying, applied=True)))


def _occupied(kernel: Kernel, planned: Planned) -> list[Problem]:
    """Namespaces to be deleted that have live processes."""
    going = [c.key.name for c in planned.changes if c.key.kind == "namespace" and c.action == "delete"]
    if planned.intent.force or not going:
        return []
    occupants = kernel.occupants(going).items()
    return [
        Problem(NO_ORIGIN, f"namespace {name} has live processes: pid {_listed(pids)}; --force deletes it")
        for name, pids in occupants
        if pids
    ]


def _managed_elsewhere(planned: Planned) -> list[Problem]:
    """Files of the host that another program manages, so that no block can be written."""
    wanted = [c for c in planned.changes if c.key.kind in _EDITS and c.after]
    files = [(change, file) for change in wanted if (file := _EDITS[change.key.kind](change.after))]
    texts = [(change, dns_files.managed_elsewhere(file)) for change, file in files]
    return [Problem(c.origin, f"{c.key} cannot be written: {text}") for c, text in texts if text]


def _listed(pids: list[int]) -> str:
    return ", ".join(map(str, pids[:10])) + (f" and {len(pids) - 10} more" if len(pids) > 10 else "")
