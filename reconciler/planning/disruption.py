"""The impact of each change of a plan: whether it disrupts traffic, and which."""

from __future__ import annotations

import ipaddress
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from reconciler.kinds import BY_NAME, having
from reconciler.kinds.grounds import Ground, Place
from reconciler.kinds.kind import Kind
from reconciler.model import data as dataclasses
from reconciler.model.changes import Change, Impact, Live
from reconciler.model.keys import Key
from reconciler.model.rows import LiveState
from reconciler.planning import route_lookup
from reconciler.planning.consequences import Consequences, Measures, Standing
from reconciler.planning.segments import Node, Segments
from reconciler.planning.ways import Ways

# (scope) -> (protocol, address, port) of each listening socket
Listening = Callable[[str], Collection[tuple[str, str, int]]]
_HOLDS = having(lambda kind: kind.holds)
_LEADS = having(lambda kind: kind.leads)
_CONNECTS = having(lambda kind: kind.connects)
_ANY = {4: "0.0.0.0", 6: "::"}
_TRANSLATES = having(lambda kind: kind.translates if kind.publishes else None)
_PORTS = having(lambda kind: kind.ports)


def told(
    changes: Sequence[Change], standing: Standing, found: LiveState, measures: Measures, listening: Listening
) -> list[Change]:
    """The changes with their impact and what they disrupt; no packet passes a namespace that the plan creates."""
    around = Host(changes, standing, found, measures, listening)
    born = {change.key.name for change in changes if change.key.kind == "namespace" and change.action == "create"}
    return [change if change.key.scope in born else _told(change, around) for change in changes]


def _told(change: Change, around: Host) -> Change:
    if change.action == "adopt":
        return change
    disrupts = _disrupts(change, BY_NAME[change.key.kind], around) or around.lost(change.key)
    impact: Impact = "disruptive" if disrupts else "none" if change.action == "create" else "in-place"
    return change if impact == change.impact else dataclasses.replace(change, impact=impact, disrupts=disrupts)


def _disrupts(change: Change, kind: Kind, around: Host) -> str:
    if change.action == "delete" and around.goes(change.key.scope):
        return ""  # it is told of the namespace
    if kind.disrupts is not None:
        return kind.disrupts(change, around)
    words = [word for word in change.differs if word in kind.disruptive_on]
    if change.action == "update":
        return f"{', '.join(words)} of {change.key.name}" if words else ""
    return "" if change.action == "create" or kind.harmless else f"what uses {change.key.name}"


class Host:
    """Implements kinds.around.Around: indexes of the live objects and of the plan, each made when it is first asked."""

    def __init__(
        self,
        changes: Sequence[Change],
        standing: Standing,
        found: LiveState,
        measures: Measures,
        listening: Listening,
    ) -> None:
        self._changes, self._standing, self._found = changes, standing, found
        self._live, self._measures, self._listening = standing.live, measures, listening
        self._ports: dict[str, Collection[tuple[str, str, int]]] = {}

    @cached_property
    def _gone(self) -> frozenset[str]:
        """The namespaces that the plan deletes."""
        listed = (change for change in self._changes if change.key.kind == "namespace")
        return frozenset(change.key.name for change in listed if change.action == "delete")

    def goes(self, scope: str) -> bool:
        return scope in self._gone

    # -------------------------------------------------------------- links

    @cached_property
    def _links(self) -> dict[Place, Any]:
        linked = ((BY_NAME[key.kind], entry.object) for key, entry in self._live.items())
        return {place: one for kind, one in linked if kind.has_links for place in kind.links(one)}

    def link(self, scope: str, name: str) -> Any:
        return self._links.get((scope, name))

    def idle(self, place: Place) -> bool:
        if place not in self._links:
            return True
        if place in self._joined:
            return False
        keys = self._standing.on(Ground("device", *place))
        return all(_is_automatic(key, self._live[key]) for key in keys)

    @cached_property
    def _joined(self) -> frozenset[Place]:
        """The live links that are ports, and those that have ports."""
        listed = (_PORTS[key.kind](entry.object) for key, entry in self._live.items() if key.kind in _PORTS)
        pairs = [pair for ports in listed for pair in ports]
        return frozenset([place for place, _ in pairs] + [(place[0], master) for place, master in pairs])

    def narrows(self, place: Place, mtu: int) -> bool:
        node = self._nodes.get(place)
        if node is None or node not in self._segments:
            return True
        if self._segments.passes_on(node):
            return False
        name = self._segments.name(node)
        if name not in self._widest:
            self._widest[name] = max(map(self._mtu_then, self._segments.members(name)))
        return self._widest[name] > mtu

    def _mtu_then(self, node: Node) -> float:
        """The MTU of a link after the plan; without bounds where there may be others behind it.

        Of a bridge 0: it passes on between ports what is larger than its own (net/bridge/br_forward.c).
        """
        row = self._segments.row(node)
        if self._segments.is_open(node):
            return math.inf
        mtu = 0 if self._segments.passes_on(node) else self._mtus.get((node[0], row.name))
        return row.mtu if mtu is None else mtu

    @cached_property
    def _mtus(self) -> dict[Place, int | None]:
        """The MTUs that the plan sets; 0 of links that go."""
        mtus: dict[Place, int | None] = {}
        for change in self._changes:
            kind = BY_NAME[change.key.kind]
            if change.action == "delete":
                mtus.update(dict.fromkeys(kind.links(change.before), 0))
            elif kind.has_links:
                words = kind.shown(change.after)
                mtus.update(zip(kind.links(change.after), (words.get("mtu"), words.get("peer.mtu")), strict=False))
        return mtus

    @cached_property
    def _widest(self) -> dict[Node, float]:
        return {}

    @cached_property
    def _segments(self) -> Segments:
        return Segments(self._found.scopes)

    @cached_property
    def _nodes(self) -> dict[Place, Node]:
        rows = ((scope, row) for scope, state in self._found.scopes.items() for row in state.links.values())
        return {(scope, row.name): (scope, row.index) for scope, row in rows}

    # -------------------------------------------------------------- sysctls and sockets

    def value(self, scope: str, sysctl: str) -> str | None:
        return self._found.sysctls.get((scope, sysctl))

    def sent(self, scope: str, protocol: str, address: str, port: int) -> tuple[str, int] | None:
        sends = (
            translate(after, protocol, address, port) for translate, after in self._published.get((scope, port), ())
        )
        return next((to for to in sends if to is not None), None)

    @cached_property
    def _published(self) -> dict[tuple[str, int], list[tuple[Any, Any]]]:
        """By scope and port, the new and changed objects that publish it, each with the function of its kind."""
        published: dict[tuple[str, int], list[tuple[Any, Any]]] = defaultdict(list)
        for change in self._changes:
            if change.key.kind in _TRANSLATES and change.after is not None:
                published[change.key.scope, change.after.port].append((_TRANSLATES[change.key.kind], change.after))
        return published

    def listens(self, scope: str, protocol: str, address: str, port: int) -> bool:
        if scope not in self._ports:
            self._ports[scope] = frozenset(self._listening(scope))
        everything = _ANY[6 if ":" in address else 4]
        if address == everything:
            return (protocol, port, ":" in address) in self._families(scope)
        return any((protocol, one, port) in self._ports[scope] for one in (address, everything))

    def _families(self, scope: str) -> frozenset[tuple[str, int, bool]]:
        if scope not in self._by_family:
            listed = self._ports[scope]
            self._by_family[scope] = frozenset((name, port, ":" in one) for name, one, port in listed)
        return self._by_family[scope]

    @cached_property
    def _by_family(self) -> dict[str, frozenset[tuple[str, int, bool]]]:
        return {}

    # -------------------------------------------------------------- addresses and routes

    @cached_property
    def _now(self) -> dict[Key, Any]:
        return route_lookup.leading({key: entry.object for key, entry in self._live.items()})

    @cached_property
    def _then(self) -> dict[Key, Any]:
        taken = self._measures.taken or Consequences(self._changes, self._standing)
        return route_lookup.after(self._changes, self._live, taken, self._measures.restored)

    @cached_property
    def _ways_now(self) -> Ways:
        return Ways(self._now)

    @cached_property
    def _ways_then(self) -> Ways:
        return Ways(self._then)

    def way(self, scope: str, table: int, to: str, after: bool) -> Any:
        return (self._ways_then if after else self._ways_now).to(scope, table, to)

    def is_asked(self, scope: str, table: int) -> bool:
        state = self._found.scopes.get(scope)
        return table in (253, 254) or any(rule.table == table for rule in (state.rules if state else ()))

    def routes_to(self, scope: str, prefix: str) -> bool:
        network: Any = ipaddress.ip_network(prefix)
        prefixes = self._prefixes.get((scope, network.version), ())
        return any(network.overlaps(one) for one in prefixes)

    @cached_property
    def _prefixes(self) -> dict[tuple[str, int], set[Any]]:
        """By scope and version, the networks that live addresses and routes lead to."""
        prefixes: dict[tuple[str, int], set[Any]] = defaultdict(set)
        for key, one in self._now.items():
            to = _CONNECTS[key.kind](one)[0] if key.kind in _CONNECTS else _LEADS[key.kind](one).to
            network = ipaddress.ip_network(to, strict=False)
            if network.prefixlen:
                prefixes[key.scope, network.version].add(network)
        return prefixes

    def holders(self, scope: str, address: str, after: bool = False) -> Collection[Any]:
        held = self._held_then if after else self._held_now
        return [one for where, one in held.get(address, ()) if where == scope]

    def elsewhere(self, scope: str, address: str) -> Iterable[tuple[str, Any]]:
        return ((where, one) for where, one in self._held_now.get(address, ()) if where != scope)

    @cached_property
    def _held_now(self) -> Mapping[str, list[tuple[str, Any]]]:
        return _by_address(self._now)

    @cached_property
    def _held_then(self) -> Mapping[str, list[tuple[str, Any]]]:
        return _by_address(self._then)

    def subnets(self, scope: str, link: str) -> Collection[str]:
        return self._subnets.get((scope, link), ())

    @cached_property
    def _subnets(self) -> dict[Place, list[str]]:
        subnets: dict[Place, list[str]] = defaultdict(list)
        for key, one in self._then.items():
            if key.kind in _CONNECTS:
                prefix, link = _CONNECTS[key.kind](one)
                subnets[key.scope, link].append(prefix)
        return subnets

    # -------------------------------------------------------------- consequences

    @cached_property
    def _losses(self) -> dict[Key, Counter[str]]:
        """By change, the numbers of the links, addresses and routes that the kernel deletes because of it."""
        counts: dict[Key, Counter[str]] = defaultdict(Counter)
        taken = self._measures.taken
        for key, loss in taken.losses.items() if taken is not None else ():
            if not (loss.late or _is_automatic(key, loss.live)):
                counts[loss.cause][_counted(key)] += 1
        return counts

    def lost(self, cause: Key) -> str:
        """What a change that disrupts nothing itself makes the kernel delete, "" for nothing that carries traffic."""
        counts = self._losses.get(cause)
        if counts is None:
            return ""
        parts = [f"{number} {what}{_MANY[what] if number > 1 else ''}" for what, number in counts.items() if what]
        return f"{' and '.join(parts)} that the kernel deletes with it" if parts else ""


def _counted(key: Key) -> str:
    if BY_NAME[key.kind].has_links:
        return "link"
    return "address" if key.kind in _HOLDS else "route" if key.kind in _LEADS else ""


_MANY = {"link": "s", "address": "es", "route": "s"}


def _is_automatic(key: Key, entry: Live) -> bool:
    """Whether the kernel gave it to the link with IPv6 itself: a link-local address, and the routes to it."""
    if BY_NAME[key.kind].has_links:
        return False
    if key.kind in _HOLDS:
        return _HOLDS[key.kind](entry.object)[1].startswith("fe80:")
    return key.kind not in _LEADS or _LEADS[key.kind](entry.object).to.startswith(("fe80:", "ff00:"))


def _by_address(objects: Mapping[Key, Any]) -> dict[str, list[tuple[str, Any]]]:
    held: dict[str, list[tuple[str, Any]]] = defaultdict(list)
    for key, one in objects.items():
        if key.kind in _HOLDS:
            held[_HOLDS[key.kind](one)[1]].append((key.scope, one))
    return held
