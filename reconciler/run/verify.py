"""Tests the expectations of topologies with real packets: netrecon verify, and apply --verify."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.observe import probes
from reconciler.planning import expectations, topology
from reconciler.planning.intent import Proof
from reconciler.planning.topology import Topology


def prove(kernel: Kernel, topologies: Sequence[Topology]) -> list[Proof]:
    """Send real packets for every expectation; where nothing listens, a listener is opened for the test."""
    objects = {key: one.object for key, one in topology.together(topologies).items()}
    expected = [one for topology_ in topologies for one in topology_.expectations]
    asked = [
        probes.Probe(one.scope, one.address, one.port, one.protocol, expectations.end_of(one, objects))
        for one in expected
    ]
    return [Proof(one, *found) for one, found in zip(expected, probes.run(kernel, asked), strict=True)]


def disproved(proofs: Iterable[Proof]) -> str:
    """A message with the expectations that do not hold, "" if all hold."""
    failed = [one.expectation for one in proofs if not one.holds]
    texts = (f"{one.scope} {'does not reach' if one.reach else 'reaches'} {one.to} ({one.origin})" for one in failed)
    return f"not as expected: {', '.join(texts)}" if failed else ""
