"""Tests with real packets what topologies expect or imply: netrecon verify, and apply --verify."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import path
from reconciler.kernel.observe import probes
from reconciler.model.data import NamedTuple
from reconciler.model.errors import KernelError
from reconciler.model.keys import HOST
from reconciler.planning import expectations, implied, topology
from reconciler.planning.expectations import Expectation
from reconciler.planning.implied import Unprobed
from reconciler.planning.intent import Proof
from reconciler.planning.topology import Topology

# Addresses of documentation (RFC 5737, RFC 3849): nobody is there, and the hop limit ends at the next router anyway.
NOBODY = {4: ("192.0.2.1", "198.51.100.1", "203.0.113.1"), 6: ("2001:db8::1", "3fff::1")}
HOPS = 2
NO_WAYS: Mapping[Expectation, str] = MappingProxyType({})


class Proved(NamedTuple):
    """The expectations with their outcomes, and what is implied and was not probed."""

    proofs: list[Proof]
    unprobed: list[Unprobed]


def prove(kernel: Kernel, topologies: Sequence[Topology]) -> list[Proof]:
    """Send real packets for every expectation; where nothing listens, a listener is opened for the test."""
    return _prove(kernel, topologies, [one for topology_ in topologies for one in topology_.expectations])


def prove_implied(kernel: Kernel, topologies: Sequence[Topology]) -> Proved:
    """As ``prove``; of a topology without expectations also what it implies."""
    silent = frozenset(one.name for one in topologies if not one.expectations)
    found = implied.implied(topology.together(topologies), silent) if silent else []
    declared = [one for topology_ in topologies for one in topology_.expectations]
    wanted = [*declared, *(one for one in found if isinstance(one, Expectation))]
    unprobed = [one for one in found if not isinstance(one, Expectation)]
    ways = {one: beyond(kernel, one.leaves, 6 if ":" in one.address else 4) for one in wanted if one.leaves}
    shut = [one for one, way in ways.items() if one.reach and not way]
    unprobed += [implied.no_way_out(one) for one in shut]
    return Proved(_prove(kernel, topologies, [one for one in wanted if one not in shut], ways), unprobed)


def _prove(
    kernel: Kernel,
    topologies: Sequence[Topology],
    expected: Sequence[Expectation],
    ways: Mapping[Expectation, str] = NO_WAYS,
) -> list[Proof]:
    ends = expectations.Ends({key: one.object for key, one in topology.together(topologies).items()})
    asked = [_probe(one, ends, ways.get(one, "")) for one in expected]
    missing = _missing(kernel, [one for one, wanted in zip(asked, expected, strict=True) if wanted.because])
    answers = iter(probes.run(kernel, [one for one in asked if missing.isdisjoint(_scopes(one))]))
    proofs = []
    for wanted, probe in zip(expected, asked, strict=True):
        lost = missing.intersection(_scopes(probe))
        proofs.append(
            Proof(wanted, False, f"no namespace {min(lost)}", False) if lost else Proof(wanted, *next(answers))
        )
    return proofs


def _scopes(probe: probes.Probe) -> set[str]:
    return {probe.scope, probe.listen[0]} - {""}


def _missing(kernel: Kernel, asked: Iterable[probes.Probe]) -> set[str]:
    """The namespaces of these probes that do not exist: that nothing reaches them would prove nothing."""
    scopes = {scope for one in asked for scope in _scopes(one)} - {HOST}
    return {scope for scope in scopes if not kernel.exists(scope)}


def _probe(wanted: Expectation, ends: expectations.Ends, beyond: str) -> probes.Probe:
    if wanted.leaves:
        address = beyond or NOBODY[6 if ":" in wanted.address else 4][0]
        nowhere = ("", address, wanted.port)
        return probes.Probe(
            wanted.scope, address, wanted.port, wanted.protocol, nowhere, wanted.leaves, wanted.reach, ttl=HOPS
        )
    exact = bool(wanted.because) and wanted.reach
    return probes.Probe(wanted.scope, wanted.address, wanted.port, wanted.protocol, ends.of(wanted), exact=exact)


def beyond(kernel: Kernel, scope: str, family: int) -> str:
    """An address of nobody that the scope would send to a router, "" where it has no way to one."""
    try:
        ways = path.ways(kernel, scope, [path.Packet(address) for address in NOBODY[family]])
    except (KernelError, OSError):
        return ""
    found = (
        address for address, way in zip(NOBODY[family], ways, strict=True) if way.type == "unicast" and way.gateway
    )
    return next(found, "")


def disproved(proofs: Iterable[Proof]) -> str:
    """A message with the expectations that do not hold, "" if all hold."""
    failed = [one.expectation for one in proofs if not one.holds]
    texts = (f"{one.scope} {'does not reach' if one.reach else 'reaches'} {one.to} ({one.origin})" for one in failed)
    return f"not as expected: {', '.join(texts)}" if failed else ""
