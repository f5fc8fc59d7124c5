"""Finds the links of a scope that have the targets of its port maps in their subnets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

from reconciler.kinds.context import Names
from reconciler.model.addresses import ip_address, ip_interface
from reconciler.model.keys import Key

Subnets = dict[tuple[int, int], dict[int, list[tuple[str, str]]]]


def published_links(names: Names, scope: str) -> dict[str, list[str]]:
    """By link, the prefixes of its subnets that contain a port map's target.

    The kernel sends packets from 127.0.0.1 there only with route_localnet on the link, and a target gets its own
    packets back only by a bridge port in hairpin mode.  Of overlapping prefixes of a link only the widest is listed.
    """
    by_link: dict[str, set[str]] = defaultdict(set)
    for link, prefix, _ in _published(names, scope):
        by_link[link].add(prefix)
    return {link: _widest(prefixes) for link, prefixes in sorted(by_link.items())}


def publishers(names: Names, scope: str) -> dict[str, Key]:
    """By link, the first port map whose target is in one of its subnets."""
    by_link: dict[str, Key] = {}
    for link, _, key in _published(names, scope):
        by_link.setdefault(link, key)
    return by_link


def _published(names: Names, scope: str) -> Iterator[tuple[str, str, Key]]:
    """(link, prefix, port map) for each prefix that contains a target, with the first port map to that target."""
    targets: dict[str, Key] = {}
    for key in names.by_scope.get((scope, "port_map"), ()):
        targets.setdefault(names.objects[key].target, key)
    subnets = _subnets(names, scope) if targets else {}
    for target, key in targets.items():
        yield from ((link, prefix, key) for link, prefix in _holding(subnets, target))


def _subnets(names: Names, scope: str) -> Subnets:
    subnets: Subnets = {}
    for address in names.of(scope, "address"):
        network = ip_interface(address.address).network
        by_start = subnets.setdefault((network.version, network.prefixlen), {})
        by_start.setdefault(int(network.network_address), []).append((address.link, str(network)))
    for link, text in _behind(names, scope):
        network = ip_interface(text).network
        by_start = subnets.setdefault((network.version, network.prefixlen), {})
        here = by_start.setdefault(int(network.network_address), [])
        if (link, str(network)) not in here:
            here.append((link, str(network)))
    return subnets


def _behind(names: Names, scope: str) -> Iterator[tuple[str, str]]:
    """(bridge, address) of what veths have behind bridges whose own addresses another topology declares."""
    foreign = {end.name for end in names.of(scope, "interface") if end.name != "lo"}
    far = {
        (veth.peer.scope, veth.peer.name): veth.end.master
        for veth in (names.of(scope, "veth") if foreign else ())
        if veth.end.master in foreign
    }
    for other in sorted({place for place, _ in far}):
        for address in names.of(other, "address"):
            if (other, address.link) in far:
                yield far[other, address.link], address.address


def _holding(subnets: Subnets, target: str) -> Iterable[tuple[str, str]]:
    address = ip_address(target)
    for (version, length), by_start in subnets.items():
        if version == address.version:
            host_bits = address.max_prefixlen - length
            yield from by_start.get(int(address) >> host_bits << host_bits, ())


def _widest(prefixes: Iterable[str]) -> list[str]:
    networks = [ip_network(prefix) for prefix in prefixes]
    four = collapse_addresses(net for net in networks if isinstance(net, IPv4Network))
    six = collapse_addresses(net for net in networks if isinstance(net, IPv6Network))
    return [str(net) for net in (*four, *six)]
