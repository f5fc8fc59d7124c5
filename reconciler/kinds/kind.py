"""What a kind of object is: a record of plain functions, and what they are given."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field
from typing import Any

from reconciler.model.changes import Desired, Live
from reconciler.model.data import dataclass
from reconciler.model.keys import Key, Origin
from reconciler.model.port_ranges import PortRanges
from reconciler.model.quoting import Path as Path
from reconciler.model.requests import Request
from reconciler.model.rows import LiveState, ScopeState

Parsed = tuple[Key, Any, Origin]


@dataclass(frozen=True, slots=True)
class Source:
    """One scope of a topology, as ``parse`` sees it.

    ``data`` is the scope's mapping and has passed the schema.  ``at`` gives the place of a
    path that starts at the scope; ``problem`` notes what the schema cannot say and goes on.
    """

    topology: str
    scope: str
    data: Mapping[str, Any]
    at: Callable[[Path], Origin]
    problem: Callable[[Path, str], None]


@dataclass(slots=True)
class Names:
    """Who is who among the desired objects: what references are looked up in.

    ``links`` maps (scope, link name) to the object that makes or configures it (of a veth,
    both ends); ``by_scope`` lists a scope's objects by kind; ``exclusive`` names the namespaces that
    are declared in full, so that what is not written does not exist; ``near`` remembers what is connected in
    a scope (see kinds/route.py).
    """

    objects: Mapping[Key, Any] = field(default_factory=dict)
    links: dict[tuple[str, str], Key] = field(default_factory=dict)
    by_scope: dict[tuple[str, str], list[Key]] = field(default_factory=dict)
    exclusive: set[str] = field(default_factory=set)
    topology: str = ""
    origins: Mapping[Key, Origin] = field(default_factory=dict)
    near: dict[str, Any] = field(default_factory=dict)

    def of(self, scope: str, kind: str) -> Iterator[Any]:
        """The desired objects of one kind in one scope, in the order of the file."""
        return (self.objects[key] for key in self.by_scope.get((scope, kind), ()))


@dataclass(frozen=True, slots=True)
class Reading:
    """One namespace as ``read`` sees it.

    ``owner`` is the topology stamped on the namespace ("" for the host and for foreign ones);
    ``exclusive`` says that everything static in it is the owner's.  ``wanted`` maps the desired keys
    to Wanted, for kinds that look only at what is asked for; ``topologies`` names those of this run, ``relaxed``
    the namespaces that are not exclusive.
    ``shared`` tells which topology is on record for a key that lies on a link nobody stamped;
    ``reserved`` which ports are on record as put into the list of reserved ones;
    ``sysctls`` what is on record for a sysctl: (topology, value before our first write, value we wrote).
    ``adopted`` maps the links that this run may take over to the topology that wants them.
    """

    state: ScopeState
    live: LiveState
    owner: str
    exclusive: bool
    wanted: Mapping[Key, Desired]
    shared: Mapping[Key, str] = field(default_factory=dict)
    reserved: Mapping[Key, PortRanges] = field(default_factory=dict)
    sysctls: Mapping[Key, tuple[str, str, str]] = field(default_factory=dict)
    topologies: frozenset[str] = frozenset()
    relaxed: frozenset[str] = frozenset()
    adopted: Mapping[tuple[str, str], str] = field(default_factory=dict)


def declared(wanted: Any, live: Any) -> Any:
    """``live`` with every field blanked that ``wanted`` leaves unmanaged (None)."""
    form: Any = type(live)
    values = ((getattr(wanted, name), getattr(live, name), compared) for name, compared in _fields(form))
    return form(*(None if compared and mine is None else its for mine, its, compared in values))


@functools.cache
def _fields(form: Any) -> tuple[tuple[str, bool], ...]:
    """The fields of a form in their order, and whether they count when two are compared."""
    return tuple((field.name, field.compare) for field in dataclasses.fields(form))


def attributes(value: Any) -> dict[str, Any]:
    """The fields that an object manages, by name; its scope and name are left to the key."""
    form: Any = type(value)
    pairs = ((name, getattr(value, name)) for name, compared in _fields(form) if compared)
    return {name: held for name, held in pairs if held is not None and name not in ("scope", "name")}


def _nothing(*_: Any) -> tuple[()]:
    return ()


def _unchanged(live: Any, _links: frozenset[tuple[str, str]]) -> Any:
    return live


@dataclass(frozen=True, slots=True)
class Kind:
    """All that the core knows of one kind of object.

    form     the class of its objects
    parse    a scope's document -> (key, object, origin) of each object of this kind in it
    imply    all desired objects -> more of this kind that follow from them
    check    a desired object and the names -> what is wrong with its references, as (subpath, message)
    read     a namespace as it was read -> (key, held) of each live object of this kind
    settle   (wanted, live) -> wanted, with what follows from the kernel alone filled in; None: all is written
    mask     (wanted, live) -> live with what wanted does not manage blanked out
    needs    the keys of the objects that must be there first
    create   (object, owner) -> requests;  update (before, after, owner);  delete (object)
    adopt    (live object, owner) -> requests that only stamp
    stamp    a live object -> what on it tells whose it is, for comparing
    restamp  (live object of a snapshot) -> requests that give it back that stamp
    links    the links that the object makes or configures, as (scope, name)
    without  (live object, links that vanish as (scope, name)) -> what remains of it, None for nothing
    shown    object -> its attributes for people and JSON, without what the key says already
    replace_on, disruptive_on   attributes that cannot change in place; that stop traffic when they do
    existing   True for what is configured but never made or removed (a physical link)
    brief    True where attributes are worth telling only when they differ
    harmless   True where a deletion stops no traffic
    """

    name: str
    form: type[Any] = object
    schema: str = ""
    parse: Callable[[Source], Iterable[Parsed]] = _nothing
    imply: Callable[[Names], Iterable[Parsed]] = _nothing
    check: Callable[[Any, Names], Iterable[tuple[Path, str]]] = _nothing
    read: Callable[[Reading], Iterable[tuple[Key, Live]]] = _nothing
    settle: Callable[[Any, Any], Any] | None = None
    mask: Callable[[Any, Any], Any] = declared
    needs: Callable[[Any, Names], Iterable[Key]] = _nothing
    create: Callable[[Any, str], Iterable[Request]] = _nothing
    update: Callable[[Any, Any, str], Iterable[Request]] = _nothing
    delete: Callable[[Any], Iterable[Request]] = _nothing
    adopt: Callable[[Any, str], Iterable[Request]] = _nothing
    stamp: Callable[[Any], Any] = _nothing
    restamp: Callable[[Any], Iterable[Request]] = _nothing
    links: Callable[[Any], Iterable[tuple[str, str]]] = _nothing
    without: Callable[[Any, frozenset[tuple[str, str]]], Any] = _unchanged
    shown: Callable[[Any], Mapping[str, Any]] = attributes
    replace_on: frozenset[str] = frozenset()
    disruptive_on: frozenset[str] = frozenset()
    existing: bool = False
    brief: bool = False
    harmless: bool = False
