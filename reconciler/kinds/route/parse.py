"""Parses the entries under routes, and reports contradictions in an entry."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.kinds.context import Parsed, Source
from reconciler.kinds.route import limits
from reconciler.kinds.route.form import AF_INET, AF_INET6, METRIC, SCOPES, TABLES, NextHop, Route, key_of, order
from reconciler.model import data as dataclasses
from reconciler.model.addresses import ip_address
from reconciler.model.quoting import Path


def parse(source: Source) -> Iterator[Parsed]:
    for index, entry in enumerate(source.data.get("routes") or ()):
        route = _parse_entry(source, entry, ("routes", index))
        if route is not None:
            yield key_of(route), route, source.at(("routes", index))


def _parse_entry(source: Source, entry: Mapping[str, Any], at: Path) -> Route | None:
    wrong: list[tuple[Path, str]] = list(_contradictions(entry))
    family, to = _destination(entry, wrong)
    hops = tuple(_hops(entry, family, wrong))
    src = _ip(entry.get("source"), family, ("source",), wrong)
    if not wrong:
        wrong += limits.wrong(entry, family, hops)
    for path, message in wrong:
        source.problem((*at, *path), message)
    if wrong:
        return None
    hops = tuple(sorted(hops, key=order))
    type_ = entry.get("type", "unicast")
    table = entry.get("table", "main")
    metric = entry.get("metric") or 0
    if not metric and family == AF_INET6:
        metric = METRIC[AF_INET6]
    reach = _reach(entry, family, type_, hops)
    mtu = entry.get("mtu", 0)
    return Route(source.scope, to, TABLES.get(table, table), metric, type_, hops, src, reach, mtu)


def _contradictions(entry: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    type_ = entry.get("type", "unicast")
    way = [word for word in ("via", "dev", "onlink") if word in entry]
    if type_ != "unicast":
        extra = way + [word for word in ("nexthops", "source", "mtu", "scope") if word in entry]
        for word in extra:
            yield (word,), f"a {type_} route leads nowhere; leave {word} out"
    elif "nexthops" in entry:
        for word in way:
            yield (word,), f"{word} stands beside nexthops; write it in each of them"
    elif not way or way == ["onlink"]:
        yield (), "the route has no way: give via, dev or nexthops, or a type such as blackhole"
    hops = [((), entry), *((("nexthops", n), hop) for n, hop in enumerate(entry.get("nexthops") or ()))]
    for path, hop in hops:
        if hop.get("onlink") and not ("via" in hop and "dev" in hop):
            yield (*path, "onlink"), "onlink says that the gateway is on the link: it needs both via and dev"
        if path and not ("via" in hop or "dev" in hop):
            yield path, "the next hop has no way: give via or dev"
    if entry.get("table") in ("local", 255):
        yield ("table",), "the table local is the kernel's own; take main or a number of your own"


def _destination(entry: Mapping[str, Any], wrong: list[tuple[Path, str]]) -> tuple[int, str]:
    text = entry["to"]
    if text == "default":
        texts = [hop.get("via") for hop in entry.get("nexthops") or ()] + [entry.get("via"), entry.get("source")]
        six = any(":" in text for text in texts if text)
        return (AF_INET6, "::/0") if six else (AF_INET, "0.0.0.0/0")
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        wrong.append((("to",), _not_a_prefix(text)))
        return (AF_INET6 if ":" in text else AF_INET), ""
    return (AF_INET6 if network.version == 6 else AF_INET), str(network)


def _not_a_prefix(text: str) -> str:
    try:
        meant = ipaddress.ip_interface(text).network
    except ValueError:
        return f'"{text}" is not a prefix; write ADDRESS/LENGTH or default'
    return f'"{text}" has host bits set; did you mean "{meant}"?'


def _hops(entry: Mapping[str, Any], family: int, wrong: list[tuple[Path, str]]) -> Iterator[NextHop]:
    if entry.get("type", "unicast") != "unicast":
        return
    listed = entry.get("nexthops")
    if listed is None:
        yield NextHop(_ip(entry.get("via"), family, ("via",), wrong), entry.get("dev"), 1, entry.get("onlink", False))
        return
    hops = []
    for index, hop in enumerate(listed):
        via = _ip(hop.get("via"), family, ("nexthops", index, "via"), wrong)
        hops.append(NextHop(via, hop.get("dev"), hop.get("weight", 1), hop.get("onlink", False)))
    for index, hop in enumerate(hops):
        if hop in hops[:index]:
            wrong.append((("nexthops", index), "the same next hop twice; give it a weight instead"))
    if len(hops) == 1:  # the kernel stores it as a plain route, without a weight
        hops = [dataclasses.replace(hops[0], weight=1)]
    yield from hops


def _ip(text: str | None, family: int, path: Path, wrong: list[tuple[Path, str]]) -> str:
    if text is None:
        return ""
    try:
        ip = ip_address(text)
    except ValueError:
        wrong.append((path, f'"{text}" is not an IP address'))
        return ""
    if (ip.version == 6) != (family == AF_INET6):
        other = "IPv6" if ip.version == 6 else "IPv4"
        own = "IPv4" if ip.version == 6 else "IPv6"
        wrong.append((path, f'"{text}" is an {other} address on an {own} route; both must be of one family'))
    return str(ip)


def _reach(entry: Mapping[str, Any], family: int, type_: str, hops: tuple[NextHop, ...]) -> int:
    """The route's scope (RT_SCOPE_*), by default as ip-route(8) chooses it; IPv6 has none."""
    if family == AF_INET6 or type_ != "unicast":
        return 0
    if "scope" in entry:
        return SCOPES[entry["scope"]]
    return SCOPES["global"] if any(hop.via for hop in hops) else SCOPES["link"]
