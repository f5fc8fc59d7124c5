"""What the kernel holds, as tables that people read: networks, links, routes, published ports and all else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from reconciler.kinds import BY_NAME, having
from reconciler.kinds.grounds import Place
from reconciler.model.changes import KERNEL, Live
from reconciler.model.data import NamedTuple
from reconciler.model.keys import Key
from reconciler.model.rows import LinkRow, LiveState

_PORTS, _HOLDS, _LEADS = (having(fact) for fact in (lambda k: k.ports, lambda k: k.holds, lambda k: k.leads))


class Row(NamedTuple):
    """One line: its ``topology``, the ``scopes`` that it is about, and the values of the columns."""

    topology: str
    scopes: frozenset[str]
    values: Mapping[str, Any]


class Table(NamedTuple):
    """``name`` is one of the lines' kind, in the singular; all rows have the same columns, which may be none."""

    name: str
    rows: Sequence[Row]


class Overview(NamedTuple):
    """The objects ``held`` by topologies, among all ``objects``, with the rows that they were read from."""

    rows: LiveState
    objects: Mapping[Key, Live]
    held: Mapping[Key, Live]

    def tables(self) -> Iterator[Table]:
        """The tables, without empty ones."""
        addresses = self._addresses()
        yield from _filled("network", self._networks(addresses))
        yield from _filled("link", self._links(addresses))
        yield from _filled("route", self._routes())
        yield from _filled("port", self._published(addresses))
        others = [(key, entry) for key, entry in self.held.items() if _is_other(key)]
        for name in dict.fromkeys(key.kind for key, _ in others):
            yield from _filled(name, (_attributes(key, entry) for key, entry in others if key.kind == name))

    def _addresses(self) -> dict[Place, list[str]]:
        """The addresses of each link, with prefix lengths; without what the kernel gave it by itself."""
        found: dict[Place, list[str]] = {}
        for key, entry in self.objects.items():
            holds = _HOLDS.get(key.kind)
            if holds is not None and entry.owner != KERNEL:
                link = holds(entry.object)[0]
                found.setdefault((key.scope, link), []).append(key.name.removeprefix(f"{link}/"))
        return found

    def _networks(self, addresses: Mapping[Place, list[str]]) -> Iterator[Row]:
        """A row for each port of a bridge with the link at its other end; one for a bridge without ports."""
        members = self._members()
        for key, entry in self.held.items():
            if BY_NAME[key.kind].port is None:
                continue
            bridge = key.scope, key.name
            for port, far in members.get(bridge, [(None, None)]):
                place = far or port
                values = {
                    "scope": key.scope,
                    "network": key.name,
                    "gateway": addresses.get(bridge, []),
                    "sandbox": place[0] if place else None,
                    "link": place[1] if place else None,
                    "addresses": addresses.get(place, []) if place else [],
                }
                yield Row(entry.owner, frozenset({key.scope} | ({place[0]} if place else set())), values)

    def _members(self) -> dict[Place, list[tuple[Place, Place | None]]]:
        """By bridge, each port with the link at its other end, None where it has none."""
        found: dict[Place, list[tuple[Place, Place | None]]] = {}
        for key, entry in self.objects.items():
            ports = _PORTS.get(key.kind)
            for place, bridge in ports(entry.object) if ports is not None else ():
                far = next((one for one in BY_NAME[key.kind].links(entry.object) if one != place), None)
                found.setdefault((place[0], bridge), []).append((place, far))
        return found

    def _links(self, addresses: Mapping[Place, list[str]]) -> Iterator[Row]:
        """A row for each link that a topology made, and for each that has an address of one."""
        owners = {
            place: (entry.owner, key.kind) for key, entry in self.held.items() for place in _links_of(key, entry.object)
        }
        for key, entry in self.held.items():
            if key.kind in _HOLDS:
                place = key.scope, _HOLDS[key.kind](entry.object)[0]
                owners.setdefault(place, (entry.owner, ""))
        for place in sorted(owners, key=lambda one: (owners[one][0], one)):
            yield self._link(place, *owners[place], addresses.get(place, []))

    def _link(self, place: Place, owner: str, kind: str, addresses: list[str]) -> Row:
        scope, name = place
        links = self.rows.scopes[scope].links if scope in self.rows.scopes else {}
        row = next((one for one in links.values() if one.name == name), None)
        values = {"scope": scope, "link": name, "kind": kind or (row.kind if row else None)}
        return Row(owner, frozenset({scope}), values | _facts(row, links) | {"addresses": addresses})

    def _routes(self) -> Iterator[Row]:
        for key, entry in self.held.items():
            leads = _LEADS.get(key.kind)
            if leads is not None:
                route = leads(entry.object)
                values = {
                    "scope": key.scope,
                    "to": "default" if route.to in ("0.0.0.0/0", "::/0") else route.to,
                    "via": [hop.via for hop in route.hops if hop.via],
                    "dev": [hop.dev for hop in route.hops if hop.dev],
                    "table": key.name.partition("/")[0],
                    "metric": route.metric or None,
                    "type": route.type,
                }
                yield Row(entry.owner, frozenset({key.scope}), values)

    def _published(self, addresses: Mapping[Place, list[str]]) -> Iterator[Row]:
        holders = {text.partition("/")[0]: place for place, texts in addresses.items() for text in texts}
        for key, entry in self.held.items():
            if not BY_NAME[key.kind].publishes:
                continue
            port = entry.object
            place = holders.get(port.target)
            values = {
                "scope": key.scope,
                "protocol": port.protocol,
                "listen": _endpoint(port.listen, port.port),
                "target": _endpoint(port.target, port.target_port),
                "sandbox": place[0] if place else None,
                "link": place[1] if place else None,
            }
            yield Row(entry.owner, frozenset({key.scope} | ({place[0]} if place else set())), values)


def _links_of(key: Key, value: Any) -> Iterable[Place]:
    return BY_NAME[key.kind].links(value)


def _filled(name: str, rows: Iterable[Row]) -> Iterator[Table]:
    listed = list(rows)
    if listed:
        yield Table(name, listed)


def _facts(row: LinkRow | None, links: Mapping[int, LinkRow]) -> dict[str, Any]:
    if row is None:
        return {"state": None, "mtu": None, "mac": None, "master": None}
    master = links.get(row.master)
    state = "up" if row.up else "down"
    return {"state": state, "mtu": row.mtu, "mac": row.mac or None, "master": master.name if master else None}


def _is_other(key: Key) -> bool:
    """Whether objects of this kind have a table of their own; the parts of other tables and nft tables have none."""
    kind = BY_NAME[key.kind]
    in_a_table = key.kind in _HOLDS or key.kind in _LEADS or kind.publishes or kind.has_ends
    return not in_a_table and not (kind.transaction and kind.carrier is None)


def _attributes(key: Key, entry: Live) -> Row:
    listed = (f"{word}={_plain(value)}" for word, value in BY_NAME[key.kind].shown(entry.object).items() if value)
    values = {"scope": key.scope, "name": key.name, "attributes": list(listed)}
    return Row(entry.owner, frozenset({key.home}), values)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _endpoint(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
