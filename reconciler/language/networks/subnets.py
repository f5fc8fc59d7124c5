"""Gives networks their subnets: those in the file, else the one that they have now, else the first free one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.language.networks import naming
from reconciler.language.networks.facts import WIDE, HostFacts
from reconciler.language.networks.ipam import (
    Block,
    Pool,
    block,
    free_pool,
    is_local,
    network_of,
    number,
    unique_local,
    written,
)
from reconciler.language.networks.leases import Leases
from reconciler.language.networks.model import Network, Note
from reconciler.language.networks.reading import each
from reconciler.model import data as dataclasses
from reconciler.model.quoting import Path


def with_pools(
    data: Mapping[str, Any], networks: Mapping[str, Network], leases: Leases, facts: HostFacts, note: Note
) -> dict[str, Network]:
    """The networks with a pool for each subnet: from the file, from the bridge as it is now, or the first free one."""
    blocks = {name: _declared(network, data, leases, note) for name, network in networks.items()}
    prefixes = (*(one.prefix for one in facts.routes), *sorted(facts.named.subnets | facts.named.routes | facts.busy))
    taken = [block(prefix) for prefix in prefixes if block(prefix).length > WIDE[block(prefix).version]]
    taken += (one for listed in blocks.values() for one, _ in listed)
    done: dict[str, Network] = {}
    for name, network in networks.items():
        entry, subnets = data["networks"][name], [one for one, _ in blocks[name]]
        if automatic(entry) and not any(one.version == 4 for one in subnets):
            subnets = [*_free_pool(network, taken, note), *subnets]
        if entry.get("ipv6") and not any(one.version == 6 for one in subnets):
            subnets.append(_local(network, data, leases))
        if not subnets and entry.get("ipv4") is False and "subnets" not in entry:
            note((*network.path, "ipv4"), f"{name} has neither IPv4 nor IPv6; write ipv6: true")
        pools = tuple(_pool(network, one, entry, note) for one in subnets)
        filtered = all(facts.filters(network.bridge, pool.subnet.version) for pool in pools)
        mtu = network.mtu or facts.mtu({one.version for one in subnets})
        done[name] = dataclasses.replace(network, pools=pools, mtu=mtu, filtered=filtered)
        complete = len(subnets) >= len(entry.get("subnets") or ())
        for word in ("gateway", "ip_range") if complete else ():
            check_fitting(network, word, entry.get(word), subnets, note)
        _check_reserved(network, entry, subnets, note)
    return done


def automatic(entry: Mapping[str, Any]) -> bool:
    """Whether a network of the file is given an IPv4 subnet where the file names none."""
    named = any(":" not in text for text in entry.get("subnets") or ())
    return not named and bool(entry.get("ipv4", "subnets" not in entry))


def named(data: Mapping[str, Any]) -> Iterator[str]:
    """The subnets that a file names; what is no prefix is left out."""
    for entry in (data.get("networks") or {}).values():
        for _, text in each((entry or {}).get("subnets"), ()):
            with contextlib.suppress(ValueError):
                yield str(block(text))


def _declared(network: Network, data: Mapping[str, Any], leases: Leases, note: Note) -> list[tuple[Block, Path]]:
    """The subnets in the file, each with its path; else the IPv4 subnet that the network has now."""
    entry = data["networks"][network.name]
    declared: list[tuple[Block, Path]] = []
    if automatic(entry):
        present = next((address for address in _present(network, data, leases) if ":" not in address), None)
        declared = [(network_of(present), network.path)] if present else []
    for path, text in each(entry.get("subnets"), (*network.path, "subnets")):
        try:
            subnet = block(text)
        except ValueError as error:
            note(path, str(error))
            continue
        if any(other.version == subnet.version for other, _ in declared):
            note(path, f"a second IPv{subnet.version} subnet; a network has one of each family")
        else:
            declared.append((subnet, path))
    return declared


def _present(network: Network, data: Mapping[str, Any], leases: Leases) -> Iterator[str]:
    """The addresses that its bridge has now, then those of its endpoints, in case somebody removed the bridge's."""
    yield from leases.bridges.get(network.bridge, ())
    for sandbox, entry in (data.get("sandboxes") or {}).items():
        lease = leases.endpoints.get(naming.veth(sandbox, network.name))
        if lease and lease.sandbox == sandbox and network.name in (entry.get("endpoints") or {}):
            yield from lease.addresses


def _local(network: Network, data: Mapping[str, Any], leases: Leases) -> Block:
    """The IPv6 subnet that is made of the names; one that it has now stays if its topology had another name before."""
    made = unique_local(data["name"], network.name)
    present = [network_of(address) for address in _present(network, data, leases) if ":" in address]
    local = [subnet for subnet in present if is_local(subnet)]
    # an address that somebody added is on one link; those of the network are on its bridge and in its sandboxes
    return made if made in local or not local else max(local, key=local.count)


def _free_pool(network: Network, taken: list[Block], note: Note) -> list[Block]:
    pool = free_pool(taken)
    if pool is None:
        note(network.path, "none of Docker's default subnets is free; write subnets: [PREFIX]")
        return []
    taken.append(pool)
    return [pool]


def _pool(network: Network, subnet: Block, entry: Mapping[str, Any], note: Note) -> Pool:
    gateway = subnet.first_host
    for path, text in each(entry.get("gateway"), (*network.path, "gateway")):
        version, value = _number(text)
        if version == subnet.version:
            gateway = value
            if not subnet.first_host <= value <= subnet.last_host:
                example = written(version, subnet.first_host)
                note(path, f"{text} is no address of a host in {subnet}; write one such as {example}")
    part = within(network, subnet, subnet, entry, note)
    return Pool(subnet, part, gateway, frozenset(_reserved(entry, subnet)))


def within(network: Network, subnet: Block, default: Block, entry: Mapping[str, Any], note: Note) -> Block:
    """The part of a subnet that ``ip_range`` names, ``default`` where it names none."""
    for path, text in each(entry.get("ip_range"), (*network.path, "ip_range")):
        try:
            part = block(text)
        except ValueError as error:
            note(path, str(error))
            continue
        if part.version == subnet.version:
            default = part
            if not subnet.holds(part):
                note(path, f"{text} is not a part of {subnet}")
    return default


def _reserved(entry: Mapping[str, Any], subnet: Block) -> Iterator[int]:
    numbers = (_number(text) for text in entry.get("reserved") or ())
    return (value for version, value in numbers if version == subnet.version)


def _check_reserved(network: Network, entry: Mapping[str, Any], blocks: list[Block], note: Note) -> None:
    for path, text in each(entry.get("reserved"), (*network.path, "reserved")):
        version, value = _number(text)
        if not version:
            note(path, f'"{text}" is not an IP address')
        elif blocks and not any(one.version == version and one.start <= value <= one.last for one in blocks):
            note(path, f"{text} is in no subnet of {network.name}: {', '.join(str(one) for one in blocks)}")


def check_fitting(network: Network, word: str, value: Any, blocks: list[Block], note: Note) -> None:
    """Note each gateway or range without a subnet of its IP version, and each second one of a version."""

    seen = set()
    for path, text in each(value, (*network.path, word)):
        version = _number(text.partition("/")[0])[0]
        if not version:
            note(path, f'"{text}" is not an IP address')
        elif not any(subnet.version == version for subnet in blocks):
            note(path, f"{network.name} has no IPv{version} subnet; add one to subnets")
        elif version in seen:
            note(path, f"a second IPv{version} {word}; there is one for each subnet")
        seen.add(version)


def _number(text: str) -> tuple[int, int]:
    try:
        return number(text)
    except ValueError:
        return 0, 0
