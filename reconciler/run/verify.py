"""The second look: whether what a plan can have changed is as declared, without reading all else again."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from reconciler.kernel import live
from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kinds import BY_NAME, KINDS, TABLES, having
from reconciler.kinds.kind import ENDS
from reconciler.model.keys import Key
from reconciler.model.rows import LiveState, ScopeState
from reconciler.planning import state
from reconciler.planning.affected import Reach
from reconciler.planning.diff import diff
from reconciler.planning.intent import Planned
from reconciler.run import pipeline

_CHANGED_ROWS = having(lambda kind: kind.changed_rows)
_WITH_ENDS = frozenset(kind.rtnl for kind in KINDS if kind.shows == ENDS)  # the kernel's words for them


def agrees(kernel: Kernel, planned: Planned, reach: Reach) -> bool:
    """Whether what is reached, read again, is as is wanted; all else is taken for what it was.  Raises KernelError."""
    intent = planned.intent
    memory = pipeline.memory_of(intent)
    view = state.View(intent.names, intent.desired, intent.relaxed, memory, intent.adopt)
    wanted = {key: intent.desired[key] for key in _reached(planned, reach)}
    settings = state.settings(wanted, memory)
    found = live.read_again(kernel, planned.found, reach.whole, reach.tables, settings, TABLES)
    before, after = _where_different(planned.found, found, reach.tables)
    after.update({scope: _leading_into(reach.whole, after[scope]) for scope in reach.beside & after.keys()})
    held = state.objects(dataclasses.replace(found, scopes=after), view, reach.kinds)
    keys = {change.key for change in planned.changes if change.key.kind in _CHANGED_ROWS} | held.keys()
    keys |= state.objects(LiveState(before), view, lambda _scope: _CHANGED_ROWS).keys()
    wanted |= {key: intent.desired[key] for key in keys & intent.desired.keys()}
    changes, problems = diff(wanted, held, intent.names, intent.adopt)
    return not changes and not problems


def _reached(planned: Planned, reach: Reach) -> Iterator[Key]:
    """The desired objects that may have changed, but for those that changed rows tell (see ``_where_different``)."""
    desired = planned.intent.desired
    for one in planned.intent.topologies:
        for (scope, kind), keys in one.names.by_scope.items():
            whole = scope in reach.whole
            if kind not in reach.kinds(scope) or (kind in _CHANGED_ROWS and not whole):
                continue
            leading = BY_NAME[kind].shows == ENDS and not whole
            there = (key for key in keys if key in desired)
            yield from (key for key in there if not leading or _leads_into(reach.whole, kind, desired[key].object))


def _leads_into(whole: Collection[str], kind: str, held: Any) -> bool:
    return any(scope in whole for scope, _ in BY_NAME[kind].links(held))


# ------------------------------------------------------------------ what of the rows


def _where_different(
    before: LiveState, after: LiveState, scopes: Iterable[str]
) -> tuple[dict[str, ScopeState], dict[str, ScopeState]]:
    """The scopes as they were, and all as they are, without the rows of some kinds that are the same in both.

    Of 10,000 ports, those that are just what they were need no second comparison.
    """
    old: dict[str, ScopeState] = {}
    new = dict(after.scopes)
    for scope in after.scopes.keys() & set(scopes):
        old[scope] = before.scopes[scope]
        for changed_rows in _CHANGED_ROWS.values():
            old[scope], new[scope] = changed_rows(old[scope], new[scope])
    return old, new


def _leading_into(whole: Collection[str], scope: ScopeState) -> ScopeState:
    """A scope with only those of its links with another end that have it in one that was read again."""
    links = {
        index: row
        for index, row in scope.links.items()
        if row.kind not in _WITH_ENDS or scope.peers.get(index, ("",))[0] in whole
    }
    return dataclasses.replace(scope, links=links)
