"""list and doctor: the objects that the kernel has of all topologies, and the obstacles to their packets."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from reconciler.kernel import live
from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.proc import dns_files
from reconciler.kinds import BY_NAME, TABLES
from reconciler.kinds.grounds import Place
from reconciler.model.changes import Live
from reconciler.model.keys import HOST, Key
from reconciler.model.names import block_owner
from reconciler.model.rows import LiveState, ScopeState, Surroundings
from reconciler.planning import doctor, state
from reconciler.planning.finding import Finding
from reconciler.planning.intent import to_have
from reconciler.planning.topology import Topology
from reconciler.run import look
from reconciler.safety import records

if TYPE_CHECKING:
    from reconciler.planning.doctor.following import Followed


class Examined(NamedTuple):
    """The names of the topologies with their objects, the doctor's findings, and the packets that it followed."""

    names: list[str]
    objects: Mapping[Key, Any]
    findings: list[Finding]
    followed: dict[str, Followed]


def examine(kernel: Kernel, topologies: Sequence[Topology] | None) -> Examined:
    """What the doctor finds; None stands for all topologies in the kernel."""
    if topologies is not None:
        names = [one.name for one in topologies]
        seen = look.see(kernel, to_have(topologies))
        wanted = {key: one.object for key, one in seen.desired.items()}
        live = {key: one.object for key, one in seen.live.items()}
        return _examined(kernel, names, seen.found.scopes, wanted, live)
    rows, everything = _everything(kernel)
    entries = {key: one for key, one in everything.items() if one.owner and one.owner[0] != "<"}
    names = sorted({one.owner for one in entries.values()})
    return _examined(kernel, names, rows.scopes, {key: one.object for key, one in entries.items()}, {})


def _examined(
    kernel: Kernel,
    names: list[str],
    states: Mapping[str, ScopeState],
    objects: Mapping[Key, Any],
    beside: Mapping[Key, Any],
) -> Examined:
    known = _known(kernel, states, objects, only_shut=False)
    findings = _findings(objects, known, False, beside)
    return Examined(names, objects, findings, {scope: followed for scope, (_, followed) in known.items()})


def holdings(kernel: Kernel) -> dict[str, dict[str, int]]:
    """By topology, the number of objects of each kind in the kernel."""
    counts: dict[str, dict[str, int]] = {name: {} for name in sorted(records.load())}
    _, entries = _everything(kernel)
    links = ((key, entry) for key, entry in entries.items() if not BY_NAME[key.kind].existing)
    made = {(place, entry.owner) for key, entry in links for place in BY_NAME[key.kind].links(entry.object)}
    for key, entry in entries.items():
        if entry.owner and entry.owner[0] != "<" and _is_held(key, entry, made):
            kinds = counts.setdefault(entry.owner, {})
            kinds[key.kind] = kinds.get(key.kind, 0) + 1
    return {name: counts[name] for name in sorted(counts)}


def _is_held(key: Key, entry: Live, made: Container[tuple[Place, str]]) -> bool:
    """Whether the object counts: interfaces do not, nor sysctls of links and namespaces of the same topology."""
    kind = BY_NAME[key.kind]
    if kind.restores:
        return key.scope == HOST and not any((place, entry.owner) in made for place in kind.lies_on(entry.object))
    return not kind.existing


def around(
    kernel: Kernel,
    states: Mapping[str, ScopeState],
    objects: Mapping[Key, Any],
    beside: Mapping[Key, Any],
    applied: bool,
    only_shut: bool = False,
) -> list[Finding]:
    """The doctor's findings for the objects; ``states`` has the rows of each scope.

    ``applied`` and ``beside``: see doctor.diagnose.  ``only_shut``: those that shut published ports are enough.
    """
    return _findings(objects, _known(kernel, states, objects, only_shut), applied, beside)


def _findings(
    objects: Mapping[Key, Any],
    known: Mapping[str, tuple[Surroundings, Followed]],
    applied: bool,
    beside: Mapping[Key, Any],
) -> list[Finding]:
    unheard = doctor.idle(objects, lambda name: dns_files.read_file(HOST, name), applied)
    return doctor.diagnose(objects, known, applied, beside) + list(unheard)


def _known(
    kernel: Kernel, states: Mapping[str, ScopeState], objects: Mapping[Key, Any], only_shut: bool
) -> dict[str, tuple[Surroundings, Followed]]:
    """By scope, the facts of the host and the packets followed."""
    known: dict[str, tuple[Surroundings, Followed]] = {}
    for scope, ports in doctor.published(objects).items():
        if (scope == HOST or kernel.exists(scope)) and (ports or not only_shut):
            from reconciler.kernel.observe import foreign_rules, host_facts
            from reconciler.planning.doctor import following

            chains = foreign_rules.chains(kernel, scope)
            if chains or not only_shut:
                followed = following.follow(objects, states.get(scope), scope, chains)
            else:
                followed, ports = following.Unfollowed(scope, objects), set()
            facts = host_facts.read(kernel, scope, ports, followed.asks(), followed.links())
            known[scope] = (facts, followed)
    return known


def overlapping(topologies: Iterable[Topology]) -> Iterator[Finding]:
    """A finding for each network that stands although its subnet overlaps routes of the host."""
    for topology in topologies:
        for one in topology.draft.overlaps if topology.draft is not None else ():
            yield Finding(HOST, "overlap", topology.names.links.get((HOST, one.bridge)), one.message, one.hint)


def _everything(kernel: Kernel) -> tuple[LiveState, dict[Key, Live]]:
    """The rows, and all live objects of all topologies and in the namespaces that they own."""
    remembered = records.load()
    memory = records.memory(remembered, ())
    rows = live.read(kernel, bool, (), state.settings((), memory), TABLES)
    names = frozenset(remembered) | _owners_of_blocks(rows.files.values())
    return rows, state.objects(rows, state.View(names, {}, frozenset(), memory))


def _owners_of_blocks(texts: Iterable[str]) -> frozenset[str]:
    owners = (block_owner(line) for text in texts for line in text.splitlines())
    return frozenset(filter(None, owners))
