"""The routes of a set of objects, indexed: the one that packets to a prefix take, whatever the number of routes."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from reconciler.kinds import having
from reconciler.kinds.route.form import TABLES
from reconciler.model.keys import Key

_LEADS = having(lambda kind: kind.leads)
_Table = tuple[str, int, int]  # scope, number, IP version


class Ways:
    """Answers as the kernel does in one table: the longest prefix, then the lowest metric; then in the main table."""

    def __init__(self, objects: Mapping[Key, Any]) -> None:
        self._routes: dict[_Table, dict[tuple[int, int], Any]] = defaultdict(dict)
        for key, one in objects.items():
            if key.kind in _LEADS:
                self._add(key.scope, _LEADS[key.kind](one))

    def _add(self, scope: str, route: Any) -> None:
        network = _network(route.to)
        table = self._routes[scope, route.table, network.version]
        place = network.prefixlen, int(network.network_address)
        if route.tos == 0 and (place not in table or route.metric < table[place].metric):
            table[place] = route

    def to(self, scope: str, table: int, prefix: str) -> Any:
        """The route to the first address of a prefix that has no narrower one; None for none."""
        network = _network(prefix)
        for number in dict.fromkeys((table, TABLES["main"])):
            for route in self._covering(self._routes.get((scope, number, network.version), {}), network):
                if route.type != "throw":
                    return route
                break
        return None

    def _covering(self, table: Mapping[tuple[int, int], Any], network: Any) -> Iterator[Any]:
        bits, first = network.max_prefixlen, int(network.network_address)
        for length in range(network.prefixlen, -1, -1):
            place = length, first >> (bits - length) << (bits - length)
            if place in table:
                yield table[place]


@cache
def _network(prefix: str) -> Any:
    return ipaddress.ip_network(prefix)
