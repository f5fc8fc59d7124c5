"""Builds the desired objects of a topology from data that passed the schema, and checks all references."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from reconciler.kinds import BY_NAME, KINDS, LINK_SECTIONS, MASTERS, having
from reconciler.kinds.context import Claim, Names, Parsed, Source
from reconciler.model import data as dataclasses
from reconciler.model.changes import Desired
from reconciler.model.data import dataclass
from reconciler.model.errors import InputError, Problem
from reconciler.model.keys import HOST, Key, Origin
from reconciler.model.quoting import Path

if TYPE_CHECKING:
    from reconciler.planning.expectations import Expectation


_CLASHES = having(lambda kind: kind.clashes)


class Document(Protocol):
    """A loaded file: its name, its data, and the place (line and column) of any path in it."""

    @property
    def file(self) -> str: ...

    @property
    def data(self) -> Any: ...

    def place(self, path: Path) -> Origin: ...


@dataclass(frozen=True, slots=True)
class Topology:
    """The desired objects of one document; ``exclusive`` are the namespaces that it declares in full.

    ``draft`` is the lowered document (networks.lowered.Lowered) in a run with networks, which are lowered again when
    the host is known; None in any other run.
    """

    name: str
    objects: dict[Key, Desired]
    names: Names
    exclusive: frozenset[str]
    expectations: tuple[Expectation, ...] = ()
    draft: Any = None


def build(
    document: Document, references: bool = True, elsewhere: Callable[[str], bool] = lambda _name: False
) -> Topology:
    """The topology of a document.

    Raises InputError with every problem that the schema does not find: references to missing objects, keys declared
    twice, unreachable gateways.  Without ``references`` it does not check references: parts of the document may have
    been left out.  ``elsewhere(name)``: whether another topology has a namespace.
    """
    data = document.data
    problems: list[Problem] = []
    parsed: list[Parsed] = []
    paths: dict[Origin, Path] = {}
    lines: dict[tuple[Key, str], Origin] = {}
    for path, scope, mapping in _scopes(data):
        at, problem = _at(document, path, paths), _noting(document, path, problems)
        source = Source(data["name"], scope, mapping, at, problem, lines=lines)
        source = dataclasses.replace(source, ends=tuple(entry for kind in KINDS for entry in kind.ends(source)))
        for kind in KINDS:
            parsed.extend(kind.parse(source))
    objects, origins = _unique(parsed, problems)
    names = _names(data, objects, origins, problems)
    names.lines.update(lines)
    names.elsewhere = elsewhere
    _complete(names, objects, origins)
    expected = _expected(data, names, _at(document, (), paths), _noting(document, (), problems))
    if references:
        problems.extend(_dangling(document, names, paths))
    if problems:
        raise InputError(sorted(set(problems)))
    wanted = {key: Desired(value, data["name"], origins[key]) for key, value in objects.items()}
    return Topology(data["name"], wanted, names, frozenset(names.exclusive), expected)


def _expected(
    data: dict[str, Any], names: Names, at: Callable[[Path], Origin], problem: Callable[[Path, str], None]
) -> tuple[Expectation, ...]:
    if not data.get("expect"):
        return ()
    from reconciler.planning import expectations

    return tuple(expectations.parse(data, names, at, problem))


def problems(document: Document, references: bool) -> list[Problem]:
    """The problems that ``build`` would raise, [] for none."""
    try:
        build(document, references)
    except InputError as error:
        return error.problems
    return []


def _scopes(data: dict[str, Any]) -> Iterator[tuple[Path, str, dict[str, Any]]]:
    yield (), HOST, data
    for name, mapping in (data.get("namespaces") or {}).items():
        yield ("namespaces", name), name, mapping or {}


def _at(document: Document, prefix: Path, paths: dict[Origin, Path]) -> Callable[[Path], Origin]:
    """A function from a path in a scope to its place; ``paths`` collects the path of each place with another one."""

    def at(path: Path) -> Origin:
        path = (*prefix, *path)
        origin = document.place(path)
        if origin.path != path:
            paths[origin] = path
        return origin

    return at


def _noting(document: Document, prefix: Path, problems: list[Problem]) -> Callable[[Path, str], None]:
    return lambda path, message: problems.append(Problem(document.place((*prefix, *path)), message))


def _unique(parsed: Iterable[Parsed], problems: list[Problem]) -> tuple[dict[Key, Any], dict[Key, Origin]]:
    objects: dict[Key, Any] = {}
    origins: dict[Key, Origin] = {}
    for key, value, origin in parsed:
        if key in objects:
            problems.append(Problem(origin, f"{key} is declared twice; first at line {origins[key].line}"))
        else:
            objects[key], origins[key] = value, origin
    return objects, origins


def _names(data: dict[str, Any], objects: dict[Key, Any], origins: dict[Key, Origin], problems: list[Problem]) -> Names:
    spaces = data.get("namespaces") or {}
    exclusive = {name for name, body in spaces.items() if (body or {}).get("exclusive", True)}
    names = Names(
        objects, exclusive=exclusive, topology=data["name"], origins=origins, sections=LINK_SECTIONS, masters=MASTERS
    )
    for key, value in objects.items():
        names.by_scope.setdefault((key.home, key.kind), []).append(key)
        for where in BY_NAME[key.kind].links(value):
            if where in names.links:
                first = origins[names.links[where]].line
                text = f'a second link "{where[1]}" in {where[0]}; the first is at line {first}'
                problems.append(Problem(origins[key], text))
            names.links.setdefault(where, key)
    return names


def _complete(names: Names, objects: dict[Key, Any], origins: dict[Key, Origin]) -> None:
    """Add the objects that follow from others, each kind once, in the order of KINDS."""
    for kind in KINDS:
        for key, value, origin in list(kind.imply(names)):
            fresh = key not in objects
            objects[key] = value
            origins.setdefault(key, origin)
            if fresh:
                names.by_scope.setdefault((key.home, key.kind), []).append(key)
                for where in kind.links(value):
                    names.links.setdefault(where, key)


def _dangling(document: Document, names: Names, paths: Mapping[Origin, Path]) -> Iterator[Problem]:
    for key, value in names.objects.items():
        for path, message in BY_NAME[key.kind].check(value, names):
            origin = names.origins[key]
            yield Problem(document.place((*paths.get(origin, origin.path), *path)), message)


def together(topologies: Iterable[Topology]) -> dict[Key, Desired]:
    """The desired objects of several topologies together; InputError where two declare one key or one place."""
    listed = list(topologies)
    if len(listed) == 1:
        return dict(listed[0].objects)
    objects: dict[Key, Desired] = {}
    problems: list[Problem] = []
    reported: set[tuple[str, Origin, Origin]] = set()
    for topology in listed:
        for key, wanted in topology.objects.items():
            other = objects.setdefault(key, wanted)
            if other is wanted:
                continue
            shared, text = _shared(key, other, wanted)
            objects[key] = shared
            places = (key.kind, wanted.origin, other.origin)
            if text and places not in reported:  # once for a range of ports
                reported.add(places)
                problems.append(Problem(wanted.origin, text))
    problems.extend(_same_names(listed))
    problems.extend(_disagreeing(listed))
    problems.extend(_overlapping(objects))
    if problems:
        raise InputError(sorted(problems))
    return objects


def _shared(key: Key, other: Desired, wanted: Desired) -> tuple[Desired, str]:
    """One object for two topologies that declare it, and why they cannot share it, "" where they can."""
    kind = BY_NAME[key.kind]
    if kind.merged is not None:
        merged, differ = kind.merged(other.object, wanted.object)
        text = f"topology {other.owner} has {key.name} with another {', '.join(differ)}, at {other.origin}"
        return dataclasses.replace(other, object=merged), f"{text}; keep one of them" if differ else ""
    if kind.shareable and other.object == wanted.object:
        return other, ""
    return other, f"{key} is declared by topology {other.owner} too, at {other.origin}"


def _disagreeing(topologies: Sequence[Topology]) -> Iterator[Problem]:
    """Attributes of a link that the topology which makes it and another one set to different values."""
    for topology in topologies:
        for key, wanted in topology.objects.items():
            disagreeing = BY_NAME[key.kind].disagreeing
            made = maker(key, wanted, topologies) if disagreeing is not None else None
            if disagreeing is not None and made is not None:
                differ = disagreeing(wanted.object, made.object)
                text = f"{key.name} belongs to topology {made.owner}, which has another {', '.join(differ)}"
                if differ:
                    yield Problem(wanted.origin, f"{text} at {made.origin}; leave it out here")


def maker(key: Key, wanted: Desired, topologies: Iterable[Topology]) -> Desired | None:
    """The object of another topology that makes the link which this one configures."""
    for place in BY_NAME[key.kind].links(wanted.object):
        for other in topologies:
            made = other.names.links.get(place) if other.name != wanted.owner else None
            if made is not None and not BY_NAME[made.kind].existing:
                return other.objects[made]
    return None


def _overlapping(objects: dict[Key, Desired]) -> Iterator[Problem]:
    """Objects of different topologies in one place (``parse`` reports those within one topology)."""
    claims: dict[tuple[str, str], list[Claim]] = {}
    owners: dict[tuple[str, str], set[str]] = {}
    for key, wanted in objects.items():
        if key.kind in _CLASHES:
            place = key.scope, key.kind
            claims.setdefault(place, []).append(Claim(wanted.object, wanted.owner, wanted.origin))
            owners.setdefault(place, set()).add(wanted.owner)
    for place in sorted(place for place, names in owners.items() if len(names) > 1):
        for later, text in _CLASHES[place[1]](claims[place]):
            if later.origin is not None:
                yield Problem(later.origin, text)


def _same_names(topologies: Iterable[Topology]) -> Iterator[Problem]:
    seen: set[str] = set()
    for topology in topologies:
        if topology.name in seen:
            first = next(iter(topology.objects.values()), None)
            file = first.origin.file if first else ""
            text = f'two files have the name "{topology.name}"; a name owns what it makes'
            yield Problem(Origin(file, path=("name",)), text)
        seen.add(topology.name)
