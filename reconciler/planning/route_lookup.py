"""Looks a packet's route up among objects, now and after a plan: policy rules, then the longest prefix of a table."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from reconciler.kinds import having
from reconciler.kinds.route import form as route
from reconciler.model.changes import Change
from reconciler.model.data import NamedTuple, dataclass
from reconciler.model.keys import HOST, Key
from reconciler.model.rows import RuleRow
from reconciler.planning.consequences import Afterwards, Consequences, LiveObjects, Standing
from reconciler.planning.intent import Planned

_HOLDS = having(lambda kind: kind.holds)
_LEADS = having(lambda kind: kind.leads)
_CONNECTS = having(lambda kind: kind.connects)
_LEADING = {*_HOLDS, *_LEADS}
_MAIN = route.TABLES["main"]
Objects = Mapping[Key, Any]
_TO_TABLE = 1  # FR_ACT_TO_TBL
_LOCAL = 255  # RT_TABLE_LOCAL: what the host has itself is asked elsewhere
_DROPS = {6: "blackhole", 7: "unreachable", 8: "prohibit"}  # FR_ACT_*


@dataclass(frozen=True, slots=True)
class Packet:
    """A TCP packet to route: ``into`` is the link that it came by, "" for one that the scope sends itself."""

    to: str
    source: str = ""
    into: str = ""
    mark: int = 0
    source_port: int = 0
    port: int = 0


class Found(NamedTuple):
    """The route that takes a packet, with its key, and the (link, neighbour) pairs that it leads to.

    ``route`` None: there is none, or a rule drops the packet.
    """

    key: Key | None = None
    route: Any = None
    hops: frozenset[tuple[str, str]] = frozenset()


NOWHERE = Found()


def look_up(objects: Mapping[Key, Any], scope: str, rules: Iterable[RuleRow], packet: Packet) -> Found | None:
    """The route that the scope takes for a packet; None where a rule asks for more than is known."""
    family = route.AF_INET6 if ":" in packet.to else route.AF_INET
    listed = [rule for rule in rules if rule.family == family and rule.table != _LOCAL]
    ways = [
        (key, _LEADS[key.kind](value)) for key, value in objects.items() if key.scope == scope and key.kind in _LEADS
    ]
    for table, most in _tables(listed, packet) if listed else [(_MAIN, None)]:
        if table is None:
            return None
        found = _in_table([way for way in ways if way[1].table == table], packet.to, most)
        if found is not None:
            key, taken = found
            return Found(key, taken, _hops(taken, packet.to, ways)) if taken.type == "unicast" else Found(key, taken)
    return NOWHERE


def is_learned(found: Found | None) -> bool:
    """Whether router advertisements gave the host the route."""
    return found is not None and found.route is not None and found.route.protocol == route.RTPROT_RA


def _in_table(ways: Iterable[tuple[Key, Any]], to: str, most: int | None) -> tuple[Key, Any] | None:
    """The longest prefix, then the lowest metric; a prefix of at most ``most`` bits does not count."""
    address = ipaddress.ip_address(to)
    fitting = [way for way in ways if way[1].tos == 0 and address in ipaddress.ip_network(way[1].to)]
    best = min(fitting, key=lambda way: (-_length(way[1]), way[1].metric), default=None)
    if best is None or best[1].type == "throw" or (most is not None and _length(best[1]) <= most):
        return None
    return best


def _length(way: Any) -> int:
    return int(way.to.partition("/")[2])


def _hops(way: Any, to: str, ways: list[tuple[Key, Any]]) -> frozenset[tuple[str, str]]:
    return frozenset((hop.dev or _link_to(hop.via, ways), hop.via or to) for hop in way.hops)


def _link_to(gateway: str, ways: list[tuple[Key, Any]]) -> str:
    """The link of a gateway whose route leaves it to the kernel."""
    near = [way for way in ways if way[1].table == _MAIN and route.is_link_route(way[1])]
    found = _in_table(near, gateway, None) if gateway else None
    return (found[1].hops[0].dev or "") if found is not None else ""


# ------------------------------------------------------------------------------------------------ rules


def _tables(rules: Iterable[RuleRow], packet: Packet) -> Iterator[tuple[int | None, int | None]]:
    """The tables that are asked, in order, each with its suppress_prefixlength; None for what cannot be known."""
    for rule in rules:
        verdict = _matches(rule.text.split(), packet)
        if verdict is None:
            yield None, None
        elif verdict and rule.action == _TO_TABLE:
            words = rule.text.split()
            at = words.index("suppress_prefixlength") + 1 if "suppress_prefixlength" in words else 0
            yield rule.table, int(words[at]) if at else None
        elif verdict:
            if rule.action in _DROPS:
                return
            yield None, None


def _matches(words: list[str], packet: Packet) -> bool | None:
    """Whether a rule in the words of ip-rule(8) takes the packet; None where it asks for what is not known."""
    inverted = words[:1] == ["not"]
    pairs = list(zip(words[inverted::2], words[inverted + 1 :: 2], strict=False))
    verdicts: list[bool] = []
    for word, value in pairs:
        if word in ("lookup", "goto") or word in _DROPS.values():
            break
        asked = _SELECTORS.get(word)
        if asked is None:
            return None
        verdicts.append(asked(value, packet))
    return all(verdicts) != inverted


def _within(prefix: str, address: str) -> bool:
    if prefix == "all":
        return True
    return bool(address) and ipaddress.ip_address(address) in ipaddress.ip_network(prefix, strict=False)


def _marked(value: str, packet: Packet) -> bool:
    mark, _, mask = value.partition("/")
    return packet.mark & int(mask or "0xffffffff", 16) == int(mark, 16)


def _in_range(value: str, port: int) -> bool:
    first, _, last = value.partition("-")
    return int(first) <= port <= int(last or first)


_SELECTORS: Mapping[str, Callable[[str, Packet], bool]] = {
    "from": lambda value, packet: _within(value, packet.source),
    "to": lambda value, packet: _within(value, packet.to),
    "fwmark": _marked,
    "iif": lambda value, packet: value == (packet.into or "lo"),
    "oif": lambda _value, _packet: False,  # of sockets bound to a link
    "ipproto": lambda value, _packet: value == "6",
    "sport": lambda value, packet: _in_range(value, packet.source_port),
    "dport": lambda value, packet: _in_range(value, packet.port),
}


# ------------------------------------------------------------------------------------------------ now and then


def now(planned: Planned) -> dict[Key, Any]:
    return leading({key: entry.object for key, entry in planned.live.items()})


def leading(objects: Objects) -> dict[Key, Any]:
    """The addresses and routes among objects."""
    return {key: value for key, value in objects.items() if key.kind in _LEADING}


def then(planned: Planned, scopes: Collection[str]) -> dict[Key, Any]:
    """The addresses and routes of some scopes after the plan."""
    taken = planned.plan.measures.taken or Consequences(planned.changes, Standing(planned.live))
    return after(planned.changes, planned.live, taken, planned.plan.measures.restored, scopes)


def after(
    changes: Sequence[Change],
    live: LiveObjects,
    taken: Consequences,
    restored: Iterable[Change],
    scopes: Collection[str] | None = None,
) -> dict[Key, Any]:
    """The addresses and routes after changes with these consequences, of which some are restored.

    ``scopes`` are those that are asked for; None stands for all.
    """
    whole = Afterwards(changes, live, taken)
    for change in restored:
        whole.put_back(change.key, change.after)
    left = {key: value for key, value in leading(whole.objects).items() if scopes is None or key.scope in scopes}
    return _connected([change for change in changes if scopes is None or change.key.scope in scopes], left)


def _connected(changes: Iterable[Change], left: dict[Key, Any]) -> dict[Key, Any]:
    """The objects with the routes that the kernel adds for new addresses, without those of deleted addresses."""
    moved = [change for change in changes if change.key.kind in _CONNECTS]
    subnets = {(key.scope, *_CONNECTS[key.kind](value)) for key, value in left.items() if key.kind in _CONNECTS}
    gone = {(c.key.scope, *_CONNECTS[c.key.kind](c.before)) for c in moved if c.action == "delete"} - subnets
    kept = {key: value for key, value in left.items() if not (key.kind in _LEADS and _is_of(key, value, gone))}
    for change in moved:
        if change.after is not None:
            to, link = _CONNECTS[change.key.kind](change.after)
            made = route.connected(change.key.scope, to, link)
            kept[route.key_of(made)._replace(name=f"{to} {link}")] = made
    return kept


def _is_of(key: Key, way: route.Route, subnets: set[tuple[str, str, str]]) -> bool:
    return way.protocol == route.RTPROT_KERNEL and any((key.scope, way.to, hop.dev) in subnets for hop in way.hops)


def main_routes(objects: Objects) -> Iterator[tuple[Key, Any]]:
    """The routes of the host's main table."""
    ways = (
        (key, _LEADS[key.kind](value)) for key, value in objects.items() if key.scope == HOST and key.kind in _LEADS
    )
    return (way for way in ways if way[1].table == route.TABLES["main"])
