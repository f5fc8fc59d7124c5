"""What one run is about, what it plans and what it came to: data for pipeline and report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field
from functools import cached_property
from typing import TYPE_CHECKING

from reconciler.model.changes import Change, Desired, Live
from reconciler.model.data import dataclass
from reconciler.model.keys import Key
from reconciler.model.rows import LiveState
from reconciler.planning import topology
from reconciler.planning.topology import Topology

if TYPE_CHECKING:
    from reconciler.planning.apply import Blocked, Failed
    from reconciler.planning.doctor import Finding
    from reconciler.planning.expectations import Expectation
    from reconciler.planning.plan import Plan


@dataclass(frozen=True)
class Intent:
    """What a run is about: the topologies by name and the objects that they are to have.

    These are put together once: with 10,000 ports that takes 30 ms, and every stage asks for them.
    ``settled``: what they leave to be chosen has been chosen, and is kept for the rest of the run.
    """

    names: frozenset[str]
    topologies: tuple[Topology, ...] = ()
    adopt: bool = False
    force: bool = False
    keep_going: bool = False
    verify: bool = False
    settled: bool = False

    @cached_property
    def desired(self) -> dict[Key, Desired]:
        return topology.together(self.topologies)

    @cached_property
    def relaxed(self) -> frozenset[str]:
        spaces = (key.name for one in self.topologies for key in one.objects if key.kind == "namespace")
        return frozenset(spaces) - {name for one in self.topologies for name in one.exclusive}


def to_have(
    topologies: Iterable[Topology], adopt: bool = False, force: bool = False, keep_going: bool = False
) -> Intent:
    """That the kernel has what the topologies say, and nothing else of theirs."""
    listed = tuple(topologies)
    return Intent(frozenset(one.name for one in listed), listed, adopt, force, keep_going)


def to_be_gone(names: Iterable[str], force: bool = False, keep_going: bool = False) -> Intent:
    """That nothing is left of the topologies of these names."""
    return Intent(frozenset(names), (), False, force, keep_going)


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, what it was made from (``found`` are the rows that were read), and warnings: what will be in its way."""

    intent: Intent
    plan: Plan
    live: dict[Key, Live]
    found: LiveState
    warnings: tuple[Finding, ...] = ()

    @property
    def changes(self) -> tuple[Change, ...]:
        return self.plan.changes


@dataclass(frozen=True, slots=True)
class Proof:
    """An expectation and what came of it; ``shows`` is how, in a word."""

    expectation: Expectation
    reached: bool
    shows: str

    @property
    def holds(self) -> bool:
        return self.reached == self.expectation.reach


@dataclass(slots=True)
class Result:
    """What an apply came to.

    ``remaining`` are the changes that live still wanted afterwards; ``trouble`` is what went wrong beside what failed.
    Then ``undone`` was taken back, and ``left`` could not be: what would have done it, and why not.
    """

    applied: int = 0
    failed: list[Failed] = field(default_factory=list)
    blocked: list[Blocked] = field(default_factory=list)
    remaining: list[Change] = field(default_factory=list)
    trouble: str = ""
    rolled_back: bool = False
    confirmed: bool | None = None
    undone: list[Change] = field(default_factory=list)
    left: list[Failed] = field(default_factory=list)
    proofs: list[Proof] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def verified(self) -> bool:
        return not (self.failed or self.blocked or self.remaining or self.trouble)
