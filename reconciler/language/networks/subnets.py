"""Gives networks their subnets: those written, those that they have now, else the lowest free ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.language.networks import naming
from reconciler.language.networks.ipam import (
    Block,
    Pool,
    block,
    free_pool,
    meetings,
    network_of,
    number,
    unique_local,
    written,
)
from reconciler.language.networks.leases import HostFacts, Leases, Route
from reconciler.language.networks.model import Network, Note
from reconciler.language.networks.reading import each
from reconciler.model.quoting import Path


def with_pools(
    data: Mapping[str, Any], networks: Mapping[str, Network], leases: Leases, facts: HostFacts, note: Note
) -> dict[str, Network]:
    """The networks with a pool for each family: as written, as its bridge has it now, or the lowest that is free."""
    blocks = {name: _declared(network, data, leases, note) for name, network in networks.items()}
    _note_overlaps(data, networks, blocks, facts, note)
    taken = [*(block(one.prefix) for one in facts.routes), *(one for listed in blocks.values() for one, _ in listed)]
    done: dict[str, Network] = {}
    for name, network in networks.items():
        entry, subnets = data["networks"][name], [one for one, _ in blocks[name]]
        if not subnets and "subnets" not in entry:
            subnets = _free_pool(network, taken, note)
        if entry.get("ipv6") and not any(one.version == 6 for one in subnets):
            subnets.append(unique_local(data["name"], name))
        pools = tuple(_pool(network, one, entry, note) for one in subnets)
        filtered = all(pool.subnet.version in facts.bridge_nf for pool in pools)
        done[name] = dataclasses.replace(network, pools=pools, mtu=network.mtu or facts.mtu, filtered=filtered)
        complete = len(subnets) >= len(entry.get("subnets") or ())
        for word in ("gateway", "ip_range") if complete else ():
            _check_fitting(network, word, entry.get(word), subnets, note)
    return done


def _declared(network: Network, data: Mapping[str, Any], leases: Leases, note: Note) -> list[tuple[Block, Path]]:
    """The subnets written, each with its path; else the one that the network has now."""
    entry = data["networks"][network.name]
    if "subnets" not in entry:
        held = next((one for one in _held(network, data, leases) if ":" not in one), None)
        return [(network_of(held), network.path)] if held else []
    found: list[tuple[Block, Path]] = []
    for path, text in each(entry["subnets"], (*network.path, "subnets")):
        try:
            one = block(text)
        except ValueError as error:
            note(path, str(error))
            continue
        if any(other.version == one.version for other, _ in found):
            note(path, f"a second IPv{one.version} subnet; a network has one of each family")
        else:
            found.append((one, path))
    return found


def _held(network: Network, data: Mapping[str, Any], leases: Leases) -> Iterator[str]:
    """The addresses of its bridge; those of its endpoints, too, tell the subnet when somebody cleared the bridge."""
    yield from leases.bridges.get(network.bridge, ())
    for sandbox, entry in (data.get("sandboxes") or {}).items():
        lease = leases.endpoints.get(naming.veth(sandbox, network.name))
        if lease and lease.sandbox == sandbox and network.name in (entry.get("endpoints") or {}):
            yield from lease.addresses


def _free_pool(network: Network, taken: list[Block], note: Note) -> list[Block]:
    pool = free_pool(taken)
    if pool is None:
        note(network.path, "none of Docker's default subnets is free; write subnets: [PREFIX]")
        return []
    taken.append(pool)
    return [pool]


def _note_overlaps(
    data: Mapping[str, Any],
    networks: Mapping[str, Network],
    found: Mapping[str, list[tuple[Block, Path]]],
    facts: HostFacts,
    note: Note,
) -> None:
    listed = [(name, one, path) for name, blocks in found.items() for one, path in blocks]
    blocks = [one for _, one, _ in listed]
    for here, there in sorted(set(meetings(blocks, blocks))):
        if here > there:
            _, one, path = listed[here]
            note(path, f"{one} overlaps {blocks[there]} of {listed[there][0]}; take another subnet")
    own = {str(entry.get("to")) for entry in data.get("routes") or ()}
    # A route of a topology of this run is as live as that topology's part in the run lets it be.
    passing = {one for one in facts.routes if one.live and one.owner in facts.topologies}
    routes = [one for one in facts.routes if one.prefix not in own and one not in passing]
    told = set()
    for here, there in sorted(set(meetings(blocks, [block(one.prefix) for one in routes]))):
        name, one, path = listed[here]
        if here not in told and routes[there].link != networks[name].bridge:
            told.add(here)
            note(path, f"{one} overlaps {_whose(routes[there])}; take another subnet")


def _whose(route: Route) -> str:
    if not route.live:
        return f"{route.prefix} of topology {route.owner}"
    return f"the host's route to {route.prefix}" + (f" through {route.link}" if route.link else "")


def _pool(network: Network, subnet: Block, entry: Mapping[str, Any], note: Note) -> Pool:
    gateway, within = subnet.first_host, subnet
    for path, text in each(entry.get("gateway"), (*network.path, "gateway")):
        version, value = _number(text)
        if version == subnet.version:
            gateway = value
            if not subnet.first_host <= value <= subnet.last_host:
                example = written(version, subnet.first_host)
                note(path, f"{text} is no address of a host in {subnet}; write one such as {example}")
    for path, text in each(entry.get("ip_range"), (*network.path, "ip_range")):
        try:
            part = block(text)
        except ValueError as error:
            note(path, str(error))
            continue
        if part.version == subnet.version:
            within = part
            if not subnet.holds(part):
                note(path, f"{text} is not a part of {subnet}")
    return Pool(subnet, within, gateway)


def _check_fitting(network: Network, word: str, value: Any, blocks: list[Block], note: Note) -> None:
    """Each gateway and range belongs to a subnet of its family, and to one only."""
    seen = set()
    for path, text in each(value, (*network.path, word)):
        version = _number(text.partition("/")[0])[0]
        if not version:
            note(path, f'"{text}" is not an IP address')
        elif not any(one.version == version for one in blocks):
            note(path, f"{network.name} has no IPv{version} subnet; add one to subnets")
        elif version in seen:
            note(path, f"a second IPv{version} {word}; there is one for each subnet")
        seen.add(version)


def _number(text: str) -> tuple[int, int]:
    try:
        return number(text)
    except ValueError:
        return 0, 0
