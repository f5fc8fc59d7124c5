"""What a topology implies of its traffic although it has no ``expect``: ports, default routes and isolations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from reconciler.kinds import BY_NAME, having
from reconciler.model.changes import Desired
from reconciler.model.data import NamedTuple
from reconciler.model.keys import HOST, Key, Origin
from reconciler.planning.expectations import Ends, Expectation
from reconciler.planning.layout import DEFAULT, Layout, Station, Subnet

_SENDS, _LEADS = having(lambda kind: kind.sends), having(lambda kind: kind.leads)
_ADMITS, _CONFINES, _APART = (
    having(lambda kind: kind.admits),
    having(lambda kind: kind.confines),
    having(lambda kind: kind.apart),
)
PORT, ISOLATED, ROUTE = "published port", "isolation", "default route"
BEYOND = "elsewhere"  # the target of what leaves by the default route of a gateway
_TRIED = 33434  # a port for what must not be reached, and for what leaves: traceroute's
_NEIGHBOURS = 8  # links from which each isolated link is tried
_PROTOCOLS = ("tcp", "udp")


class Unprobed(NamedTuple):
    """What the topology implies and no probe can show, and why."""

    key: Key
    why: str
    origin: Origin


Implied = Expectation | Unprobed


def implied(objects: Mapping[Key, Desired], owners: frozenset[str]) -> list[Implied]:
    """What the objects of these topologies imply, in the order of the objects; ``objects`` are those of all."""
    map_ = _Map({key: wanted.object for key, wanted in objects.items()})
    found: dict[tuple[object, ...], Implied] = {}
    for key, wanted in objects.items():
        if wanted.owner in owners:
            for one in map_.of(key, wanted):
                found.setdefault(_probe(one), one)
    return list(found.values())


def no_way_out(wanted: Expectation) -> Unprobed:
    """For a way out whose gateway has no route to a router."""
    key = Key("namespace", HOST, wanted.scope)
    return Unprobed(key, f"{wanted.leaves} has no route to a router by which its packets could leave", wanted.origin)


def _probe(one: Implied) -> tuple[object, ...]:
    """What tells two packets apart."""
    if isinstance(one, Unprobed):
        return tuple(one)
    return (one.scope, one.address, one.port, one.protocol, one.reach, one.leaves)


class _Map:
    """All objects, and what their packets need to know."""

    def __init__(self, objects: Mapping[Key, Any]) -> None:
        self._layout, self._ends = Layout(objects), Ends(objects)
        self._admitted: dict[tuple[str, str], frozenset[str]] = {}
        self._confined: set[tuple[str, str]] = set()
        self._hidden: dict[str, list[Any]] = {}  # the prefixes that leave a scope by another address
        self._apart: dict[tuple[str, str], list[Station]] = {}
        for key, value in objects.items():
            self._note(key, value)

    def _note(self, key: Key, value: Any) -> None:
        if key.kind in _ADMITS:
            link, admitted = _ADMITS[key.kind](value)
            self._admitted[key.scope, link] = admitted
        if key.kind in _CONFINES and (link := _CONFINES[key.kind](value)):
            self._confined.add((key.scope, link))
        if key.kind in _SENDS and not BY_NAME[key.kind].publishes:
            self._hidden.setdefault(key.scope, []).append(ip_network(_SENDS[key.kind](value), strict=False))
        for port, bridge in _APART[key.kind](value) if key.kind in _APART else ():
            far = [place for place in BY_NAME[key.kind].links(value) if place != port]
            stations = [one for place in far for subnet in self._layout.on(*place) for one in subnet.stations]
            behind = [one for one in stations if (one.scope, one.link) in far]
            self._apart.setdefault((port[0], bridge), []).extend(behind)

    def of(self, key: Key, wanted: Desired) -> Iterator[Implied]:
        """What one object implies."""
        value, origin = wanted.object, wanted.origin
        if BY_NAME[key.kind].publishes:
            yield from self._port(key, value, origin)
        elif key.kind in _LEADS and key.scope != HOST:
            route = _LEADS[key.kind](value)
            if route.to in DEFAULT and route.hops:
                yield from self._default_route(key, route, origin)
        elif key.kind in _ADMITS:
            yield from self._isolation(key, _ADMITS[key.kind](value)[0], origin)
        elif key.kind in _APART:
            for _port, bridge in _APART[key.kind](value):
                yield from _not_to_each_other(self._apart[key.scope, bridge], origin)

    # -------------------------------------------------------------- published ports

    def _port(self, key: Key, mapped: Any, origin: Origin) -> Iterator[Implied]:
        known = bool(self._ends.holder(mapped.target, key.scope))
        if mapped.protocol not in _PROTOCOLS:
            yield Unprobed(key, f"{mapped.protocol.upper()} is not probed", origin)
            return
        if mapped.protocol == "udp" and not known:
            yield Unprobed(key, "its target is not of the topology, and nothing tells whether a datagram came", origin)
            return
        senders = list(self._senders(key.scope, mapped))
        yield from (_reached(scope, address, mapped, origin) for scope, address in senders)
        if not senders:
            yield Unprobed(key, f"{key.scope} has no address of its family to ask at", origin)

    def _senders(self, scope: str, mapped: Any) -> Iterator[tuple[str, str]]:
        """The scopes from which a port is probed, each with the address at which it is."""
        family = 6 if ":" in mapped.listen else 4
        everywhere = ip_address(mapped.listen).is_unspecified
        around = self._layout.around(scope, mapped.target)
        own = (around.of(scope) if around else "") or next(
            (one.of(scope) for one in self._layout.of(scope, family)), ""
        )
        here = mapped.listen if not everywhere else own or ("127.0.0.1" if family == 4 else "")
        if here:
            yield scope, here
        if not ip_address(mapped.listen).is_loopback and around is not None:
            other = self._sibling(scope, mapped, around, "" if everywhere else mapped.listen)
            other = other or self._elsewhere(scope, mapped, around, "" if everywhere else mapped.listen)
            yield from [other] if other else []

    def _sibling(self, scope: str, mapped: Any, around: Subnet, listen: str) -> tuple[str, str] | None:
        """A neighbour of the target."""
        link = self._layout.link_of(scope, around)
        if (scope, link) in self._confined and link not in self._admitted.get((scope, link), {link}):
            return None
        for one in around.others(scope, self._ends.holder(mapped.target)):
            if not listen or self._layout.is_behind(one.scope, around, scope) or ip_address(listen) in around.network:
                return one.scope, listen or around.of(scope)
        return None

    def _elsewhere(self, scope: str, mapped: Any, around: Subnet, listen: str) -> tuple[str, str] | None:
        """Somebody on another network; the answer must have a way back."""
        target = self._ends.holder(mapped.target)
        if not self._layout.is_behind(target, around, scope):
            return None
        for subnet in self._layout.of(scope, around.network.version):
            if (scope, self._layout.link_of(scope, subnet)) in self._confined:
                continue
            for one in subnet.others(scope, target):
                if self._layout.is_behind(one.scope, subnet, scope):
                    return one.scope, listen or subnet.of(scope)
        return None

    # -------------------------------------------------------------- default routes

    def _default_route(self, key: Key, route: Any, origin: Origin) -> Iterator[Implied]:
        for via in dict.fromkeys(hop.via for hop in route.hops):
            gateway = self._ends.holder(via) if via else ""
            if not gateway or gateway == key.scope:
                yield Unprobed(key, f"its gateway {via or '(none)'} is not of the topology", origin)
                continue
            yield Expectation(key.scope, via, via, 0, "icmp", True, origin, ROUTE)
            subnet = self._layout.around(gateway, via)
            if subnet is not None and self._is_masked(gateway, subnet, key.scope):
                yield _leaves(key.scope, gateway, subnet, True, origin, ROUTE)

    def _is_masked(self, gateway: str, subnet: Subnet, scope: str) -> bool:
        """Whether what the scope sends on by this subnet leaves the gateway with another address."""
        own = subnet.of(scope)
        confined = (gateway, self._layout.link_of(gateway, subnet)) in self._confined
        return bool(own) and not confined and any(ip_address(own) in one for one in self._hidden.get(gateway, ()))

    # -------------------------------------------------------------- isolations

    def _isolation(self, key: Key, link: str, origin: Origin) -> Iterator[Implied]:
        scope, admitted = key.scope, self._admitted[key.scope, link]
        found: list[Implied] = []
        for subnet in self._layout.on(scope, link):
            members = subnet.others(scope)
            if link not in admitted:
                found += _not_to_each_other(members, origin)
            found += self._from_others(scope, link, subnet, origin)
            if (scope, link) in self._confined:
                found += self._from_confined(scope, link, subnet, origin)
        yield from found or [Unprobed(key, "no namespace is there to send from, or to send to", origin)]

    def _from_others(self, scope: str, link: str, subnet: Subnet, origin: Origin) -> Iterator[Expectation]:
        """Into the isolated link, from some of those that it does not admit."""
        members = subnet.others(scope)
        inside = {one.scope for one in members}
        closed = [one for one in self._beside(scope, link) if one not in self._admitted[scope, link]]
        for other in closed[:_NEIGHBOURS] if members else ():
            sender = self._sender(scope, other, subnet.network.version, inside)
            if sender:
                yield _not_reached(sender, members[0].address, origin)

    def _from_confined(self, scope: str, link: str, subnet: Subnet, origin: Origin) -> Iterator[Expectation]:
        """From an internal link: into other links, and out."""
        family = subnet.network.version
        for other in self._beside(scope, link)[:_NEIGHBOURS]:
            for there in self._layout.on(scope, other):
                members = [one for one in there.others(scope) if not subnet.of(one.scope)]
                sender = self._sender(scope, link, family, {one.scope for one in there.stations})
                if members and sender and there.network.version == family:
                    yield _not_reached(sender, members[0].address, origin)
        sender = self._sender(scope, link, family, set())
        if sender:
            yield _leaves(sender, scope, subnet, False, origin, ISOLATED)

    def _beside(self, scope: str, link: str) -> list[str]:
        """The other links of the scope, from the one after this on."""
        links = self._layout.links(scope)
        at = links.index(link) if link in links else 0
        return [one for one in [*links[at:], *links[:at]] if one != link]

    def _sender(self, scope: str, link: str, family: int, besides: set[str]) -> str:
        """A namespace that sends by this link; one that has its default route there is preferred."""
        subnets = [one for one in self._layout.on(scope, link) if one.network.version == family]
        pairs = [(one.scope, subnet) for subnet in subnets for one in subnet.others(scope) if one.scope not in besides]
        routed = (name for name, subnet in pairs if self._layout.is_behind(name, subnet, scope))
        alone = (name for name, _ in pairs if not self._layout.gateways(name, family))
        return next(routed, next(alone, ""))


# ------------------------------------------------------------------ expectations


def _reached(scope: str, address: str, mapped: Any, origin: Origin) -> Expectation:
    return Expectation(
        scope, _target(address, mapped.port, mapped.protocol), address, mapped.port, mapped.protocol, True, origin, PORT
    )


def _not_reached(scope: str, address: str, origin: Origin) -> Expectation:
    return Expectation(scope, _target(address, _TRIED, "tcp"), address, _TRIED, "tcp", False, origin, ISOLATED)


def _not_to_each_other(members: list[Station], origin: Origin) -> Iterator[Expectation]:
    """Each to the next of its family, the last to the first."""
    for family in (4, 6):
        stations = [one for one in members if (":" in one.address) == (family == 6)]
        for one, other in zip(stations, [*stations[1:], *stations[:1]], strict=True):
            if one.scope != other.scope:
                yield _not_reached(one.scope, other.address, origin)


def _leaves(scope: str, gateway: str, subnet: Subnet, reach: bool, origin: Origin, because: str) -> Expectation:
    """A datagram to an address that the prober chooses."""
    anywhere = "0.0.0.0" if subnet.network.version == 4 else "::"
    return Expectation(
        scope, f"{BEYOND} (IPv{subnet.network.version})", anywhere, _TRIED, "udp", reach, origin, because, gateway
    )


def _target(address: str, port: int, protocol: str) -> str:
    host = f"[{address}]" if ":" in address else address
    return f"{host}:{port}" + ("/udp" if protocol == "udp" else "")
