"""Converts the networks that the services of a Compose project are on; Compose makes no others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.language.compose import names
from reconciler.language.compose.external import Offer, Others, doubt
from reconciler.language.compose.network import Network, network_of
from reconciler.language.compose.service import BRIDGE, DEFAULT
from reconciler.language.compose.words import Left, mapping, truth
from reconciler.language.networks import naming
from reconciler.model import data as dataclasses
from reconciler.model.quoting import Path

_PREDEFINED = ("none", "host", BRIDGE)
_OF_SUBNETS = ("subnets", "gateway", "ip_range", "reserved", "ipv4")


def networks(
    project: str, declared: Mapping[str, Any], used: Mapping[str, Path], others: Others, left: Left
) -> dict[str, Network]:
    """The networks by their keys in the file, in its order; ``used`` is key -> a service that is on it.

    A service may name one that is not declared.
    """
    done: dict[str, Network] = {}
    for key in [key for key in (*declared, *sorted(used.keys() - declared.keys())) if key in used]:
        path: Path = ("networks", key)
        entry = mapping(declared.get(key), path, left)
        name = docker_name(project, key, declared)
        if is_own(key, declared):
            network = network_of(entry, path, name, left)
            nameless = key == BRIDGE and key not in declared
            done[key] = dataclasses.replace(_apart(project, key, network, done, left), nameless=nameless)
        else:
            at: Path = (*path, "external") if key in declared else (*used[key], "network_mode")
            done[key] = _outside(project, key, name, _fitting(project, key, declared, others), at, left)
    return done


def same(project: str, declared: Mapping[str, Any], others: Others) -> dict[str, str]:
    """External network -> the network of this project that it is, by its name in Docker or by --external."""
    found = {}
    for key in declared:
        fitting = [] if is_own(key, declared) else _fitting(project, key, declared, others)
        if len(fitting) == 1 and fitting[0].topology == names.topology(project):
            found[key] = fitting[0].network
    return {key: other for key, other in found.items() if is_own(other, declared)}


def is_own(key: str, declared: Mapping[str, Any]) -> bool:
    """Whether the project makes the network."""
    entry = declared.get(key)
    return key in (*declared, DEFAULT, BRIDGE) and not (isinstance(entry, dict) and truth(entry.get("external")))


def _fitting(project: str, key: str, declared: Mapping[str, Any], others: Others) -> list[Offer]:
    """The networks that an external one may be."""
    name, topology = docker_name(project, key, declared), names.topology(project)
    listed = (one for one in (*declared, DEFAULT) if is_own(one, declared))
    own = next((Offer(topology, one) for one in listed if docker_name(project, one, declared) == name), None)
    return others.called(key, name, own, topology)


def docker_name(project: str, key: str, declared: Mapping[str, Any]) -> str:
    """Docker's name for a network of the file."""
    entry = declared.get(key)
    given = entry.get("name") if isinstance(entry, dict) else None
    implied = names.network(project, key) if is_own(key, declared) else key
    return str(given) if isinstance(given, str | int) and given else implied


def _outside(project: str, key: str, docker_name: str, fitting: Sequence[Offer], at: Path, left: Left) -> Network:
    """A network of Docker's own, or of another topology; where it is not clear which, one of this topology."""
    if docker_name in _PREDEFINED:
        return Network({}, docker_name, docker_name, True)
    if len(fitting) == 1 and fitting[0].topology != names.topology(project):
        why = f"it belongs to topology {fitting[0].topology}, whose sandboxes have no names here; write hosts for those"
        left.noted(at, why)
        return Network(fitting[0].written(key), docker_name, "", True, versions=(4, 6))
    left.lost(at, doubt(docker_name, fitting))
    bridge = naming.bridge_of(names.topology(project), key)
    return Network({"bridge": bridge}, docker_name)


def _apart(project: str, key: str, network: Network, others: Mapping[str, Network], left: Left) -> Network:
    """The network with a named bridge, and without a bridge or subnets of another network, which Docker refuses."""
    path: Path = ("networks", key)
    written = dict(network.written)
    bridge = written.pop("bridge", "")
    holder = next((other for other, one in others.items() if bridge and one.written.get("bridge") == bridge), "")
    if holder:
        left.lost((*path, "driver_opts"), f"{bridge} is the bridge of {holder} already; left out")
    written["bridge"] = naming.bridge_of(names.topology(project), key) if holder or not bridge else bridge
    taken = [(block, other) for other, one in others.items() for block in one.subnets]
    for block in network.subnets:
        other = next((name for there, name in taken if there.version == block.version and there.overlaps(block)), "")
        if other:
            left.lost((*path, "ipam"), f"{block} overlaps a subnet of {other}; taken with a subnet of its own")
            kept = {word: value for word, value in written.items() if word not in _OF_SUBNETS}
            six = {"ipv6": True} if 6 in network.versions else {}
            return dataclasses.replace(network, written=kept | six, subnets={})
    return dataclasses.replace(network, written=written)
