"""How far a plan can reach: what must be read again to know what it came to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from reconciler.kinds import BY_NAME, KINDS
from reconciler.kinds.kind import ENDS, EVERYWHERE
from reconciler.model.changes import Change
from reconciler.model.rows import LiveState

_EVERY = frozenset(BY_NAME)
_WITH_ENDS = frozenset(kind.name for kind in KINDS if kind.shows == ENDS)
_TWO_ENDED = frozenset(kind.rtnl for kind in KINDS if kind.shows == ENDS)
_IN_TABLES = frozenset(kind.name for kind in KINDS if kind.transaction)


class Reach(NamedTuple):
    """Scopes by what can be different in them: everything; nftables; veths with their other end in one of the first."""

    whole: frozenset[str]
    tables: frozenset[str]
    beside: frozenset[str]

    def kinds(self, scope: str) -> frozenset[str]:
        """The kinds of which an object in the scope can be different."""
        if scope in self.whole:
            return _EVERY
        return (_IN_TABLES if scope in self.tables else frozenset()) | (
            _WITH_ENDS if scope in self.beside else frozenset()
        )


def of(changes: Iterable[Change], found: LiveState) -> Reach | None:
    """What can differ after the changes from what it was before, by scope; None stands for everything everywhere.

    An address, a route, a rule, a setting or an nftables object never shows outside of its own namespace, and
    nftables objects among themselves.  A link does show, at its other end, and where another link lies on it in a
    namespace of its own (a macvlan's container, say); what lies on another may change that in turn.
    """
    listed = list(changes)
    if any(map(_reaches_out, listed)):
        return None
    tables = {change.key.scope for change in listed if change.key.kind in _IN_TABLES}
    near = {change.key.home for change in listed if change.key.kind not in _IN_TABLES}
    links = sorted({where for change in listed for where in _links(change)})
    for scope, places in groupby(links, key=lambda where: where[0]):
        near |= {scope, *_other_ends(found, scope, {name for _, name in places})}
    if links:
        leaning = frozenset(_leaning(found))
        if leaning & near:  # nobody knows in which namespace the link is that it lies on
            return None
        near |= leaning
    beside = {far for scope in near & found.scopes.keys() for far, _ in found.scopes[scope].peers.values()} - near
    return Reach(frozenset(near), frozenset(tables - near), frozenset(beside))


def _reaches_out(change: Change) -> bool:
    if change.key.kind == "namespace":  # what goes takes along links that nobody counts
        return change.action != "create"
    kind = BY_NAME[change.key.kind]
    return kind.shows == EVERYWHERE and not kind.local(change)


def _links(change: Change) -> Iterator[tuple[str, str]]:
    links = BY_NAME[change.key.kind].links
    for held in (change.before, change.after):
        if held is not None:
            yield from links(held)


def _other_ends(found: LiveState, scope: str, names: set[str]) -> Iterator[str]:
    """Where the peers are of veths that are only configured here (as an interface)."""
    if scope in found.scopes:
        state = found.scopes[scope]
        yield from (far for index, (far, _) in state.peers.items() if state.links[index].name in names)


def _leaning(found: LiveState) -> Iterator[str]:
    """The scopes with a link that lies on one of another scope; a veth's two ends are known."""
    for state in found.scopes.values():
        if any(row.peer_nsid >= 0 and row.kind not in _TWO_ENDED for row in state.links.values()):
            yield state.scope
