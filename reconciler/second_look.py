"""The second look: whether what a plan can have changed is as declared, without reading all else again."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from reconciler import pipeline, state
from reconciler.diff import diff
from reconciler.kinds import NFT, port_map
from reconciler.model import Key, LiveState, ScopeState
from reconciler.reach import Reach
from reconciler.run import Planned

if TYPE_CHECKING:
    from reconciler.kernel.namespaces import Kernel


def agrees(kernel: Kernel, planned: Planned, reach: Reach) -> bool:
    """Whether these kinds in these scopes, read again, are as is wanted; all else is taken for what it was.

    Raises KernelError.
    """
    from reconciler.kernel import live

    def kinds(scope: str) -> Collection[str]:
        return reach.get(scope, ())

    intent = planned.intent
    memory = pipeline.memory_of(intent)
    view = state.View(intent.names, intent.desired, intent.relaxed, memory, intent.adopt)
    whole = frozenset(scope for scope, names in reach.items() if not names <= NFT)
    tables = reach.keys() - whole
    desired = list(_reached(planned, reach))
    settings = state.settings((*memory.sysctls, *memory.reserved, *desired))
    found = live.read_again(kernel, planned.found, whole, tables, settings)
    before, after = _where_different(planned.found, found, tables)
    held = state.objects(after, view, kinds)
    touched = {change.key for change in planned.changes} | state.objects(before, view, kinds).keys() | held.keys()
    wanted = {
        key: intent.desired[key] for key in desired if key.kind != "port_map" or key.scope in whole or key in touched
    }
    changes, _problems = diff(wanted, held, intent.names, intent.adopt)
    return not changes


def _reached(planned: Planned, reach: Reach) -> Iterator[Key]:
    """The desired objects that may have changed."""
    for one in planned.intent.topologies:
        for (scope, kind), keys in one.names.by_scope.items():
            if kind in reach.get(scope, ()):
                yield from (key for key in keys if key in planned.intent.desired)


def _where_different(before: LiveState, after: LiveState, scopes: Iterable[str]) -> tuple[LiveState, LiveState]:
    """The scopes as they were, and all as it is, with only those published ports at which their tables differ.

    Of 10,000 ports, those that are just what they were need no second comparison.
    """
    old: dict[str, ScopeState] = {}
    new = dict(after.scopes)
    for scope in after.scopes.keys() & set(scopes):
        was, now = before.scopes[scope], after.scopes[scope]
        names = was.tables.keys() & now.tables
        pairs = {name: port_map.differing(was.tables[name], now.tables[name]) for name in names}
        old[scope] = dataclasses.replace(was, tables=was.tables | {name: pair[0] for name, pair in pairs.items()})
        new[scope] = dataclasses.replace(now, tables=now.tables | {name: pair[1] for name, pair in pairs.items()})
    return LiveState(old), dataclasses.replace(after, scopes=new)
