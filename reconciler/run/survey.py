"""doctor: the obstacles to the packets of what the kernel holds, or of what files declare."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.proc import dns_files
from reconciler.model.data import NamedTuple
from reconciler.model.keys import HOST, Key
from reconciler.model.rows import ScopeState, Surroundings
from reconciler.planning import doctor
from reconciler.planning.finding import Finding
from reconciler.planning.intent import to_have
from reconciler.planning.topology import Topology
from reconciler.run import holdings, look

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
    rows, everything = holdings.everything(kernel)
    entries = {key: one for key, one in everything.items() if holdings.is_owned(one)}
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
