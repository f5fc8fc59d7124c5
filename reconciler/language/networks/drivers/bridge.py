"""The driver bridge: a bridge on the host, which is the sandboxes' gateway and isolated from all other links."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reconciler.language.networks import naming
from reconciler.language.networks.drivers.driver import Driver, Networks
from reconciler.language.networks.ipam import written
from reconciler.language.networks.model import Endpoint, Network, Part
from reconciler.model.quoting import Path

FORWARDING = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}


def network(network: Network, networks: Networks) -> Iterator[Part]:
    name, at = network.bridge, network.path
    if network.external:
        yield Part(("interfaces", name), {}, at)
        return
    yield Part(("bridges", name), _bridge(network), at)
    isolation: dict[str, Any] = {"link": name}
    if network.allow:
        isolation["allow"] = [networks[other].bridge for other in network.allow if other in networks]
    if network.internal:
        isolation["internal"] = True
    if not network.icc:
        isolation["within"] = False
    yield Part(("isolations",), isolation, at, item=True, inner={("allow",): (*at, "allow")})
    if network.internal:
        return
    # Traffic to networks that allow this one keeps its source address.
    kept = [name, *(other.bridge for other in networks.values() if network.name in other.allow)]
    for pool in network.pools:
        yield Part(("sysctls", FORWARDING[pool.subnet.version]), 1, at)
        if network.masquerade:
            source = {"source": str(pool.subnet), "except_out": kept}
            yield Part(("masquerades",), source, at, item=True)


def _bridge(network: Network) -> dict[str, Any]:
    """The bridge, with a fixed MAC: without one a bridge takes that of a port, and another one when ports change."""
    gateways = [written(pool.subnet.version, pool.gateway) for pool in network.pools]
    bridge: dict[str, Any] = {
        "addresses": [f"{ip}/{pool.subnet.length}" for ip, pool in zip(gateways, network.pools, strict=True)]
    }
    if network.pools:
        bridge["mac"] = naming.mac(network.pools[0].gateway)
    if network.mtu is not None:
        bridge["mtu"] = network.mtu
    return bridge


def endpoint(endpoint: Endpoint, network: Network) -> Iterator[Part]:
    mtu = {} if network.mtu is None else {"mtu": network.mtu}
    here: dict[str, Any] = {"master": network.bridge, **mtu}
    # With bridge-nf-call-iptables a neighbour's packet to a published port is translated while it is bridged, and the
    # bridge would not forward it to an isolated port.  There the netfilter rules (within: false) separate the ports.
    if not network.icc and not (network.filtered and endpoint.published):
        here["isolated"] = True
    addresses = [f"{address.ip}/{address.length}" for address in endpoint.addresses]
    there = {"namespace": endpoint.sandbox, "name": endpoint.name, "mac": endpoint.mac, **mtu, "addresses": addresses}
    at = endpoint.path
    inner: dict[Path, Path] = {
        ("peer", "addresses"): (*at, "address"),
        ("peer", "name"): (*at, "name"),
        ("peer", "mac"): (*at, "mac"),
    }
    if "isolated" in here:
        inner["isolated",] = ("networks", network.name, "icc")
    yield Part(("veths", endpoint.link), {**here, "peer": there}, at, inner=inner)


DRIVER = Driver(name="bridge", network=network, endpoint=endpoint)
