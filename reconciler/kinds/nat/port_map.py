"""A port map: packets to listen:port are sent on to target:target_port."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from reconciler.kinds import ipv6
from reconciler.kinds.address.declared import broadcasts
from reconciler.kinds.around import Around
from reconciler.kinds.context import Claim, Names, Parsed, Reading, Source
from reconciler.kinds.course import Course
from reconciler.kinds.nat import ruleset
from reconciler.kinds.nat.element_kind import element_kind
from reconciler.kinds.nat.port_map_syntax import ANY, PortMapEntry, Wrong, entry_of, version_of
from reconciler.kinds.nat.ruleset import Element, ElementDifference
from reconciler.model import data as dataclasses
from reconciler.model.changes import Change, Live
from reconciler.model.data import dataclass
from reconciler.model.keys import Key
from reconciler.model.names import PUBLISHED_ADDRESS, PUBLISHED_ANY, table_name
from reconciler.model.quoting import Path
from reconciler.model.requests import ForgetFlows, Request
from reconciler.model.rows import ScopeState, TableRow


@dataclass(frozen=True, slots=True)
class PortMap:
    """One port of one address of the scope; ``listen`` is 0.0.0.0 or :: for every address."""

    scope: str
    protocol: str
    listen: str
    port: int
    target: str
    target_port: int
    table: str
    damage: tuple[ElementDifference, ...] = ()


_SETS = (*PUBLISHED_ANY.values(), *PUBLISHED_ADDRESS.values())


def key_of(scope: str, protocol: str, listen: str, port: int) -> Key:
    """The key, such as ``port_map/host/tcp/0.0.0.0:9091`` or ``port_map/host/tcp/[::]:8443``."""
    address = f"[{listen}]" if ":" in listen else listen
    return Key("port_map", scope, f"{protocol}/{address}:{port}")


def parse(source: Source) -> Iterator[Parsed]:
    seen = Listens()
    table = table_name(source.topology)
    for index, data in enumerate(source.data.get("port_maps") or ()):
        path: Path = ("port_maps", index)
        try:
            entry = entry_of(data)
        except Wrong as wrong:
            source.problem((*path, *wrong.path), str(wrong))
            continue
        origin = source.at(path)
        clash = None
        for mapped in _expand(entry, source.scope, table):
            other = seen.add(mapped, origin)
            if other is None:
                yield key_of(mapped.scope, mapped.protocol, mapped.listen, mapped.port), mapped, origin
            clash = clash or (other and (mapped, other))
        if clash:
            source.problem(path, clash_text(clash[0], clash[1][0], clash[1][1]))


def _expand(entry: PortMapEntry, scope: str, table: str) -> Iterator[PortMap]:
    protocol, listen, ports, target, target_ports = entry
    shift = target_ports.first - ports.first
    for port in range(ports.first, ports.last + 1):
        yield PortMap(scope, protocol, listen, port, target, port + shift, table)


def check(mapped: PortMap, names: Names) -> Iterator[tuple[Path, str]]:
    """Packets can be forwarded to the target: it is no broadcast address, and the scope has IPv6 for an IPv6 one."""
    prefix = broadcasts(mapped.scope, names).get(mapped.target)
    if prefix is not None:
        yield (), f"{mapped.target} is the broadcast address of {prefix}: no target that packets can be forwarded to"
    off = ipv6.off_everywhere(mapped.scope, names) if ":" in mapped.target else ""
    if off:
        yield (), off


# ------------------------------------------------------------------ overlaps


class Listens:
    """Finds overlaps: two port maps with one address and port, or one of which listens on every address."""

    def __init__(self) -> None:
        self._everywhere: dict[tuple[str, str, int, int], tuple[PortMap, Any]] = {}
        self._at: dict[tuple[str, str, int, int], dict[str, tuple[PortMap, Any]]] = {}

    def add(self, mapped: PortMap, origin: Any) -> tuple[PortMap, Any] | None:
        """Add a port map; the earlier one that it overlaps, with its origin, else None."""
        version = version_of(mapped.listen)
        port = (mapped.scope, mapped.protocol, mapped.port, version)
        other = self._everywhere.get(port)
        if mapped.listen == ANY[version]:
            if other is None and port not in self._at:
                self._everywhere[port] = (mapped, origin)
                return None
            return other or next(iter(self._at[port].values()))
        if other is None:
            claimed = self._at.setdefault(port, {})
            other = claimed.get(mapped.listen)
            claimed.setdefault(mapped.listen, (mapped, origin))
        return other


def clashes(claims: Iterable[Claim]) -> Iterator[tuple[Claim, str]]:
    """Port maps of several topologies that overlap, such as 0.0.0.0:80 and 127.0.0.1:80.

    For two ranges of ports only the first ports that overlap are reported.
    """
    seen, reported = Listens(), set()
    for claim in claims:
        other = seen.add(claim.object, claim)
        if other is not None and (claim.origin, other[1].origin) not in reported:
            reported.add((claim.origin, other[1].origin))
            yield claim, _clash(claim.object, other[1])


def _clash(mapped: PortMap, other: Claim) -> str:
    if other.origin is not None:
        return clash_text(mapped, other.object, other.origin)
    here, there = (key_of("", m.protocol, m.listen, m.port).name for m in (mapped, other.object))
    return f"{here} overlaps {there}, which topology {other.owner} publishes"


def clash_text(mapped: PortMap, other: PortMap, origin: Any) -> str:
    """The message for two port maps that overlap, with the line of the other one."""
    here, there = (key_of("", m.protocol, m.listen, m.port).name for m in (mapped, other))
    taken = "is published already" if here == there else f"overlaps {there}, published"
    return f"{here} {taken} at {origin} (to {other.target} port {other.target_port})"


# ------------------------------------------------------------------ the kernel's form


def elements(mapped: PortMap) -> list[Element]:
    """The map element of a port map."""
    family = version_of(mapped.listen)
    service = f"{mapped.protocol} . {mapped.port}"
    value = f"{mapped.target} . {mapped.target_port}"
    if mapped.listen == ANY[family]:
        return [Element(PUBLISHED_ANY[family], service, value)]
    return [Element(PUBLISHED_ADDRESS[family], f"{mapped.listen} . {service}", value)]


def read(reading: Reading) -> Iterator[tuple[Key, Live]]:
    scope = reading.state.scope
    for table, owner in ruleset.owned_tables(reading):
        for family in (4, 6):
            everywhere = ruleset.members(table, PUBLISHED_ANY[family])
            for (protocol, port), to in everywhere.items():
                yield _held(scope, table.name, owner, (protocol, ANY[family], port), to)
            for (listen, protocol, port), to in ruleset.members(table, PUBLISHED_ADDRESS[family]).items():
                listens = (protocol, listen, port)
                if listen != ANY[family]:
                    yield _held(scope, table.name, owner, listens, to)
                else:
                    own = everywhere.get((protocol, port))
                    yield _misplaced(_held(scope, table.name, owner, listens, own or to), own is not None, to)


def changed_rows(before: ScopeState, after: ScopeState) -> tuple[ScopeState, ScopeState]:
    """The scope before and after, with only those published ports that differ."""
    names = before.tables.keys() & after.tables
    pairs = {name: differing(before.tables[name], after.tables[name]) for name in names}
    old = dataclasses.replace(before, tables=before.tables | {name: pair[0] for name, pair in pairs.items()})
    return old, dataclasses.replace(after, tables=after.tables | {name: pair[1] for name, pair in pairs.items()})


def differing(before: TableRow, after: TableRow) -> tuple[TableRow, TableRow]:
    """Two states of a table, with only those published ports that differ."""
    changed: set[tuple[str, int]] = set()
    for name in _SETS:
        pairs = ruleset.members(before, name).items() ^ ruleset.members(after, name).items()
        changed.update(key[-2:] for key, _ in pairs)
    return _at(before, changed), _at(after, changed)


def _at(table: TableRow, services: set[tuple[str, int]]) -> TableRow:
    kept = {name: _only(table.elements[name], services) for name in _SETS if name in table.elements}
    return dataclasses.replace(table, elements={**table.elements, **kept})


def _only(elements: Mapping[Any, Any], services: set[tuple[str, int]]) -> dict[Any, Any]:
    keys = (services & elements.keys()) | {key for key in elements if len(key) > 2 and key[-2:] in services}
    return {key: elements[key] for key in keys}


def _held(scope: str, table: str, owner: str, listens: tuple[str, str, int], to: tuple[Any, ...]) -> tuple[Key, Live]:
    mapped = PortMap(scope, *listens, to[0], to[1], table)
    if len(to) > 2:  # it has more than a target, such as a comment
        (own,) = elements(mapped)
        damage = ruleset.damage([own], [own._replace(value=f"{own.value} {' '.join(to[2:])}")])
        mapped = PortMap(scope, *listens, to[0], to[1], table, damage)
    return key_of(scope, *listens), Live(mapped, owner)


def _misplaced(entry: tuple[Key, Live], beside: bool, to: tuple[Any, ...]) -> tuple[Key, Live]:
    """An element 0.0.0.0 (or ::) in pub_addr4 (6) duplicates ours in pub_any4 (6): report it as drift of that port map.

    ``beside``: our element exists too; else the foreign one is in its place.
    """
    key, live = entry
    mapped: PortMap = live.object
    place = f"{mapped.listen} . {mapped.protocol} . {mapped.port}"
    stray = Element(PUBLISHED_ADDRESS[version_of(mapped.listen)], place, ruleset.written(to))
    actual = [*(ruleset.damaged(elements(mapped), mapped.damage) if beside else ()), stray]
    damage = ruleset.damage(elements(mapped), actual)
    return key, Live(dataclasses.replace(mapped, damage=damage), live.owner)


# A connection keeps its first translation (conntrack evaluates no rule again), and a UDP flow may never end.


def _elsewhere(mapped: PortMap) -> ForgetFlows:
    """The flows from before the port was published, or from when it was published to another target."""
    return _translated(mapped, others=True)


def _translated(mapped: PortMap, others: bool = False) -> ForgetFlows:
    to = mapped.target, mapped.target_port
    return ForgetFlows(mapped.scope, mapped.protocol, mapped.listen, mapped.port, *to, others=others)


def flows(before: PortMap | None, after: PortMap | None) -> Iterator[Request]:
    moved = before is None or after is None or (before.target, before.target_port) != (after.target, after.target_port)
    if moved and before is not None:
        yield _translated(before)
    if moved and after is not None:
        yield _elsewhere(after)


def words(mapped: PortMap) -> dict[str, Any]:
    host = f"[{mapped.target}]" if ":" in mapped.target else mapped.target
    return {"target": f"{host}:{mapped.target_port}"}


# ------------------------------------------------------------------ packets


def sends(mapped: PortMap) -> str:
    return mapped.target


def captures(mapped: PortMap, address: str, port: int) -> bool:
    """Whether it takes new connections to a TCP port of the scope."""
    return mapped.protocol == "tcp" and mapped.port == port and mapped.listen in (address, ANY[version_of(address)])


def cuts(change: Change, course: Course) -> str:
    """Why a session that came by this port ends: its connections go elsewhere, or nowhere."""
    if course.opened is None or change.before is None or not _leads_to(change.before, course):
        return ""
    return "" if change.after is not None and _leads_to(change.after, course) else "who has come by it"


def disrupts(change: Change, around: Around) -> str:
    """The flows of the port: conntrack entries are deleted where the target changes (see ``flows``)."""
    before, after = change.before, change.after
    if before is None:
        listens = around.listens(after.scope, after.protocol, after.listen, after.port)
        return f"new flows to {_place(after)} go to {_target(after)}, not to the process that listens there" * listens
    if after is None:
        to = around.sent(before.scope, before.protocol, before.listen, before.port)
        if to == (before.target, before.target_port):
            return ""  # published on every address from now on
        go = f"go to port {to[1]} of {to[0]}" if to else "go nowhere"
        return f"running flows to {_place(before)} are reset, and new ones {go}"
    if _target(before) != _target(after):
        return f"running flows to {_place(after)} are reset, and new ones go to {_target(after)}"
    return ""


def _place(mapped: PortMap) -> str:
    everywhere = mapped.listen == ANY[4]
    return str(mapped.port) if everywhere else key_of("", "", mapped.listen, mapped.port).name[1:]


def _target(mapped: PortMap) -> str:
    return str(words(mapped)["target"])


def _leads_to(mapped: PortMap, course: Course) -> bool:
    target = mapped.target, mapped.target_port
    return course.opened is not None and translates(mapped, "tcp", *course.opened) == target == (
        course.local,
        course.port,
    )


def translates(mapped: PortMap, protocol: str, address: str, port: int) -> tuple[str, int] | None:
    here = mapped.port == port and mapped.protocol == protocol
    if here and address and mapped.listen in (address, ANY[version_of(address)]):
        return mapped.target, mapped.target_port
    return None


def folded(changes: Iterable[Change]) -> Iterator[tuple[list[Change], str]]:
    from reconciler.kinds.nat import port_map_rows

    return port_map_rows.folded(changes)


def told(mapped: PortMap, written: bool) -> Iterator[tuple[str, str]]:
    """``8080``; with an address of the host, another port of the target or another protocol where they matter."""
    listen = f"[{mapped.listen}]" if ":" in mapped.listen else mapped.listen
    host = "" if mapped.listen == ANY[4] else f"{listen}:"
    protocol = "" if mapped.protocol == "tcp" else f"/{mapped.protocol}"
    target = words(mapped)["target"] if written else mapped.target_port
    to = "" if target == mapped.port else f" → {target}"
    yield "publishes", f"{host}{mapped.port}{protocol}{to}"


KIND = element_kind(
    told=told,
    name="port_map",
    section="port_maps",
    form=PortMap,
    elements=elements,
    words=words,
    flows=flows,
    parse=parse,
    check=check,
    read=read,
    clashes=clashes,
    changed_rows=changed_rows,
    sends=sends,
    publishes=True,
    captures=captures,
    cuts=cuts,
    disrupts=disrupts,
    translates=translates,
    folded=folded,
)
