"""Reads what the consequences of a plan depend on, and decides how the objects of others are saved."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from reconciler.kernel import live as reading
from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kinds import BY_NAME, KINDS
from reconciler.model.changes import Change, Live
from reconciler.model.errors import Problem
from reconciler.model.keys import Key
from reconciler.model.rows import LiveState
from reconciler.planning import consequences, forwarding_stays, state
from reconciler.planning.consequences import NO_MEASURES, Consequences, Measures, Standing, Unread
from reconciler.planning.finding import Finding

_ASIDE = frozenset(kind.name for kind in KINDS if kind.aside)
_ON_LINKS = frozenset(kind.name for kind in KINDS if {"addresses", "routes"} & {*kind.dumps})
_LINKS = frozenset(kind.name for kind in KINDS if kind.ownership == "alias" and not kind.existing)


def keep(
    kernel: Kernel,
    changes: Sequence[Change],
    standing: Standing,
    rows: LiveState,
    view: state.View,
    force: bool = False,
    known: Consequences | None = None,
) -> tuple[Measures, list[Problem]]:
    """The measures, and a problem for each object of others that cannot be saved; ``standing`` gets what was read.

    ``known`` are the consequences of the changes over what ``standing`` had before.
    """
    asked = consequences.unread(changes, standing.live)
    if asked is None:
        return NO_MEASURES, []
    aside = {scope for scope in asked.aside & rows.scopes.keys() if not _goes_whole(scope, asked, rows, view)}
    more = reading.read_more(kernel, rows, aside, asked.sysctls, asked.uppers)
    added = _added(rows, more, view, aside)
    standing.add(added)
    if added or asked.sysctls or known is None or not consequences.spares_others(known, view.topologies):
        known = None
    return consequences.measures(changes, standing, view.topologies, more.sysctls, force, known)


def spare(kernel: Kernel, changes: list[Change]) -> tuple[list[Change], tuple[Finding, ...]]:
    """The changes without those that would turn off forwarding that others need, and a warning for each of these."""
    off = forwarding_stays.turned_off(changes)
    if not off:
        return changes, ()
    from reconciler.kernel.observe import foreign_rules  # few plans end the forwarding of a scope

    chains = {scope: foreign_rules.chains(kernel, scope) for scope in {change.key.scope for change in off}}
    warnings = forwarding_stays.needed(off, chains)
    return [change for change in changes if change.key not in warnings], tuple(warnings.values())


def _goes_whole(scope: str, asked: Unread, rows: LiveState, view: state.View) -> bool:
    """Whether a namespace is deleted in which everything is its topology's."""
    return scope in asked.going and view.is_exclusive(rows.scopes[scope])


def _added(before: LiveState, more: LiveState, view: state.View, scopes: Collection[str]) -> dict[Key, Live]:
    """The objects of kinds with Kind.aside in the scopes; of namespaces that were not read before, what was read."""

    def kinds(scope: str) -> Collection[str]:
        if scope not in before.scopes:
            return _LINKS | _ON_LINKS
        return _ASIDE if scope in scopes else ()

    return {
        key: entry for key, entry in state.objects(more, view, kinds).items() if key.kind in _ASIDE | _LINKS | _ON_LINKS
    }


def read_aside(kernel: Kernel, rows: LiveState, keys: Collection[Key], view: state.View) -> dict[Key, Live]:
    """The live objects of the kinds that are only read when needed (Kind.aside), in the scopes of such keys."""
    scopes = {key.scope for key in keys if BY_NAME[key.kind].aside} & rows.scopes.keys()
    if not scopes:
        return {}
    more = reading.read_more(kernel, rows, scopes, {}, uppers=False)
    return state.objects(more, view, lambda scope: _ASIDE if scope in scopes else ())
