"""What the functions of a kind are given: a document, the desired objects, a namespace that was read, a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from reconciler.model.changes import Change, Desired, Live
from reconciler.model.data import NamedTuple, dataclass, field
from reconciler.model.keys import Key, Origin
from reconciler.model.quoting import Path
from reconciler.model.rows import LiveState, ScopeState

Parsed = tuple[Key, Any, Origin]  # a desired object with its key and its place in the file


@dataclass(frozen=True, slots=True)
class Source:
    """One scope of a topology, as ``parse`` gets it.

    ``data`` is the scope's mapping, which has passed the schema.
    ``at(path)`` is the place in the file of a path that starts at the scope.
    ``problem(path, message)`` reports an error and does not raise.
    ``ends`` are all links that the scope's document declares, of every kind.
    ``lines`` are filled by ``note_line``.
    """

    topology: str
    scope: str
    data: Mapping[str, Any]
    at: Callable[[Path], Origin]
    problem: Callable[[Path, str], None]
    ends: tuple[Entry, ...] = ()
    lines: dict[tuple[Key, str], Origin] = field(default_factory=dict)

    def note_line(self, key: Key, word: str, path: Path) -> None:
        """Record the line of an attribute that is not written at its object: ``icc`` of a network, for example."""
        there, own = self.at(path), self.at(path[:-1])
        if there.path[: len(own.path)] != own.path:
            self.lines[key, word] = there


class Entry(NamedTuple):
    """One link (or one end of a veth) in a document: its scope, its name, its mapping and the mapping's path."""

    scope: str
    name: str
    words: Mapping[str, Any]
    at: Path


@dataclass(slots=True)
class Names:
    """The desired objects, indexed for looking up references.

    ``links`` maps (scope, link name) to the key of the object that makes or configures the link (both ends of a veth).
    ``by_scope`` maps (scope, kind) to the keys of the objects there.
    ``exclusive`` are the namespaces that the topology declares in full: what it does not list does not exist there.
    ``near`` is a cache by scope: connected prefixes (see kinds/route/check.py), settings (see kinds/sysctl.py).
    ``sections`` are the sections of a topology in which links are declared.
    ``masters`` are the kinds of links that have ports.
    ``lines`` maps (object, attribute) to the line that implies the attribute, where that is not the object's own.
    ``elsewhere(name)``: whether another topology has the namespace, in this run or on the host.
    """

    objects: Mapping[Key, Any] = field(default_factory=dict)
    links: dict[tuple[str, str], Key] = field(default_factory=dict)
    by_scope: dict[tuple[str, str], list[Key]] = field(default_factory=dict)
    exclusive: set[str] = field(default_factory=set)
    topology: str = ""
    origins: Mapping[Key, Origin] = field(default_factory=dict)
    near: dict[str, Any] = field(default_factory=dict)
    sections: tuple[str, ...] = ()
    masters: tuple[str, ...] = ()
    lines: dict[tuple[Key, str], Origin] = field(default_factory=dict)
    elsewhere: Callable[[str], bool] = lambda _name: False

    def of(self, scope: str, kind: str) -> Iterator[Any]:
        """The desired objects of one kind in one scope, in the order of the file."""
        return (self.objects[key] for key in self.by_scope.get((scope, kind), ()))


def _stamp_of(state: ScopeState) -> str:
    return state.owner


class Noted(NamedTuple):
    """The record of an object, and the topology whose record it is; only the kind knows what ``record`` means."""

    topology: str
    record: Any


@dataclass(frozen=True, slots=True)
class Reading:
    """One namespace as ``read`` gets it.

    ``state`` are the rows of this namespace, ``live`` those of all namespaces.
    ``owner`` is the topology stamped on the namespace ("" for the host and for foreign namespaces).
    ``exclusive``: everything static in the namespace belongs to ``owner``.
    ``wanted`` are the desired objects by key, for kinds that read only what is declared.
    ``noted`` are the records of the namespace's objects.
    ``topologies`` are the topologies of this run.
    ``relaxed`` are the namespaces that are not exclusive.
    ``adopted`` maps the links, as (scope, name), that this run may take over to the topology that declares them.
    ``types`` are the link types (IFLA_INFO_KIND) that some kind reads.
    ``whole_of(state)`` is the topology that everything static in a namespace belongs to, "" for none.
    """

    state: ScopeState
    live: LiveState
    owner: str
    exclusive: bool
    wanted: Mapping[Key, Desired]
    noted: Mapping[Key, Noted] = field(default_factory=dict)
    topologies: frozenset[str] = frozenset()
    relaxed: frozenset[str] = frozenset()
    adopted: Mapping[tuple[str, str], str] = field(default_factory=dict)
    types: frozenset[str] = frozenset()
    whole_of: Callable[[ScopeState], str] = _stamp_of


class Claim(NamedTuple):
    """An object in a place that only one object can have; ``origin`` is None for a topology outside this run."""

    object: Any
    owner: str
    origin: Origin | None


@dataclass(frozen=True, slots=True)
class Noting:
    """A run as ``record`` gets it: the desired objects, the changes and the live objects.

    ``noted`` are the present records: the topology's own, else another topology's.
    ``at_birth`` are the values that a new namespace has of the sysctls that the run writes in new namespaces.
    ``upset`` are the values, before the run, of the sysctls that the kernel changes because of those that it writes.
    """

    names: Names
    changes: Mapping[Key, Change]
    live: Mapping[Key, Live]
    noted: Mapping[Key, Any]
    at_birth: Mapping[str, str] = field(default_factory=dict)
    upset: Mapping[Key, str] = field(default_factory=dict)
