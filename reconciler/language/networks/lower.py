"""Networks and sandboxes, turned into bridges, veths, namespaces and what else level one has: a pure function."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.language.networks import addressing, publish, reading, sandboxes, subnets
from reconciler.language.networks.assembly import Assembly
from reconciler.language.networks.drivers import DRIVERS
from reconciler.language.networks.leases import BRIDGE_NF, HostFacts, Leases, facts_of, leases_of
from reconciler.language.networks.lowered import Lowered, has_level_two
from reconciler.language.schema import Document
from reconciler.model.errors import Problem
from reconciler.model.quoting import Path

__all__ = [
    "BRIDGE_NF", "HostFacts", "Leases", "Lowered",
    "facts_of", "has_level_two", "is_automatic", "leases_of", "lower",
]  # fmt: skip


def is_automatic(data: Mapping[str, Any]) -> bool:
    """Whether it leaves a subnet or a port of the host to be chosen: it had better be lowered after the others."""
    subnets = any("subnets" not in entry for entry in (data.get("networks") or {}).values())
    return subnets or any("publish" in entry for entry in (data.get("sandboxes") or {}).values())


def lower(document: Document, leases: Leases | None = None, facts: HostFacts | None = None) -> Lowered:
    """The same document in the words of level one.

    ``leases`` is what the kernel holds of it now: addresses, subnets and ports that were given once stay.  Problems are
    in the result, beside all that could be made nevertheless.
    """
    data = document.data
    if not has_level_two(data):
        return Lowered(document, data, {})
    leases, facts = leases or Leases(), facts or HostFacts()
    problems: list[Problem] = []

    def note(path: Path, message: str) -> None:
        problems.append(Problem(document.place(path), message))

    networks = subnets.with_pools(data, reading.networks(data, note), leases, facts, note)
    named = reading.sandboxes(data, networks, note)
    numbered = addressing.with_addresses(named, networks, leases, document.place, note)
    assembly = Assembly(document)
    for network in networks.values():
        assembly.take(DRIVERS[network.driver].network(network, networks))
    assembly.take(sandboxes.parts(numbered, networks, facts, note))
    ports = list(publish.port_maps(data, numbered, networks, leases, facts.ports, note))
    assembly.take(ports)
    return Lowered(
        document=document,
        data=assembly.data,
        sources=assembly.sources,
        problems=(*problems, *assembly.problems),
        subnets=tuple(str(pool.subnet) for network in networks.values() for pool in network.pools),
        ports=frozenset(publish.listening(part.value for part in ports)),
    )
