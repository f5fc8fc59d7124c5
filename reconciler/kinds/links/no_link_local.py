"""Finds the links that need no IPv6 link-local address: veths of a bridge with nothing but IPv4 addresses.

A link with a link-local address sends multicast reports, duplicate address detection and router solicitations, and a
bridge floods these to all its ports: with 1,000 ports that keeps the kernel busy for half a minute.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from reconciler.kinds.context import Names

Link = tuple[str, str]  # scope, name


def quiet_links(names: Names) -> frozenset[Link]:
    """The ends of veths that get no link-local address when they are created.

    A bridge with a port that is no veth may lead to unknown hosts: its veths keep their link-local addresses.
    """
    segments: dict[Link, set[Link]] = defaultdict(set)
    lasting: set[Link] = set()
    for key, item in names.objects.items():
        if key.kind == "veth":
            for end, other in ((item.end, item.peer), (item.peer, item.end)):
                if end.master:
                    segments[end.scope, end.master] |= {(end.scope, end.name), (other.scope, other.name)}
        elif getattr(item, "master", ""):
            lasting.add((item.scope, item.master))
    families = _families(names)
    quiet: set[Link] = set()
    noisy: set[Link] = set()
    for bridge, links in segments.items():
        spoken = {family for link in (bridge, *links) for family in families.get(link, ())}
        made = bridge in names.links and names.links[bridge].kind == "bridge"
        (quiet if spoken == {4} and made and bridge not in lasting else noisy).update(links)
    return frozenset(quiet - noisy)


def _families(names: Names) -> dict[Link, set[int]]:
    """By link, the IP versions that the topology uses on it."""
    families: dict[Link, set[int]] = defaultdict(set)
    for link, family in _mentions(names):
        families[link].add(family)
    return families


def _mentions(names: Names) -> Iterator[tuple[Link, int]]:
    for key, item in names.objects.items():
        if key.kind == "address":
            yield (item.scope, item.link), 6 if ":" in item.address else 4
        elif key.kind == "route" and ":" in item.to:
            yield from (((item.scope, hop.dev), 6) for hop in item.hops if hop.dev)
        elif key.kind == "sysctl" and item.key.startswith("net.ipv6.conf."):
            yield (item.scope, item.key.split(".")[3].replace("/", ".")), 6
