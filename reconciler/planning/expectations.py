"""The expectations of a topology about its traffic, and where packets that prove them arrive."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from reconciler.kinds import having, namespace
from reconciler.kinds.context import Names
from reconciler.model.data import dataclass
from reconciler.model.keys import HOST, Key, Origin
from reconciler.model.patterns import pattern
from reconciler.model.quoting import Path

_TARGET = pattern(r"(?:\[(?P<six>[^]]+)\]|(?P<name>[^:]+))(?::(?P<port>\d+)(?:/(?P<protocol>tcp|udp))?)?\Z")
_HOLDS, _TRANSLATES = having(lambda kind: kind.holds), having(lambda kind: kind.translates)
HOPS = 8  # port maps in a row that are followed


@dataclass(frozen=True, slots=True)
class Expectation:
    """Packets from ``scope`` reach ``address`` or do not (``reach``); port 0 with protocol icmp is a ping.

    ``to`` is the target as written in the file.  ``because``: what of the topology implies it, "" where it is
    declared.  ``leaves``: the scope that packets leave for an address beyond its default route.
    """

    scope: str
    to: str
    address: str
    port: int
    protocol: str
    reach: bool
    origin: Origin
    because: str = ""
    leaves: str = ""


def parse(
    data: Mapping[str, Any], names: Names, at: Callable[[Path], Origin], problem: Callable[[Path, str], None]
) -> Iterator[Expectation]:
    """The expectations of a document that passed the schema; ``problem`` gets each name that does not exist."""
    for index, entry in enumerate(data.get("expect") or ()):
        path: Path = ("expect", index)
        scope = str(entry["from"])
        target = _TARGET.match(str(entry["to"]))
        if not _is_scope(scope, names):
            problem((*path, "from"), f'no namespace "{scope}"; declare it under namespaces')
        elif target is None or not 0 <= int(target["port"] or 0) < 65536:
            problem((*path, "to"), f'"{entry["to"]}" is no NAME:PORT; a port is a number up to 65535')
        else:
            address = target["six"] or _address(target["name"], scope, data, names)
            if not address:
                problem((*path, "to"), f'nothing here is called "{target["name"]}" and has an address')
                continue
            port = int(target["port"] or 0)
            protocol = (target["protocol"] or "tcp") if port else "icmp"
            yield Expectation(scope, str(entry["to"]), address, port, protocol, entry.get("reach", True), at(path))


def _is_scope(scope: str, names: Names) -> bool:
    return scope == HOST or namespace.key_of(scope) in names.objects


def _address(name: str, scope: str, data: Mapping[str, Any], names: Names) -> str:
    """The address of a name: of an address itself, a namespace's first one, of ``hosts`` that one; "" for none."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        pass
    if _is_scope(name, names):
        addresses = [holds(one) for kind, holds in _HOLDS.items() for one in names.of(name, kind)]
        return min((address for link, address in addresses if link != "lo"), key=lambda one: ":" in one, default="")
    body = data if scope == HOST else (data.get("namespaces") or {}).get(scope) or {}
    known = (body.get("hosts") or {}).get(name, "")
    return str(known[0] if isinstance(known, list) else known)


class Ends:
    """Where packets arrive, by the objects of all topologies."""

    def __init__(self, objects: Mapping[Key, Any]) -> None:
        self._holders: dict[str, str] = {}
        self._maps: dict[tuple[str, str, int], list[tuple[Key, Any]]] = {}
        for key, value in objects.items():
            if key.kind in _HOLDS:
                self._holders.setdefault(_HOLDS[key.kind](value)[1], key.scope)
            if key.kind in _TRANSLATES:
                self._maps.setdefault((key.scope, value.protocol, value.port), []).append((key, value))

    def of(self, wanted: Expectation) -> tuple[str, str, int]:
        """The scope, address and port at which its packets arrive after all port maps; scope "" for an unknown one."""
        scope, address, port = self.holder(wanted.address, wanted.scope), wanted.address, wanted.port
        for _ in range(HOPS):
            sent_on = self._sent_on(scope, wanted.protocol, address, port)
            if sent_on is None:
                break
            address, port = sent_on
            scope = self.holder(address, scope)
        return scope, address, port

    def holder(self, address: str, near: str = "") -> str:
        """The scope that has the address, "" where it is unknown; ``near`` has the loopback addresses."""
        return near if ipaddress.ip_address(address).is_loopback else self._holders.get(address, "")

    def _sent_on(self, scope: str, protocol: str, address: str, port: int) -> tuple[str, int] | None:
        found = self._maps.get((scope, protocol, port), ())
        sent_on = (_TRANSLATES[key.kind](value, protocol, address, port) for key, value in found)
        return next((one for one in sent_on if one is not None), None)
