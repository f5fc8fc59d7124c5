"""Makes the plan of a run; converge.py carries it out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kinds import having
from reconciler.language.networks.lowered import Lowered
from reconciler.model import data as dataclasses
from reconciler.model.errors import Refused
from reconciler.planning.finding import Finding
from reconciler.planning.intent import Intent, Planned, to_have
from reconciler.run import load, look

_HOLDS = having(lambda kind: kind.holds)


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
    kernel: Kernel, intent: Intent, warn: bool = True, protect: Sequence[str] | None = (), only_shut: bool = False
) -> Planned:
    """Read the kernel, compare and order: the plan, with the reasons why apply would refuse it (``refusals``).

    With ``warn``, also with the findings of the doctor; ``only_shut``: see survey.around.  ``protect``: see
    refusals.of.
    """
    planned, problems = look.look(kernel, intent)
    if planned.changes:
        from reconciler.run import refusals

        problems = [*refusals.in_use(planned, problems), *refusals.of(kernel, planned, protect)]
    if intent.named:
        from reconciler.run import refusals

        problems += refusals.unheld(planned)
    planned = dataclasses.replace(planned, refusals=tuple(problems))
    return _with_warnings(kernel, planned, only_shut) if warn else planned


def allowed(planned: Planned) -> Planned:
    """The plan itself.  Raises Refused with all its refusals."""
    if planned.refusals:
        raise Refused(list(planned.refusals))
    return planned


def _with_warnings(kernel: Kernel, planned: Planned, only_shut: bool) -> Planned:
    from reconciler.run import survey  # not needed by a check that is silent

    going = {change.key for change in planned.changes if change.after is None}
    staying = {key: entry.object for key, entry in planned.live.items() if key.kind in _HOLDS and key not in going}
    wanted = {key: entry.object for key, entry in planned.intent.desired.items()}
    found = survey.around(kernel, planned.found.scopes, wanted, staying, True, only_shut)
    if not only_shut:
        found = [*_modules(planned), *found, *survey.overlapping(planned.intent.topologies)]
    return dataclasses.replace(planned, warnings=(*planned.warnings, *found))


def _modules(planned: Planned) -> Iterable[Finding]:
    if not planned.changes:
        return ()
    from reconciler.run import loading

    return loading.findings(planned.changes)
