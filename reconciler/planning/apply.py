"""Carries out a plan stage by stage; a failed change blocks only the changes that need it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from reconciler.model.changes import Change
from reconciler.model.data import dataclass, field
from reconciler.model.errors import Failure
from reconciler.model.keys import Key
from reconciler.model.requests import Request
from reconciler.planning.plan import Plan, Step

# ENOENT, ESRCH, ENODEV, EADDRNOTAVAIL: the object to delete is gone already.
ALREADY_GONE = frozenset({2, 3, 19, 99})


class Southbound(Protocol):
    """Sends requests: the entries of a batch are independent, each is an ordered list of requests."""

    def send(self, batch: list[list[Request]]) -> list[Failure | None]:
        """Send all entries; for each its failure, None where it succeeded."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A change that the kernel refused, and its error."""

    change: Change
    failure: Failure


@dataclass(frozen=True, slots=True)
class Blocked:
    """A change that was not tried, and the key of the failed change that it needed."""

    change: Change
    waits_for: Key


@dataclass(slots=True)
class Outcome:
    """What became of the changes of a plan; ``stopped``: it ended before the last stage."""

    applied: list[Change] = field(default_factory=list)
    failed: dict[Key, Failed] = field(default_factory=dict)
    blocked: dict[Key, Blocked] = field(default_factory=dict)
    stopped: bool = False


def apply(
    plan: Plan,
    southbound: Southbound,
    progress: Callable[[int], None] = lambda _count: None,
    keep_going: bool = True,
    stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Send every stage of the plan; ``progress`` is called with the number of steps done so far.

    Stops after a stage with a failure unless ``keep_going``, and before a stage when ``stop()`` is true.
    """
    outcome = Outcome()
    last = {step.change.key: step for stage in plan.stages for step in stage}
    done = 0
    for stage in plan.stages:
        if stop() or (outcome.failed and not keep_going):
            outcome.stopped = True
            break
        ready = [step for step in stage if not _blocked(step, outcome)]
        failures = southbound.send([list(step.requests) for step in ready])
        for step, failure in zip(ready, failures, strict=True):
            if failure is not None and not (step.deleting and failure.errno in ALREADY_GONE):
                outcome.failed[step.change.key] = Failed(step.change, failure)
            elif last[step.change.key] is step:
                outcome.applied.append(step.change)
        done += len(stage)
        progress(done)
    return outcome


def _blocked(step: Step, outcome: Outcome) -> bool:
    key = step.change.key
    if key in outcome.failed or key in outcome.blocked:
        return True
    for cause in _causes(step, outcome):
        outcome.blocked[key] = Blocked(step.change, cause)
        return True
    return False


def _causes(step: Step, outcome: Outcome) -> Iterator[Key]:
    """The failed keys among the step's needs; for a need that is blocked itself, the failed key that blocks it."""
    for key in step.needs:
        if key in outcome.failed:
            yield key
        elif key in outcome.blocked:
            yield outcome.blocked[key].waits_for
