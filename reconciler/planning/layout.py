"""Who is on which network, by the objects of topologies: the subnets of links that are connected, and the gateways."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from reconciler.kinds import BY_NAME, having
from reconciler.kinds.grounds import Place
from reconciler.model.data import NamedTuple
from reconciler.model.keys import Key
from reconciler.planning.loops import root

_HOLDS, _CONNECTS = having(lambda kind: kind.holds), having(lambda kind: kind.connects)
_PORTS, _LEADS = having(lambda kind: kind.ports), having(lambda kind: kind.leads)
DEFAULT = ("0.0.0.0/0", "::/0")
Network = IPv4Network | IPv6Network


class Station(NamedTuple):
    """An address on a link of a scope."""

    scope: str
    link: str
    address: str


class Subnet:
    """One subnet on links that pass frames to each other, with all addresses in it."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.stations: list[Station] = []

    def of(self, scope: str) -> str:
        """The scope's address in it, "" for none."""
        return next((one.address for one in self.stations if one.scope == scope), "")

    def others(self, *scopes: str) -> list[Station]:
        """One address of each other scope."""
        first: dict[str, Station] = {}
        for one in self.stations:
            if one.scope not in scopes:
                first.setdefault(one.scope, one)
        return list(first.values())


class Layout:
    """The subnets and default gateways of topologies."""

    def __init__(self, objects: Mapping[Key, Any]) -> None:
        self._joined: dict[Place, Place] = {}
        for key, value in objects.items():
            self._join(key, value)
        self._subnets: dict[tuple[Place, Network], Subnet] = {}
        self._by_link: dict[Place, list[Subnet]] = {}
        self._by_address: dict[str, Subnet] = {}
        self._gateways: dict[tuple[str, int], list[str]] = {}
        for key, value in objects.items():
            self._place(key, value)

    def _join(self, key: Key, value: Any) -> None:
        links = list(BY_NAME[key.kind].links(value))
        ports = _PORTS[key.kind](value) if key.kind in _PORTS else ()
        pairs = [(link, links[0]) for link in links[1:]] + [(port, (port[0], bridge)) for port, bridge in ports]
        for one, other in pairs:
            self._joined[root(self._joined, one)] = root(self._joined, other)

    def _place(self, key: Key, value: Any) -> None:
        if key.kind in _CONNECTS:
            (prefix, link), (_, address) = _CONNECTS[key.kind](value), _HOLDS[key.kind](value)
            network = ip_network(prefix, strict=False)
            if link != "lo" and not network.is_link_local:
                self._add(network, Station(key.scope, link, address))
        elif key.kind in _LEADS:
            route = _LEADS[key.kind](value)
            if route.to in DEFAULT:
                family = 6 if ":" in route.to else 4
                vias = [hop.via for hop in route.hops if hop.via]
                self._gateways.setdefault((key.scope, family), []).extend(vias)

    def _add(self, network: Network, station: Station) -> None:
        place = station.scope, station.link
        subnet = self._subnets.setdefault((root(self._joined, place), network), Subnet(network))
        subnet.stations.append(station)
        self._by_address.setdefault(station.address, subnet)
        if subnet not in self._by_link.setdefault(place, []):
            self._by_link[place].append(subnet)

    # -------------------------------------------------------------- answers

    def on(self, scope: str, link: str) -> list[Subnet]:
        """The subnets of one link."""
        return self._by_link.get((scope, link), [])

    def links(self, scope: str) -> list[str]:
        """The links of one scope that have addresses."""
        return [link for home, link in self._by_link if home == scope]

    def around(self, scope: str, address: str) -> Subnet | None:
        """The subnet of the scope that the address is in."""
        known = self._by_address.get(address)
        if known is not None and known.of(scope):
            return known
        found = ip_address(address)
        return next((one for one in self.of(scope) if found in one.network), None)

    def of(self, scope: str, family: int = 0) -> Iterator[Subnet]:
        """The subnets of one scope; family 0: of both."""
        listed = (subnet for link in self.links(scope) for subnet in self.on(scope, link))
        return (subnet for subnet in listed if family in (0, subnet.network.version))

    def link_of(self, scope: str, subnet: Subnet) -> str:
        """The scope's link in the subnet."""
        return next((one.link for one in subnet.stations if one.scope == scope), "")

    def gateways(self, scope: str, family: int) -> list[str]:
        """The gateways of its default routes."""
        return self._gateways.get((scope, family), [])

    def is_behind(self, scope: str, subnet: Subnet, gateway: str) -> bool:
        """Whether the default route of a scope leads to the gateway scope, by this subnet."""
        vias = self.gateways(scope, subnet.network.version)
        return any(one.scope == gateway and one.address in vias for one in subnet.stations)
