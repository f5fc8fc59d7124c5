"""Turns the rows read from the kernel into live objects with owners."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from types import MappingProxyType

from reconciler.kinds import BY_NAME, KINDS, LINK_TYPES, having, namespace
from reconciler.kinds.context import Noted, Reading
from reconciler.model.changes import KERNEL, Desired, Live
from reconciler.model.data import dataclass, field
from reconciler.model.keys import HOST, Key
from reconciler.model.names import table_owner
from reconciler.model.rows import LiveState, ScopeState

Memory = Mapping[str, Mapping[Key, Noted]]  # the records by scope (see safety/records.py)


@dataclass(frozen=True, slots=True)
class View:
    """What reading needs to know of this run: its topologies, desired objects (``wanted``) and records (``memory``).

    ``relaxed`` are the namespaces that are not exclusive.  ``adopting``: a desired namespace without a stamp counts
    as ours already, so that the plan shows all consequences of adopting it.
    """

    topologies: frozenset[str]
    wanted: Mapping[Key, Desired]
    relaxed: frozenset[str] = frozenset()
    memory: Memory = field(default_factory=dict)
    adopting: bool = False

    def is_exclusive(self, state: ScopeState) -> bool:
        """Whether everything static in a namespace is its owner's; without a file the group of its ``lo`` shows it."""
        if state.scope == HOST or state.scope in self.relaxed:
            return False
        return namespace.key_of(state.scope) in self.wanted or not state.shared

    def owner_of(self, state: ScopeState) -> str:
        """The topology that owns a namespace, "" for the host and for a foreign namespace."""
        if state.scope == HOST or state.owner or not self.adopting:
            return "" if state.scope == HOST else state.owner
        wanted = self.wanted.get(namespace.key_of(state.scope))
        return wanted.owner if wanted else ""


_SETTINGS = having(lambda kind: kind.settings)
_SHOWN_BY = having(lambda kind: kind.shown_by)
_AS_MADE = having(lambda kind: kind.as_made)
_BORN_WITH = having(lambda kind: kind.born_with)


def settings(keys: Iterable[Key], memory: Memory = MappingProxyType({})) -> dict[str, set[str]]:
    """By scope, the sysctls that must be read for the objects of these keys and for those on record."""
    names: dict[str, set[str]] = {}
    for key in itertools.chain(*memory.values(), keys):
        sysctls_of = _SETTINGS.get(key.kind)
        if sysctls_of is not None:
            names.setdefault(key.scope, set()).update(sysctls_of(key))
    return names


def more_settings(live: LiveState) -> dict[str, set[str]]:
    """By scope, the sysctls that must be read too because of what the scopes hold."""
    names: dict[str, set[str]] = {}
    for scope, state in live.scopes.items():
        found = {name for shown_by in _SHOWN_BY.values() for name in shown_by(state)}
        names[scope] = {name for name in found if (scope, name) not in live.sysctls}
    return {scope: unread for scope, unread in names.items() if unread}


def _every(_scope: str) -> Container[str]:
    return BY_NAME


def objects(live: LiveState, view: View, only: Callable[[str], Container[str]] = _every) -> dict[Key, Live]:
    """All live objects of the scopes read, by key, each with its owner; ``only(scope)`` are the kinds to read there."""
    entries: dict[Key, Live] = {}
    adopted = _adopted(view)
    for state in live.scopes.values():
        names = only(state.scope)
        if names:
            reading = _reading(live, state, view, adopted)
            several = sum(map(bool, map(table_owner, state.tables))) > 1
            for kind in KINDS:
                if kind.name in names:
                    found = kind.read(reading)
                    entries.update(_held_twice(found, view) if several and kind.carrier is not None else found)
    entries.update(_left_behind(live, view, only))
    for key, wanted in view.wanted.items():
        if key.kind == "namespace" and key not in entries:
            entries.update(_newborn(key.name, wanted.owner, view, only(key.name)))
    entries.update(_coming(entries, view, live, only))
    return entries


def _held_twice(found: Iterable[tuple[Key, Live]], view: View) -> dict[Key, Live]:
    """Elements of tables; one that a killed run left in two tables is read where this run must move it from."""
    entries: dict[Key, Live] = {}
    for key, entry in found:
        other = entries.setdefault(key, entry)
        if other is not entry and _before(view, key, entry) > _before(view, key, other):
            entries[key] = entry
    return entries


def _before(view: View, key: Key, entry: Live) -> int:
    """How much an element counts that is in two tables: most, if this run has it and gives it to another topology."""
    wanted = view.wanted.get(key)
    own = wanted is not None and wanted.owner == entry.owner
    return (1 if own else 2) if entry.owner in view.topologies else 0


def _coming(
    entries: Mapping[Key, Live], view: View, live: LiveState, only: Callable[[str], Container[str]]
) -> Iterator[tuple[Key, Live]]:
    """What topologies configure that another one of the run will make, as it will be then."""
    wanted = {key: one for key, one in view.wanted.items() if key.kind in _AS_MADE and key not in entries}
    missing = {key: one for key, one in wanted.items() if key.scope in live.scopes and key.kind in only(key.scope)}
    made = makers(view.wanted) if missing else {}
    for key, one in missing.items():
        for place in BY_NAME[key.kind].links(one.object):
            if place in made:
                yield key, coming(key, one, made[place])


def makers(desired: Mapping[Key, Desired]) -> dict[tuple[str, str], Desired]:
    """By (scope, name) of a link, the desired object that makes it."""
    objects = ((key, one) for key, one in desired.items() if not BY_NAME[key.kind].existing)
    return {place: one for key, one in objects for place in BY_NAME[key.kind].links(one.object)}


def coming(key: Key, wanted: Desired, made: Desired) -> Live:
    """What ``wanted`` configures, as the object of another topology makes it."""
    return Live(_AS_MADE[key.kind](wanted.object, made.object, made.owner), wanted.owner, coming=True)


def _adopted(view: View) -> dict[tuple[str, str], str]:
    """The links that a run may adopt, as (scope, name), each with the topology that declares it."""
    if not view.adopting:
        return {}
    made = ((key, wanted) for key, wanted in view.wanted.items() if not BY_NAME[key.kind].existing)
    return {where: wanted.owner for key, wanted in made for where in BY_NAME[key.kind].links(wanted.object)}


def _reading(
    live: LiveState, state: ScopeState, view: View, adopted: Mapping[tuple[str, str], str] = MappingProxyType({})
) -> Reading:
    return Reading(
        state=state,
        live=live,
        owner=view.owner_of(state),
        exclusive=view.is_exclusive(state),
        wanted=view.wanted,
        noted=view.memory.get(state.scope, MappingProxyType({})),
        topologies=view.topologies,
        relaxed=view.relaxed,
        adopted=adopted,
        types=LINK_TYPES,
        whole_of=lambda other: view.owner_of(other) if view.is_exclusive(other) else "",
    )


def _left_behind(live: LiveState, view: View, only: Callable[[str], Container[str]]) -> Iterator[tuple[Key, Live]]:
    """Files of namespaces that no longer exist."""
    for scope in sorted({scope for scope, _ in live.files} - set(live.scopes)):
        reading = _reading(live, ScopeState(scope), view)
        for kind in KINDS:
            if kind.outlives and kind.name in only(scope):
                yield from kind.read(reading)


def _newborn(scope: str, owner: str, view: View, names: Container[str]) -> Iterator[tuple[Key, Live]]:
    """The objects of a namespace that does not exist yet which the kernel creates with it: desired or the kernel's."""
    for name, born_with in _BORN_WITH.items():
        if name in names:
            newborn = born_with(scope, owner)
            yield from ((key, entry) for key, entry in newborn if entry.owner == KERNEL or key in view.wanted)
