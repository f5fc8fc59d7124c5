"""The kernel modules that a plan needs: plan and check name those that are missing, an apply loads them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.proc import modules
from reconciler.kinds import having
from reconciler.model.changes import Change
from reconciler.model.errors import Refused
from reconciler.planning.finding import Finding
from reconciler.planning.intent import Planned
from reconciler.run import look

_MODULES = having(lambda kind: kind.modules)


def absent(changes: Iterable[Change]) -> dict[str, Change]:
    """The modules that objects of the changes need and that are not loaded, each with the first such change."""
    needed: dict[str, Change] = {}
    for change in changes:
        for name in _needed(change):
            needed.setdefault(name, change)
    return {name: needed[name] for name in modules.absent(needed)} if needed else {}


def _needed(change: Change) -> Iterable[str]:
    return _MODULES[change.key.kind](change.after) if change.key.kind in _MODULES and change.after is not None else ()


def awaits(change: Change, names: Collection[str]) -> bool:
    """Whether the object of the change needs one of the modules."""
    return any(name in names for name in _needed(change))


def findings(changes: Iterable[Change]) -> Iterator[Finding]:
    """For each module that is not loaded: which object needs it."""
    for name, change in absent(changes).items():
        message = f"it needs the kernel module {name}, which is not loaded"
        yield Finding(change.key.scope, "module", change.key, message, "apply loads it")


def with_modules(kernel: Kernel, planned: Planned) -> Planned:
    """Load the modules that the plan needs; then the plan is made again, with what they brought.

    Raises MissingDependency or Refused: nothing else has been changed then.
    """
    names = absent(planned.changes)
    for name in names:
        modules.load(kernel, name)
    if not names:
        return planned
    again, problems = look.look(kernel, planned.intent)
    if problems:
        raise Refused(problems)
    return again
