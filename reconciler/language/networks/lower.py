"""Turns networks and sandboxes into bridges, veths, namespaces and other objects of level one; pure."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_network
from typing import Any

from reconciler.language.networks import addressing, external, overlaps, publish, reading, sandboxes, subnets
from reconciler.language.networks.assembly import Assembly
from reconciler.language.networks.drivers import DRIVERS
from reconciler.language.networks.external import held_on_host, standing
from reconciler.language.networks.facts import BRIDGE_NF, HostFacts, Named, busy, facts_of
from reconciler.language.networks.leases import Leases, leases_of, with_others
from reconciler.language.networks.lowered import Lowered, Overlap, has_level_two
from reconciler.language.networks.model import Held, Network, Sandbox
from reconciler.language.schema import Document
from reconciler.model.data import dataclass
from reconciler.model.errors import Problem
from reconciler.model.quoting import Path

__all__ = [
    "BRIDGE_NF",
    "Draft",
    "HostFacts",
    "Leases",
    "Lowered",
    "busy",
    "draft",
    "facts_of",
    "finish",
    "has_level_two",
    "held_on_host",
    "is_automatic",
    "leases_of",
    "lower",
    "named",
    "standing",
    "with_others",
]  # fmt: skip


def is_automatic(data: Mapping[str, Any]) -> bool:
    """Whether a subnet or a port of the host may have to be chosen; such a topology is lowered after the others."""
    own = (entry for entry in (data.get("networks") or {}).values() if "external" not in entry)
    chosen = any(subnets.automatic(entry) for entry in own)
    return chosen or any("publish" in entry for entry in (data.get("sandboxes") or {}).values())


def named(documents: Iterable[Document]) -> Named:
    """What files name, so that it is not chosen for something else."""
    listed = [document.data for document in documents]
    return Named(
        frozenset(prefix for data in listed for prefix in subnets.named(data)),
        frozenset(port for data in listed for port in publish.named(data)),
        frozenset(prefix for data in listed for prefix in _routes(data)),
    )


def _routes(data: Mapping[str, Any]) -> Iterator[str]:
    for entry in data.get("routes") or ():
        with contextlib.suppress(ValueError):  # "default", or a mistake that the kind reports
            yield str(ip_network(entry.get("to", ""), strict=False))


@dataclass(slots=True)
class Draft:
    """A document whose networks have their subnets, and whose sandboxes have no addresses yet."""

    document: Document
    leases: Leases
    facts: HostFacts
    networks: dict[str, Network]
    sandboxes: list[Sandbox]
    problems: list[Problem]
    overlaps: tuple[Overlap, ...]

    @property
    def name(self) -> str:
        return str(self.document.data["name"])

    @property
    def own(self) -> dict[str, Network]:
        """The networks that are not of another topology."""
        return {name: network for name, network in self.networks.items() if not network.external}

    @property
    def subnets(self) -> tuple[str, ...]:
        return tuple(str(pool.subnet) for network in self.own.values() for pool in network.pools)

    @property
    def claims(self) -> Iterable[Held]:
        """The addresses that its endpoints have now or that the file names."""
        return external.claims(self.name, self.sandboxes, self.networks, self.leases)

    def note(self, path: Path, message: str) -> None:
        self.problems.append(Problem(self.document.place(path), message))

    def join(self, shared: external.Shared) -> None:
        """Give the networks of other topologies their subnets."""
        self.networks = external.resolved(self.document.data, self.networks, shared, self.facts, self.note)


def lower(document: Document, leases: Leases | None = None, facts: HostFacts | None = None) -> Lowered:
    """The document in level one, without networks and sandboxes.

    ``leases`` has the addresses, subnets and ports that its networks have now, which they keep.  Problems are in the
    result, which has all that could be made in spite of them.
    """
    if not has_level_two(document.data):
        return Lowered(document, document.data, {})
    made = draft(document, leases or Leases(), facts or HostFacts())
    made.join({})
    return finish(made, made.facts)


def draft(document: Document, leases: Leases, facts: HostFacts) -> Draft:
    """The first half: the subnets of the networks of this topology."""
    data = document.data
    made = Draft(document, leases, facts, {}, [], [], ())
    read = reading.networks(data, made.note)
    own = {name: network for name, network in read.items() if not network.external}
    own = subnets.with_pools(data, own, leases, facts, made.note)
    made.networks = {name: own.get(name, network) for name, network in read.items()}
    made.overlaps = tuple(overlaps.check(data, own, leases, facts, made.note))
    made.sandboxes = reading.sandboxes(data, made.networks, made.note)
    return made


def finish(made: Draft, facts: HostFacts) -> Lowered:
    """The second half: addresses, ports, and all objects of level one."""
    document, leases, networks = made.document, made.leases, made.networks
    numbered = addressing.with_addresses(made.sandboxes, networks, leases, facts.held, document.place, made.note)
    assembly = Assembly(document)
    for network in networks.values():
        assembly.take(DRIVERS[network.driver].network(network, networks))
    assembly.take(sandboxes.parts(numbered, networks, facts, made.note))
    ports = list(
        publish.port_maps(document.data, numbered, networks, leases, facts.ports | facts.named.ports, made.note)
    )
    assembly.take(ports)
    if any(network.unknown for network in networks.values()):
        assembly.data.pop("expect", None)  # it names sandboxes that have no address yet
    return Lowered(
        document=document,
        data=assembly.data,
        sources=assembly.sources,
        problems=(*made.problems, *assembly.problems),
        subnets=made.subnets,
        ports=frozenset(publish.listening(part.value for part in ports)),
        overlaps=made.overlaps,
        held=tuple(external.held(made.name, numbered, networks)),
    )
