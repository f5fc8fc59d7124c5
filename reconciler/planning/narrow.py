"""Selects, after an apply, the desired and live objects that its changes can have changed; only these are compared."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from reconciler.kinds import BY_NAME, KINDS, having
from reconciler.kinds.kind import ENDS
from reconciler.model import data as dataclasses
from reconciler.model.changes import Live
from reconciler.model.keys import Key
from reconciler.model.rows import LiveState, ScopeState
from reconciler.planning import state
from reconciler.planning.affected import Reach
from reconciler.planning.diff import DesiredObjects
from reconciler.planning.intent import Intent, Planned

_CHANGED_ROWS = having(lambda kind: kind.changed_rows)
_WITH_ENDS = frozenset(kind.rtnl for kind in KINDS if kind.shows == ENDS)  # link types with two ends


def keys(intent: Intent, reach: Reach) -> Iterator[Key]:
    """The keys of desired objects that can differ, except for kinds compared by rows (see ``_where_different``)."""
    desired = intent.desired
    for topology in intent.topologies:
        for (scope, kind), names in topology.names.by_scope.items():
            whole = scope in reach.whole
            if kind not in reach.kinds(scope) or (kind in _CHANGED_ROWS and not whole):
                continue
            leading = BY_NAME[kind].shows == ENDS and not whole
            there = (key for key in names if key in desired)
            yield from (key for key in there if not leading or _leads_into(reach.whole, kind, desired[key].object))


def objects(
    planned: Planned, reach: Reach, wanted: Collection[Key], rows: LiveState, view: state.View
) -> tuple[DesiredObjects, dict[Key, Live]]:
    """The desired and live objects to compare, after ``planned`` was carried out and ``rows`` were read.

    ``wanted`` is the result of ``keys`` for the same ``reach``.
    """
    before, after = _where_different(planned.found, rows, reach.tables)
    after.update({scope: _leading_into(reach.whole, after[scope]) for scope in reach.beside & after.keys()})
    live = state.objects(dataclasses.replace(rows, scopes=after), view, reach.kinds)
    chosen = {*wanted, *live}
    chosen |= {change.key for change in planned.changes if change.key.kind in _CHANGED_ROWS}
    chosen |= state.objects(LiveState(before), view, lambda _scope: _CHANGED_ROWS).keys()
    return {key: view.wanted[key] for key in chosen if key in view.wanted}, live


def _leads_into(whole: Collection[str], kind: str, value: Any) -> bool:
    return any(scope in whole for scope, _ in BY_NAME[kind].links(value))


# ------------------------------------------------------------------ rows


def _where_different(
    before: LiveState, after: LiveState, scopes: Iterable[str]
) -> tuple[dict[str, ScopeState], dict[str, ScopeState]]:
    """``scopes`` as before, and all scopes as after, without the rows of some kinds that are equal in both.

    Of 10,000 ports, those that did not change need no second comparison.
    """
    old: dict[str, ScopeState] = {}
    new = dict(after.scopes)
    for scope in after.scopes.keys() & set(scopes):
        old[scope] = before.scopes[scope]
        for changed_rows in _CHANGED_ROWS.values():
            old[scope], new[scope] = changed_rows(old[scope], new[scope])
    return old, new


def _leading_into(whole: Collection[str], scope: ScopeState) -> ScopeState:
    """The scope without the links with two ends whose other end is in a scope that was not read again."""
    links = {
        index: row
        for index, row in scope.links.items()
        if row.kind not in _WITH_ENDS or scope.peers.get(index, ("",))[0] in whole
    }
    return dataclasses.replace(scope, links=links)
