"""Turns networks and sandboxes into bridges, veths, namespaces and other objects of level one; pure."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_network
from typing import Any

from reconciler.language.networks import addressing, overlaps, publish, reading, sandboxes, subnets
from reconciler.language.networks.assembly import Assembly
from reconciler.language.networks.drivers import DRIVERS
from reconciler.language.networks.facts import BRIDGE_NF, HostFacts, Named, busy, facts_of
from reconciler.language.networks.leases import Leases, leases_of
from reconciler.language.networks.lowered import Lowered, has_level_two
from reconciler.language.schema import Document
from reconciler.model.errors import Problem
from reconciler.model.quoting import Path

__all__ = [
    "BRIDGE_NF", "HostFacts", "Leases", "Lowered",
    "busy", "facts_of", "has_level_two", "is_automatic", "leases_of", "lower", "named",
]  # fmt: skip


def is_automatic(data: Mapping[str, Any]) -> bool:
    """Whether a subnet or a port of the host may have to be chosen; such a topology is lowered after the others."""
    subnets = any("subnets" not in entry for entry in (data.get("networks") or {}).values())
    return subnets or any("publish" in entry for entry in (data.get("sandboxes") or {}).values())


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


def lower(document: Document, leases: Leases | None = None, facts: HostFacts | None = None) -> Lowered:
    """The document in level one, without networks and sandboxes.

    ``leases`` has the addresses, subnets and ports that its networks have now, which they keep.  Problems are in the
    result, which has all that could be made in spite of them.
    """
    data = document.data
    if not has_level_two(data):
        return Lowered(document, data, {})
    leases, facts = leases or Leases(), facts or HostFacts()
    problems: list[Problem] = []

    def note(path: Path, message: str) -> None:
        problems.append(Problem(document.place(path), message))

    networks = subnets.with_pools(data, reading.networks(data, note), leases, facts, note)
    overlapping = tuple(overlaps.check(data, networks, leases, facts, note))
    named = reading.sandboxes(data, networks, note)
    numbered = addressing.with_addresses(named, networks, leases, document.place, note)
    assembly = Assembly(document)
    for network in networks.values():
        assembly.take(DRIVERS[network.driver].network(network, networks))
    assembly.take(sandboxes.parts(numbered, networks, facts, note))
    ports = list(publish.port_maps(data, numbered, networks, leases, facts.ports | facts.named.ports, note))
    assembly.take(ports)
    return Lowered(
        document=document,
        data=assembly.data,
        sources=assembly.sources,
        problems=(*problems, *assembly.problems),
        subnets=tuple(str(pool.subnet) for network in networks.values() for pool in network.pools),
        ports=frozenset(publish.listening(part.value for part in ports)),
        overlaps=overlapping,
    )
