"""Finds the scopes in which a plan's changes can have effects: these are read again after an apply."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from reconciler.kinds import BY_NAME, KINDS
from reconciler.kinds.kind import ENDS, EVERYWHERE
from reconciler.model.changes import Change
from reconciler.model.data import NamedTuple
from reconciler.model.rows import LiveState

_EVERY = frozenset(BY_NAME)
_WITH_ENDS = frozenset(kind.name for kind in KINDS if kind.shows == ENDS)
_TWO_ENDED = frozenset(kind.rtnl for kind in KINDS if kind.shows == ENDS)
_IN_TABLES = frozenset(kind.name for kind in KINDS if kind.transaction)
_OUTSIDE_TABLES = _EVERY - _IN_TABLES


class Reach(NamedTuple):
    """The scopes where something can differ after a plan.

    ``whole``: anything; ``tables``: nftables objects only; ``beside``: veths whose other end is in a scope of
    ``whole`` only; ``still``: those of ``whole`` in which no nftables object can differ.
    """

    whole: frozenset[str]
    tables: frozenset[str]
    beside: frozenset[str]
    still: frozenset[str]

    def kinds(self, scope: str) -> frozenset[str]:
        """The kinds whose objects can differ in the scope."""
        if scope in self.whole:
            return _OUTSIDE_TABLES if scope in self.still else _EVERY
        return (_IN_TABLES if scope in self.tables else frozenset()) | (
            _WITH_ENDS if scope in self.beside else frozenset()
        )


def of(changes: Iterable[Change], rows: LiveState) -> Reach | None:
    """The scopes where the changes can have effects; None where they can have effects in any scope.

    An address, a route, a rule, a sysctl or an nftables object has effects in its own scope only, and an nftables
    object only on other nftables objects.  A link also has effects at its other end, and where a link of another
    namespace lies on it (a macvlan in a container); such a link in turn can have effects on the one below.
    """
    listed = list(changes)
    if any(map(_reaches_out, listed)):
        return None
    tables = {change.key.scope for change in listed if change.key.kind in _IN_TABLES}
    near = {change.key.home for change in listed if change.key.kind not in _IN_TABLES}
    links = sorted({where for change in listed for where in _links(change)})
    for scope, places in groupby(links, key=lambda where: where[0]):
        near |= {scope, *_other_ends(rows, scope, {name for _, name in places})}
    if links:
        leaning = frozenset(_leaning(rows))
        if leaning & near:  # the namespace of the link below is unknown
            return None
        near |= leaning
    beside = {far for scope in near & rows.scopes.keys() for far, _ in rows.scopes[scope].peers.values()} - near
    return Reach(frozenset(near), frozenset(tables - near), frozenset(beside), frozenset(near - tables))


def _reaches_out(change: Change) -> bool:
    if change.key.kind == "namespace":  # with a deletion the kernel deletes links that were never read
        return change.action != "create"
    kind = BY_NAME[change.key.kind]
    return kind.shows == EVERYWHERE and not kind.local(change)


def _links(change: Change) -> Iterator[tuple[str, str]]:
    links = BY_NAME[change.key.kind].links
    for side in (change.before, change.after):
        if side is not None:
            yield from links(side)


def _other_ends(rows: LiveState, scope: str, names: set[str]) -> Iterator[str]:
    """The scopes of the peers of veths that are declared here as interfaces."""
    if scope in rows.scopes:
        state = rows.scopes[scope]
        yield from (far for index, (far, _) in state.peers.items() if state.links[index].name in names)


def _leaning(rows: LiveState) -> Iterator[str]:
    """The scopes with a link that lies on a link of another scope, except veths, whose ends are known."""
    for state in rows.scopes.values():
        if any(row.peer_nsid >= 0 and row.kind not in _TWO_ENDED for row in state.links.values()):
            yield state.scope
