"""The data of one run: ``Intent`` (what is desired), ``Planned`` (what will change) and ``Result`` (what happened)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

from reconciler.model.changes import Change, Desired, Live
from reconciler.model.data import dataclass, field
from reconciler.model.errors import Problem
from reconciler.model.keys import Key
from reconciler.model.rows import LiveState
from reconciler.planning import topology
from reconciler.planning.topology import Topology

if TYPE_CHECKING:
    from reconciler.planning.apply import Blocked, Failed
    from reconciler.planning.expectations import Expectation
    from reconciler.planning.finding import Finding
    from reconciler.planning.plan import Plan


@dataclass(frozen=True)
class Intent:
    """The topologies of a run, and its options; ``names`` without a topology are to be deleted.

    ``desired`` is computed once, since every stage needs it: with 10,000 ports it takes 30 ms.
    ``named``: the names were given without files, so that each must be one that the host has.
    ``settled``: the addresses, subnets and ports that the topologies leave to netrecon are chosen, for the whole run.
    """

    names: frozenset[str]
    topologies: tuple[Topology, ...] = ()
    adopt: bool = False
    force: bool = False
    keep_going: bool = False
    verify: bool = False
    settled: bool = False
    shared: frozenset[str] = frozenset()
    named: bool = False

    @cached_property
    def desired(self) -> dict[Key, Desired]:
        """The desired objects of all topologies.  Raises InputError where two declare one key or one place."""
        return topology.together(self.topologies)

    @cached_property
    def relaxed(self) -> frozenset[str]:
        """The declared namespaces that are not exclusive, and the ``shared`` ones."""
        spaces = (key.name for one in self.topologies for key in one.objects if key.kind == "namespace")
        return self.shared | frozenset(spaces) - {name for one in self.topologies for name in one.exclusive}


def to_have(
    topologies: Iterable[Topology], adopt: bool = False, force: bool = False, keep_going: bool = False
) -> Intent:
    """The intent that the kernel has the objects of the topologies, and no others of theirs."""
    listed = tuple(topologies)
    return Intent(frozenset(one.name for one in listed), listed, adopt, force, keep_going)


def to_be_gone(
    names: Iterable[str],
    force: bool = False,
    keep_going: bool = False,
    shared: frozenset[str] = frozenset(),
    named: bool = False,
) -> Intent:
    """The intent that nothing of the topologies with these names is left; ``shared`` namespaces are not exclusive."""
    return Intent(frozenset(names), (), False, force, keep_going, shared=shared, named=named)


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, with the live objects and the rows (``found``) that it was made from.

    ``warnings`` are the findings of the doctor, ``refusals`` the reasons why apply would refuse the plan.
    """

    intent: Intent
    plan: Plan
    live: dict[Key, Live]
    found: LiveState
    warnings: tuple[Finding, ...] = ()
    refusals: tuple[Problem, ...] = ()

    @property
    def changes(self) -> tuple[Change, ...]:
        return self.plan.changes

    @property
    def in_sync(self) -> bool:
        """Whether nothing differs, and nothing stands in the way of what is declared."""
        return not (self.changes or self.refusals)


@dataclass(frozen=True, slots=True)
class Proof:
    """An expectation and the outcome of its test; ``shows`` is what the test showed, in a word.

    ``asked`` is False where it could not be tested, because a namespace is missing.
    """

    expectation: Expectation
    reached: bool
    shows: str
    asked: bool = True

    @property
    def holds(self) -> bool:
        return self.asked and self.reached == self.expectation.reach


@dataclass(slots=True)
class Result:
    """The result of an apply.

    ``remaining`` are the changes that were still needed afterwards; ``trouble`` is an error of the run as a whole.
    After a rollback: ``undone`` are the changes undone, ``left`` those that failed to be undone, with the error.
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
        """Whether everything is as declared."""
        return not (self.failed or self.blocked or self.remaining or self.trouble)
