"""Loads the files of a command line as topologies, and lowers them again once the host was read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from reconciler.language import document, schema, sources
from reconciler.language.networks.lowered import Lowered, has_level_two
from reconciler.language.schema import Document
from reconciler.model import data as dataclasses
from reconciler.model.data import NamedTuple
from reconciler.model.errors import InputError, Problem
from reconciler.model.quoting import Path
from reconciler.model.rows import LiveState
from reconciler.model.timings import stage
from reconciler.planning import topology
from reconciler.planning.topology import Topology

if TYPE_CHECKING:
    from reconciler.language.networks.lower import Draft, HostFacts, Leases


def load(arguments: Sequence[str], on_host: bool = True) -> list[Topology]:
    """The topologies of files, folders and ``-`` (stdin).  Raises InputError with the problems of all of them.

    Addresses that are left to netrecon are chosen as for an empty host; ``settled`` chooses them for the real one.
    ``on_host``: see ``build``.
    """
    return build(lower(documents(arguments)), on_host)


def load_one(file: str) -> Topology:
    """The topology of one file, as ``load``.  Raises InputError."""
    return build(lower([_document(file)]))[0]


def documents(arguments: Sequence[str]) -> list[Document]:
    """The files as data that passed the schema.  Raises InputError with the problems of all of them."""
    listed: list[Document] = []
    problems: list[Problem] = []
    for file in sources.expand(list(arguments)):
        try:
            listed.append(_document(file))
        except InputError as error:
            problems.extend(error.problems)
    if problems:
        # With the other problems of the files that passed the schema.
        raise InputError(sorted({*problems, *_problems(lower(listed))}))
    return listed


def _document(file: str) -> Document:
    with stage("load"):
        loaded = _loaded(file)
    with stage("validate"):
        problems = schema.check(loaded)
    if problems:
        from reconciler.language import partial_check

        raise InputError(sorted({*problems, *partial_check.problems(loaded, _judged)}))
    for word in [word for word in loaded.data if word.startswith("x-")]:
        del loaded.data[word]  # it held anchors, which are in their places by now
    return loaded


def _judged(kept: Document, references: bool) -> list[Problem]:
    """The problems of the valid part of a document that breaks the schema."""
    if not references:  # networks and sandboxes are nothing but references to each other
        return topology.problems(kept, references)
    (lowered,) = lower([kept])
    return [*lowered.problems, *_not_said_already(topology.problems(lowered, references), lowered.problems)]


def _loaded(file: str) -> Document:
    return document.load("<stdin>" if file == sources.STDIN else file, sources.read(file))


class Seen(NamedTuple):
    """The host: its live state, and the one after the plan in all that networks depend on (see run/expected.py).

    ``upstream``: the resolv.conf behind a local resolver; ``listening``: (protocol, port) of listening sockets;
    ``mtus``: of the way out by IP version; ``around``: the live state with the namespaces of other topologies on the
    networks of this run, None where there are none.
    """

    live: LiveState
    expected: LiveState
    upstream: str = ""
    listening: frozenset[tuple[str, int]] = frozenset()
    mtus: Mapping[int, int] = MappingProxyType({})
    around: LiveState | None = None


def lower(listed: Sequence[Document], seen: Seen | None = None) -> list[Lowered]:
    """The documents in the words of level one, in their order; without ``seen``, for an empty host.

    They are lowered one after the other, so that no two get the same subnet or port; those that leave no choice come
    first, and what any of them names is not chosen.
    """
    if not any(has_level_two(doc.data) for doc in listed):
        with stage("lower"):
            return [Lowered(doc, doc.data, {}) for doc in listed]
    from reconciler.language.networks import lower

    ordered = sorted(listed, key=lambda doc: lower.is_automatic(doc.data))
    drafts: dict[int, Draft] = {}
    named = lower.named(listed)
    for doc in ordered:
        leases, facts = _context(doc, listed, seen)
        facts = dataclasses.replace(facts, named=named)
        for other in drafts.values():
            facts = facts.beside(other.name, other.subnets, ())
        if has_level_two(doc.data):
            with stage("lower"):
                drafts[id(doc)] = lower.draft(doc, leases, facts)
    with stage("lower"):
        done = dict(_finished(drafts))
    return [done.get(id(doc)) or Lowered(doc, doc.data, {}) for doc in listed]


def _finished(drafts: Mapping[int, Draft]) -> Iterator[tuple[int, Lowered]]:
    """The drafts with their addresses and ports, one after the other: none gets what another one has or names."""
    from reconciler.language.networks import lower

    shared = {(one.name, name): network for one in drafts.values() for name, network in one.own.items()}
    for one in drafts.values():
        one.join(shared)
    joined = any(len(one.own) < len(one.networks) for one in drafts.values())  # else no two have a bridge in common
    done: dict[int, Lowered] = {}
    for place, one in drafts.items():
        facts = one.facts
        others = [other for other in drafts if other != place]
        for other in done.values():
            facts = facts.beside("", (), other.ports)
        if joined:
            held = [each for other in others for each in (done[other].held if other in done else drafts[other].claims)]
            facts = dataclasses.replace(facts, held=(*facts.held, *held))
        done[place] = lower.finish(one, facts)
        yield place, done[place]


def _context(doc: Document, listed: Sequence[Document], seen: Seen | None) -> tuple[Leases, HostFacts]:
    from reconciler.language.networks import lower

    names = frozenset(one.data["name"] for one in listed)
    if seen is None or not has_level_two(doc.data):
        return lower.Leases(), lower.HostFacts(topologies=names)
    name = doc.data["name"]
    facts = lower.facts_of(seen.expected, name, names, seen.upstream, seen.listening, seen.mtus)
    facts = dataclasses.replace(
        facts,
        busy=lower.busy(seen.live, name),
        standing=lower.standing(seen.live),
        held=lower.held_on_host(seen.around or seen.live, names),
    )
    leases = {other: lower.leases_of(seen.live, other) for other in names}
    return lower.with_others(leases.pop(name), leases.values()), facts


def build(lowered: Iterable[Lowered], on_host: bool = True, beside: Iterable[str] = ()) -> list[Topology]:
    """The topologies of the documents.  Raises InputError with the problems of all of them.

    ``on_host``: namespaces that exist on the host may be those of other topologies, as may those of ``beside``.
    """
    listed = list(lowered)
    declared = {*beside, *(name for doc in listed for name in doc.data.get("namespaces") or ())}
    # with networks in one file all are lowered again, for what the other files name
    again = any(has_level_two(doc.document.data) for doc in listed)
    topologies: list[Topology] = []
    problems: list[Problem] = []
    for doc in listed:
        try:
            draft = doc if again else None
            with stage("build"):
                built = topology.build(doc, elsewhere=lambda name: name in declared or (on_host and _is_there(name)))
                topologies.append(dataclasses.replace(built, draft=draft))
        except InputError as error:
            problems.extend(_not_said_already(error.problems, doc.problems))
        problems.extend(doc.problems)
    if problems:
        raise InputError(sorted(set(problems)))
    with stage("build"):
        topology.together(topologies)
    return topologies


def _is_there(namespace: str) -> bool:
    from reconciler.kernel.namespaces import netns_files  # validate never imports the kernel

    return namespace in netns_files.namespace_names()


def _not_said_already(problems: Iterable[Problem], said: Iterable[Problem]) -> Iterator[Problem]:
    """The problems without those that report an error of a network a second time, in the words of level one."""
    paths = [problem.origin.path for problem in said]
    return (problem for problem in problems if not _leads_to(problem.origin.path, paths))


def _leads_to(path: Path, others: Iterable[Path]) -> bool:
    return bool(path) and any(other[: len(path)] == path for other in others)


def _problems(lowered: Iterable[Lowered]) -> list[Problem]:
    try:
        build(lowered)
    except InputError as error:
        return error.problems
    return []


def leaves_mtu(topologies: Iterable[Topology]) -> bool:
    """Whether a network gets the MTU of the way out."""
    documents = (one.draft.document.data for one in topologies if one.draft is not None)
    networks = [entry for data in documents for entry in (data.get("networks") or {}).values()]
    return any("mtu" not in entry and "external" not in entry for entry in networks)


def joined(topologies: Iterable[Topology]) -> frozenset[str]:
    """The topologies that have networks which these topologies have or join."""
    documents = [one.draft.document.data for one in topologies if one.draft is not None]
    own = {data["name"] for data in documents}
    networks = (entry for data in documents for entry in (data.get("networks") or {}).values())
    return frozenset(own | {entry["external"] for entry in networks if "external" in entry})


def settled(topologies: Sequence[Topology], seen: Seen) -> tuple[Topology, ...]:
    """The topologies lowered again for the host: with the addresses, subnets and ports that it has of them."""
    drafts: list[Lowered] = [one.draft for one in topologies if one.draft is not None]
    again = lower([one.document for one in drafts], seen)
    changed = [new for old, new in zip(drafts, again, strict=True) if new.problems or new.data != old.data]
    spaces = {home for one in topologies for home, kind in one.names.by_scope if kind == "namespace"}
    built = {one.name: one for one in build(changed, beside=spaces)}
    same = {new.data["name"]: new for new in again}
    return tuple(built.get(one.name) or dataclasses.replace(one, draft=same.get(one.name)) for one in topologies)
