"""Turns sandboxes into namespaces with veths, routes, sysctls and DNS files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from reconciler.language.networks.drivers import DRIVERS, PREDEFINED
from reconciler.language.networks.facts import HostFacts
from reconciler.language.networks.ipam import is_address
from reconciler.language.networks.model import Endpoint, Network, Note, Part, Sandbox
from reconciler.language.networks.reading import each, nearest
from reconciler.model.names import IPV6_MIN_MTU
from reconciler.model.quoting import Path, quoted

Hosts = dict[str, list[str]]
HOST_GATEWAY = "host-gateway"  # in the hosts of a sandbox, as in Docker: the gateway's address


def parts(
    sandboxes: Sequence[Sandbox], networks: Mapping[str, Network], facts: HostFacts, note: Note
) -> Iterator[Part]:
    """The parts of level one for all sandboxes; problems go to ``note``."""
    neighbours = _Neighbours(sandboxes, networks, note)
    for sandbox in sandboxes:
        if sandbox.network and not PREDEFINED[sandbox.network].namespace:
            continue
        at, home = sandbox.path, ("namespaces", sandbox.name)
        yield Part(home, {}, at)
        for endpoint in sandbox.endpoints:
            network = networks[endpoint.network]
            yield from DRIVERS[network.driver].endpoint(endpoint, network)
            yield from _network_routes(endpoint, network, home)
            # As in Docker, a link has no link-local address if its network has no IPv6 subnet.
            if facts.ipv6 and (network.mtu or IPV6_MIN_MTU) >= IPV6_MIN_MTU:  # below, the link has no such setting
                key = f"net.ipv6.conf.{endpoint.name.replace('.', '/')}.disable_ipv6"
                yield Part((*home, "sysctls", key), int(not endpoint.of(6)), endpoint.path)
        yield from _default_routes(sandbox, networks, home, note)
        unknown = any(networks[endpoint.network].unknown for endpoint in sandbox.endpoints)
        routes = () if unknown else sandbox.data.get("routes") or ()  # no gateway is reached before there is an address
        for index, route in enumerate(routes):
            yield Part((*home, "routes"), route, (*at, "routes", index), item=True)
        for key, value in (sandbox.data.get("sysctls") or {}).items():
            yield Part((*home, "sysctls", key), value, (*at, "sysctls", key))
        dns = {**facts.resolver, **(sandbox.data.get("dns") or {})}
        yield Part((*home, "dns"), dns, (*at, "dns"))
        yield Part((*home, "hosts"), neighbours.of(sandbox), (*at, "hosts"))


# ------------------------------------------------------------------ routes


def _default_routes(sandbox: Sandbox, networks: Mapping[str, Network], home: Path, note: Note) -> Iterator[Part]:
    """One for each IP version."""
    chosen = [endpoint for endpoint in sandbox.endpoints if endpoint.default_route]
    for endpoint in chosen[1:]:
        note((*endpoint.path, "default_route"), f"{chosen[0].network} gives the default route already; only one can")
    for endpoint in chosen:
        if networks[endpoint.network].internal:
            note(
                (*endpoint.path, "default_route"),
                f"{endpoint.network} is internal and has no way out; take another endpoint",
            )
    uplinks = _uplinks(sandbox, networks)
    for version in (4, 6):
        uplink = next((endpoint for endpoint in uplinks if endpoint.of(version)), None)
        if uplink:
            route = {"to": "default", "via": networks[uplink.network].gateway(version), "dev": uplink.name}
            yield Part((*home, "routes"), route, uplink.path, item=True)


def _uplinks(sandbox: Sandbox, networks: Mapping[str, Network]) -> list[Endpoint]:
    """Endpoints that can have the default route: that with ``default_route``, then those on networks not internal."""
    others = (one for one in sandbox.endpoints if one.default_route is None and not networks[one.network].internal)
    return [*[one for one in sandbox.endpoints if one.default_route][:1], *others]


def _network_routes(endpoint: Endpoint, network: Network, home: Path) -> Iterator[Part]:
    for index, route in enumerate(() if network.unknown else network.routes):
        needs_dev = route.get("type", "unicast") == "unicast" and "nexthops" not in route and "dev" not in route
        value = {**route, "dev": endpoint.name} if needs_dev else route
        yield Part((*home, "routes"), value, (*network.path, "routes", index), item=True)


# ------------------------------------------------------------------ hosts files


class _Neighbours:
    """Makes the hosts files; sandboxes on the same networks share one mapping, which saves time with thousands."""

    def __init__(self, sandboxes: Iterable[Sandbox], networks: Mapping[str, Network], note: Note) -> None:
        self._networks, self._note = networks, note
        self._members: dict[str, Hosts] = {}
        self._files: dict[tuple[str, ...], dict[str, Any]] = {}
        for sandbox in sandboxes:
            for endpoint in sandbox.endpoints:
                members = self._members.setdefault(endpoint.network, {})
                for name in dict.fromkeys((sandbox.name, *endpoint.aliases)):
                    members.setdefault(name, []).extend(address.ip for address in endpoint.addresses)

    def of(self, sandbox: Sandbox) -> dict[str, Any]:
        """Names and addresses of the sandbox, of all that share a network with it, and of its ``hosts``, which win."""
        joined = tuple(endpoint.network for endpoint in sandbox.endpoints)
        if joined not in self._files:
            self._files[joined] = self._file(joined)
        own = sandbox.data.get("hosts")
        return (
            {**self._files[joined], **dict(self._own(sandbox, own, self._files[joined]))}
            if own
            else self._files[joined]
        )

    def _own(self, sandbox: Sandbox, own: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """The ``hosts`` of a sandbox, with addresses in place of names; a name without an address is noted."""
        for name, value in own.items():
            given: list[str] = []
            for path, text in each(value, (*sandbox.path, "hosts", name)):
                addresses = self._meant(sandbox, text, known)
                if not addresses:
                    self._note(path, _no_address(sandbox, text, known))
                given.extend(addresses)
            yield name, given[0] if len(given) == 1 else list(dict.fromkeys(given))

    def _meant(self, sandbox: Sandbox, text: str, known: Mapping[str, Any]) -> list[str]:
        if text == HOST_GATEWAY:
            return list(self._gateways(sandbox))
        if is_address(text):
            return [text]
        there = known.get(text, [])
        return there if isinstance(there, list) else [there]

    def _gateways(self, sandbox: Sandbox) -> Iterator[str]:
        """The gateway of the default route for each IP version; the host answers on that of an internal network too."""
        for version in (4, 6):
            for endpoint in (*_uplinks(sandbox, self._networks), *sandbox.endpoints):
                if endpoint.of(version):
                    yield self._networks[endpoint.network].gateway(version)
                    break

    def _file(self, joined: tuple[str, ...]) -> dict[str, Any]:
        members: Hosts = {}
        for network in joined:
            for name, addresses in self._members[network].items():
                members.setdefault(name, []).extend(addresses)
        given = {name: value for network in joined for name, value in self._networks[network].hosts.items()}
        known = {name: ips[0] if len(ips) == 1 else list(dict.fromkeys(ips)) for name, ips in members.items() if ips}
        return {**known, **given}


def _no_address(sandbox: Sandbox, text: str, known: Mapping[str, Any]) -> str:
    if text == HOST_GATEWAY:
        return f"{sandbox.name} is on no network with a gateway; write an address"
    return f"{quoted(text)} is no IP address, and no sandbox on its networks has that name{nearest(text, known)}"
