"""Subnets that overlap routes: an error where a network is made or gets another subnet, a warning where it stands."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.language.networks.facts import HostFacts, Route
from reconciler.language.networks.ipam import Block, block, meetings
from reconciler.language.networks.leases import Leases
from reconciler.language.networks.lowered import Overlap
from reconciler.language.networks.model import Network, Note
from reconciler.language.networks.reading import each
from reconciler.model.data import NamedTuple
from reconciler.model.quoting import Path

_LISTED = 4  # routes named in a warning


class _Subnet(NamedTuple):
    """One subnet of a network, with its place in the file."""

    network: Network
    block: Block
    path: Path


def check(
    data: Mapping[str, Any], networks: Mapping[str, Network], leases: Leases, facts: HostFacts, note: Note
) -> Iterator[Overlap]:
    """Note each overlap with another subnet of the run, and with a route where the network does not stand yet.

    The result are the overlaps of networks that stand with routes.
    """
    listed = [
        _Subnet(one, pool.subnet, _path(data, one, pool.subnet)) for one in networks.values() for pool in one.pools
    ]
    blocks = [one.block for one in listed]
    for here, there in sorted(set(meetings(blocks, blocks))):
        if here > there:
            other = listed[there]
            note(
                listed[here].path, f"{blocks[here]} overlaps {other.block} of {other.network.name}; take another subnet"
            )
    # Live routes of topologies of this run are left out: the run may delete them, and what it will have is in
    # facts.routes too (live=False).  Routes that the files declare are wanted.
    routes = [
        one
        for one in facts.routes
        if one.prefix not in facts.named.routes and not (one.live and one.owner in facts.topologies)
    ]
    met: dict[int, list[Route]] = {}
    for here, there in sorted(set(meetings(blocks, [block(one.prefix) for one in routes]))):
        if routes[there].link != listed[here].network.bridge:
            met.setdefault(here, []).append(routes[there])
    for here, others in met.items():
        yield from _told(listed[here], others, leases, note)


def _told(subnet: _Subnet, routes: Sequence[Route], leases: Leases, note: Note) -> Iterator[Overlap]:
    network = subnet.network
    stands = leases.stands(network.name, network.bridge, subnet.block)
    refusing = [one for one in routes if not (stands and one.live)]
    if refusing:
        note(subnet.path, f"{subnet.block} overlaps {_whose(refusing[0])}; take another subnet")
        return
    wider = [one for one in routes if block(one.prefix).length < subnet.block.length]
    inner = [one for one in routes if one not in wider]
    if inner:
        hint = "packets to that prefix do not reach the network; delete the route, or take another subnet"
        yield Overlap(network.bridge, f"{subnet.block} overlaps {_named(inner)}", hint)
    if wider:
        hint = "the network's own route is narrower and wins; what is behind that route in the subnet is not reached"
        yield Overlap(network.bridge, f"{subnet.block} overlaps {_named(wider)}", hint)


def _path(data: Mapping[str, Any], network: Network, subnet: Block) -> Path:
    """The place of a subnet in the file, the network's where it was chosen."""
    for path, text in each(data["networks"][network.name].get("subnets"), (*network.path, "subnets")):
        with contextlib.suppress(ValueError):
            if block(text) == subnet:
                return path
    return network.path


def _named(routes: Sequence[Route]) -> str:
    rest = len(routes) - _LISTED
    return ", ".join(map(_whose, routes[:_LISTED])) + (f" and {rest} more" if rest > 0 else "")


def _whose(route: Route) -> str:
    if not route.live:
        return f"{route.prefix} of topology {route.owner}"
    return f"the host's route to {route.prefix}" + (f" through {route.link}" if route.link else "")
