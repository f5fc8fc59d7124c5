"""What the kernel refuses of a route by itself, or keeps in another form than it is written."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.kinds.route.form import AF_INET6, NextHop
from reconciler.model.quoting import Path

# One dump message has 32 kB (netlink_dump in net/netlink/af_netlink.c).  A route that is larger cannot be listed, nor
# any route after it.  A next hop has struct rtnexthop and its gateway.
_ROOM = 32000
_HOP_BYTES = {4: 16, 6: 28}


def wrong(entry: Mapping[str, Any], family: int, hops: Sequence[NextHop]) -> Iterator[tuple[Path, str]]:
    """The errors of an entry with valid addresses, each with its path in the entry."""
    for index, hop in enumerate(hops):
        text = _no_gateway(hop.via, hop.onlink) if hop.via else ""
        if text:
            yield ("nexthops", index, "via") if "nexthops" in entry else ("via",), text
    if "source" in entry:
        yield from _source(entry["source"])
    if entry.get("scope") == "host" and (len(hops) > 1 or any(hop.via for hop in hops)):
        what = "several next hops" if len(hops) > 1 else "a gateway"
        yield ("scope",), f"a route of scope host leads to this host itself and cannot have {what}; leave scope out"
    if len(hops) > 1:
        yield from _several(6 if family == AF_INET6 else 4, hops)


@functools.lru_cache(1 << 12)  # thousands of routes have few gateways
def _no_gateway(via: str, onlink: bool) -> str:
    ip = ipaddress.ip_address(via)
    if ip.is_unspecified:
        return f"{via} is the unspecified address; write the address of the gateway"
    if ip.is_loopback and (onlink or ip.version == 6):
        return f"{via} is an address of this host itself; write that of another one"
    # Without onlink the kernel takes in IPv4 whatever a route on a link contains.
    if (ip.is_multicast or via == "255.255.255.255") and (onlink or ip.version == 6):
        return f"{via} is a {'multicast' if ip.is_multicast else 'broadcast'} address; a gateway is one host"
    return ""


def _source(text: str) -> Iterator[tuple[Path, str]]:
    source = ipaddress.ip_address(text)
    if source.is_unspecified or source.is_multicast:
        which = "the unspecified" if source.is_unspecified else "a multicast"
        yield ("source",), f"{source} is {which} address; name one that this scope has"


def _several(version: int, hops: Sequence[NextHop]) -> Iterator[tuple[Path, str]]:
    most = _ROOM // _HOP_BYTES[version]
    if len(hops) > most:
        text = f"{len(hops)} next hops; the kernel can list at most {most} of one IPv{version} route"
        yield ("nexthops",), text
    seen: set[tuple[str, str | None]] = set()
    for index, hop in enumerate(hops) if version == 6 else ():
        if not hop.via:
            yield ("nexthops", index), "an IPv6 route to several next hops needs a gateway for each: give via"
        elif (hop.via, hop.dev) in seen:
            yield ("nexthops", index), f"{hop.via} is a next hop twice; give it once, with the weights added up"
        seen.add((hop.via, hop.dev))
