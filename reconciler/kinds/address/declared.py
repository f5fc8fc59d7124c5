"""The declared addresses of a scope, each index made once for the whole topology."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reconciler.kinds.address.form import Address, ip_of, network_of
from reconciler.kinds.context import Names
from reconciler.kinds.links.link import declared_end


def holders(scope: str, names: Names) -> Mapping[str, Sequence[Address]]:
    """By IP address, the declared addresses with it."""
    held: dict[str, list[Address]] | None = names.near.get(f"addresses of {scope}")
    if held is None:
        held = names.near[f"addresses of {scope}"] = {}
        for address in names.of(scope, "address"):
            held.setdefault(ip_of(address), []).append(address)
    return held


def broadcasts(scope: str, names: Names) -> Mapping[str, str]:
    """By broadcast address of a declared IPv4 subnet, the subnet; not where a link has that as its own address.

    The kernel has a route of type broadcast for each (fib_add_ifaddr in net/ipv4/fib_frontend.c), on links that are up.
    """
    subnets: dict[str, str] | None = names.near.get(f"broadcasts of {scope}")
    if subnets is None:
        subnets = names.near[f"broadcasts of {scope}"] = {}
        own = holders(scope, names)
        for address in names.of(scope, "address"):
            network = network_of(address.address)
            if network.version == 6 or network.prefixlen > 30:
                continue
            last, end = str(network.broadcast_address), declared_end(scope, address.link, names)
            if last not in own and end is not None and end.up:
                subnets[last] = str(network)
    return subnets
