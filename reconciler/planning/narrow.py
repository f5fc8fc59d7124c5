"""After an apply: which desired and live objects its changes can have made different; all others need no comparison."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from reconciler.kinds import BY_NAME, KINDS, having
from reconciler.kinds.kind import ENDS
from reconciler.model.changes import Live
from reconciler.model.keys import Key
from reconciler.model.rows import LiveState, ScopeState
from reconciler.planning import state
from reconciler.planning.affected import Reach
from reconciler.planning.diff import DesiredObjects
from reconciler.planning.intent import Intent, Planned

_CHANGED_ROWS = having(lambda kind: kind.changed_rows)
_WITH_ENDS = frozenset(kind.rtnl for kind in KINDS if kind.shows == ENDS)  # the kernel's words for them


def keys(intent: Intent, reach: Reach) -> Iterator[Key]:
    """The desired objects that can be different, but for those that changed rows tell (see ``_where_different``)."""
    desired = intent.desired
    for one in intent.topologies:
        for (scope, kind), names in one.names.by_scope.items():
            whole = scope in reach.whole
            if kind not in reach.kinds(scope) or (kind in _CHANGED_ROWS and not whole):
                continue
            leading = BY_NAME[kind].shows == ENDS and not whole
            there = (key for key in names if key in desired)
            yield from (key for key in there if not leading or _leads_into(reach.whole, kind, desired[key].object))


def objects(
    planned: Planned, reach: Reach, wanted: Collection[Key], found: LiveState, view: state.View
) -> tuple[DesiredObjects, dict[Key, Live]]:
    """What is to be compared, desired and live: ``planned`` was carried out, then ``found`` was read.

    ``wanted`` are the ``keys`` of the reach.
    """
    before, after = _where_different(planned.found, found, reach.tables)
    after.update({scope: _leading_into(reach.whole, after[scope]) for scope in reach.beside & after.keys()})
    live = state.objects(dataclasses.replace(found, scopes=after), view, reach.kinds)
    chosen = {*wanted, *live}
    chosen |= {change.key for change in planned.changes if change.key.kind in _CHANGED_ROWS}
    chosen |= state.objects(LiveState(before), view, lambda _scope: _CHANGED_ROWS).keys()
    return {key: view.wanted[key] for key in chosen if key in view.wanted}, live


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
