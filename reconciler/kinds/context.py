"""What the functions of a kind are given: a document, the desired objects, a namespace, a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from typing import Any, NamedTuple

from reconciler.model.changes import Change, Desired, Live
from reconciler.model.data import dataclass
from reconciler.model.keys import Key, Origin
from reconciler.model.quoting import Path
from reconciler.model.rows import LiveState, ScopeState

Parsed = tuple[Key, Any, Origin]


@dataclass(frozen=True, slots=True)
class Source:
    """One scope of a topology, as ``parse`` sees it.

    ``data`` is the scope's mapping and has passed the schema.  ``at`` gives the place of a
    path that starts at the scope; ``problem`` notes what the schema cannot say and goes on.
    ``ends`` are the links that the scope's document speaks of, of whatever kind.
    """

    topology: str
    scope: str
    data: Mapping[str, Any]
    at: Callable[[Path], Origin]
    problem: Callable[[Path, str], None]
    ends: tuple[Entry, ...] = ()
    lines: dict[tuple[Key, str], Origin] = field(default_factory=dict)

    def note_line(self, key: Key, word: str, path: Path) -> None:
        """Note the line of an attribute that is written elsewhere than its object: ``icc`` of a network, say."""
        there, own = self.at(path), self.at(path[:-1])
        if there.path[: len(own.path)] != own.path:
            self.lines[key, word] = there


class Entry(NamedTuple):
    """What a document says of one link (of a veth, one end): its scope and name, its mapping and the path of that."""

    scope: str
    name: str
    words: Mapping[str, Any]
    at: Path


@dataclass(slots=True)
class Names:
    """Who is who among the desired objects: what references are looked up in.

    ``links`` maps (scope, link name) to the object that makes or configures it (of a veth,
    both ends); ``by_scope`` lists a scope's objects by kind; ``exclusive`` names the namespaces that
    are declared in full, so that what is not written does not exist; ``near`` remembers what is connected in
    a scope (see kinds/route/); ``sections`` are those that links are declared in,
    ``masters`` the kinds of links that have ports; ``lines`` has the lines that imply an attribute of an object.
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

    def of(self, scope: str, kind: str) -> Iterator[Any]:
        """The desired objects of one kind in one scope, in the order of the file."""
        return (self.objects[key] for key in self.by_scope.get((scope, kind), ()))


def _stamp_of(state: ScopeState) -> str:
    return state.owner


class Noted(NamedTuple):
    """What is on record of an object, and by which topology; what ``record`` means is known to the kind alone."""

    topology: str
    record: Any


@dataclass(frozen=True, slots=True)
class Reading:
    """One namespace as ``read`` sees it.

    ``owner`` is the topology stamped on the namespace ("" for the host and for foreign ones);
    ``exclusive`` says that everything static in it is the owner's.  ``wanted`` maps the desired keys
    to Wanted, for kinds that look only at what is asked for; ``topologies`` names those of this run, ``relaxed``
    the namespaces that are not exclusive.
    ``noted`` is what is on record of the namespace's objects.
    ``adopted`` maps the links that this run may take over to the topology that wants them; ``types`` are the
    types of links (IFLA_INFO_KIND) that some kind reads; ``whole_of`` tells whose everything static in a namespace is.
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
    """An object that takes a place which others may want too; ``origin`` is None for one of another run's topology."""

    object: Any
    owner: str
    origin: Origin | None


@dataclass(frozen=True, slots=True)
class Noting:
    """What ``record`` knows of a run: who is who, its changes and the live objects.

    ``noted`` is what is on record already, by the object's own topology or else by another one.
    ``at_birth`` has the settings of a namespace that was just made, of those that the run writes in new ones;
    ``upset`` those that change by themselves with what the run writes, as they are before.
    """

    names: Names
    changes: Mapping[Key, Change]
    live: Mapping[Key, Live]
    noted: Mapping[Key, Any]
    at_birth: Mapping[str, str] = field(default_factory=dict)
    upset: Mapping[Key, str] = field(default_factory=dict)
