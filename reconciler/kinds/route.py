"""A static route: unicast by way of one or several next hops, or a refusal such as blackhole."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any

from reconciler.kinds import kind, sysctl
from reconciler.kinds.kind import After, Ground, Kind, Names, Noted, Noting, Parsed, Path, Reading, Source
from reconciler.kinds.links import effects, link
from reconciler.kinds.namespace import home
from reconciler.model.changes import KERNEL, NOBODY, UNKNOWN, Live
from reconciler.model.data import dataclass
from reconciler.model.keys import HOST, PROTOCOL, STAMP, Key, stamped
from reconciler.model.requests import NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, LinkRef, Netlink, Request
from reconciler.model.rows import Hop, RouteRow

AF_INET, AF_INET6 = 2, 10
TYPES = {"unicast": 1, "blackhole": 6, "unreachable": 7, "prohibit": 8, "throw": 9}  # RTN_*
SCOPES = {"global": 0, "site": 200, "link": 253, "host": 254}  # RT_SCOPE_*
TABLES = {"default": 253, "main": 254}
NOWHERE_SCOPE = 255  # RT_SCOPE_NOWHERE: in a deletion it stands for any scope
RTNH_F_ONLINK = 4
RTPROT_REDIRECT, RTPROT_KERNEL, RTPROT_RA = 1, 2, 9
KERNELS = (RTPROT_REDIRECT, RTPROT_KERNEL, RTPROT_RA)  # these come back with what they follow from
STATIC = (0, 3, 4, PROTOCOL)  # RTPROT_UNSPEC, _BOOT, _STATIC: people and scripts; the others are daemons'
METRIC = {AF_INET: 0, AF_INET6: 1024}  # what the kernel takes where none is given

_UNNOTED = Noted("", None)

# (IP version, prefix length) -> start of a network -> the links that it lies on, with what puts it there
Near = dict[tuple[int, int], dict[int, list[tuple[str | None, Key]]]]


@dataclass(frozen=True, slots=True, order=True)
class NextHop:
    """``dev`` None: the kernel finds the link by the gateway, and any will do."""

    via: str
    dev: str | None
    weight: int
    onlink: bool


@dataclass(frozen=True, slots=True)
class Route:
    """``to`` is a canonical prefix; "" and 0 stand for "none", so that all fields are compared.

    Only ``protocol`` is not: it says whose a live route is; nor ``raw``, its message with all that we do not manage.
    """

    scope: str
    to: str
    table: int
    metric: int
    type: str
    hops: tuple[NextHop, ...]
    source: str
    reach: int  # RT_SCOPE_*
    mtu: int
    tos: int = 0
    by_object: bool = field(default=False, compare=False)  # a live one's hops are those of a nexthop object
    protocol: int = field(default=PROTOCOL, compare=False)
    raw: bytes = field(default=b"", compare=False)

    @property
    def family(self) -> int:
        return AF_INET6 if ":" in self.to else AF_INET


def key_of(route: Route) -> Key:
    """``route/test/main/default``; a metric that is not the kernel's default is part of the identity."""
    table = next((name for name, number in TABLES.items() if number == route.table), str(route.table))
    to = "default" if route.to == "0.0.0.0/0" else route.to
    metric = f" metric {route.metric}" if route.metric != METRIC[route.family] else ""
    return Key("route", route.scope, f"{table}/{to}{metric}" + (f" tos {route.tos}" if route.tos else ""))


# ------------------------------------------------------------------------------------------------ parse


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
    for path, message in wrong:
        source.problem((*at, *path), message)
    if wrong:
        return None
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
    one = [word for word in ("via", "dev", "onlink") if word in entry]
    if type_ != "unicast":
        extra = one + [word for word in ("nexthops", "source", "mtu", "scope") if word in entry]
        for word in extra:
            yield (word,), f"a {type_} route leads nowhere; leave {word} out"
    elif "nexthops" in entry:
        for word in one:
            yield (word,), f"{word} stands beside nexthops; write it in each of them"
    elif not one or one == ["onlink"]:
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
    if len(hops) == 1:  # the kernel holds it as a plain route, without a weight
        hops = [dataclasses.replace(hops[0], weight=1)]
    yield from sorted(hops, key=_order)


def _order(hop: NextHop) -> tuple[str, str, int]:
    return hop.via, hop.dev or "", hop.weight


def _ip(text: str | None, family: int, path: Path, wrong: list[tuple[Path, str]]) -> str:
    if text is None:
        return ""
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        wrong.append((path, f'"{text}" is not an IP address'))
        return ""
    if (ip.version == 6) != (family == AF_INET6):
        other = "IPv6" if ip.version == 6 else "IPv4"
        own = "IPv4" if ip.version == 6 else "IPv6"
        wrong.append((path, f'"{text}" is an {other} address on an {own} route; both must be of one family'))
    return str(ip)


def _reach(entry: Mapping[str, Any], family: int, type_: str, hops: tuple[NextHop, ...]) -> int:
    """The scope that the kernel itself would derive (ip-route(8)); IPv6 has none."""
    if family == AF_INET6 or type_ != "unicast":
        return 0
    if "scope" in entry:
        return SCOPES[entry["scope"]]
    return SCOPES["global"] if any(hop.via for hop in hops) else SCOPES["link"]


# ------------------------------------------------------------------------------------------------ check


def imply(names: Names) -> Iterator[Parsed]:
    """A gateway's link follows from the addresses declared: the one with the longest prefix that reaches it.

    Otherwise a route would stay on its old link when the gateway's subnet moves to another one.
    """
    for key in [key for key in names.objects if key.kind == "route"]:
        route = names.objects[key]
        hops = tuple(sorted((_placed(route, hop, names) for hop in route.hops), key=_order))
        if hops != route.hops:
            yield key, dataclasses.replace(route, hops=hops), names.origins[key]


def _placed(route: Route, hop: NextHop, names: Names) -> NextHop:
    if hop.dev is not None or not hop.via:
        return hop
    found: dict[int, set[str]] = {}
    for key in _connecting(route, hop, names):
        one = names.objects[key]
        prefix, dev = (one.address, one.link) if key.kind == "address" else (one.to, one.hops[0].dev)
        found.setdefault(int(prefix.partition("/")[2]), set()).add(dev)
    nearest = found[max(found)] if found else set()
    return dataclasses.replace(hop, dev=nearest.pop()) if len(nearest) == 1 else hop


def check(route: Route, names: Names) -> Iterator[tuple[Path, str]]:
    for hop in route.hops:
        at: Path = ("nexthops",) if len(route.hops) > 1 else ()
        if hop.dev is not None and (route.scope, hop.dev) not in names.links:
            hint = link.nearest(hop.dev, route.scope, names)
            yield at or ("dev",), f'no link "{hop.dev}" in {route.scope}{hint}'
        elif hop.dev is not None and getattr(link.declared_end(route.scope, hop.dev, names), "up", None) is False:
            yield at or ("dev",), f"{hop.dev} is declared down; the kernel takes routes only over links that are up"
        elif hop.via and not hop.onlink:
            yield from ((at or ("via",), text) for text in _unreachable(route, hop, names))
    if route.source and _closed(route.scope, None, names) and not list(_carrying(route, names)):
        yield ("source",), f"{route.source} is no address of {route.scope}; give it to a link there"


def _unreachable(route: Route, hop: NextHop, names: Names) -> Iterator[str]:
    if hop.via.startswith("fe80:"):
        if hop.dev is None:
            yield "a link-local gateway needs dev: the address alone does not tell the link"
        return
    if not _closed(route.scope, hop.dev, names) or list(_connecting(route, hop, names)):
        return
    known = [f"{one.address} on {one.link}" for one in names.of(route.scope, "address")]
    listed = ", ".join(known[:6]) or "no address at all"
    where = f" through {hop.dev}" if hop.dev else ""
    yield f"no connected prefix of {route.scope} reaches {hop.via}{where}; it has {listed}"


def _closed(scope: str, dev: str | None, names: Names) -> bool:
    """Whether the topology knows all addresses that could matter: its own namespaces and links."""
    if dev is not None:
        key = names.links.get((scope, dev))
        return key is not None and (key.kind != "interface" or dev == "lo")
    outside = any(end.name != "lo" for end in names.of(scope, "interface"))
    return scope in names.exclusive and not outside


def _connecting(route: Route, hop: NextHop, names: Names) -> Iterator[Key]:
    """The addresses and link routes that put a gateway within reach."""
    via = ipaddress.ip_address(hop.via)
    for (version, length), by_start in _near(route.scope, names).items():
        if version == via.version:
            rest = via.max_prefixlen - length
            for dev, key in by_start.get(int(via) >> rest << rest, ()):
                if hop.dev in (None, dev):
                    yield key


def _near(scope: str, names: Names) -> Near:
    """What is connected in a scope, found once: 10,000 routes would else each look at all the others."""
    near: Near | None = names.near.get(scope)
    if near is None:
        near = names.near[scope] = {}
        for key in names.by_scope.get((scope, "address"), ()):
            address = names.objects[key]
            _add(near, ipaddress.ip_interface(address.address).network, address.link, key)
        for key in names.by_scope.get((scope, "route"), ()):
            route = names.objects[key]
            if _is_link_route(route):
                _add(near, ipaddress.ip_network(route.to), route.hops[0].dev, key)
    return near


def _add(near: Near, network: ipaddress.IPv4Network | ipaddress.IPv6Network, dev: str | None, key: Key) -> None:
    by_start = near.setdefault((network.version, network.prefixlen), {})
    by_start.setdefault(int(network.network_address), []).append((dev, key))


def _is_link_route(route: Route) -> bool:
    return len(route.hops) == 1 and not route.hops[0].via


def _carrying(route: Route, names: Names) -> Iterator[Key]:
    for key in names.by_scope.get((route.scope, "address"), ()):
        if names.objects[key].address.partition("/")[0] == route.source:
            yield key


def needs(route: Route, names: Names) -> Iterator[Key]:
    yield from home(route.scope)
    for hop in route.hops:
        if (route.scope, hop.dev) in names.links:
            yield names.links[route.scope, str(hop.dev)]
        if ":" in route.to:
            yield from sysctl.ipv6_switches(route.scope, hop.dev or "all", names)
        if hop.via and not hop.via.startswith("fe80:"):
            yield from _connecting(route, hop, names)
    if route.source:
        yield from _carrying(route, names)


# ------------------------------------------------------------------------------------------------ read


def read(reading: Reading) -> Iterator[tuple[Key, Live]]:
    found: dict[Key, list[Live]] = {}
    names = {index: one.name for index, one in reading.state.links.items()}
    for row in reading.state.routes:
        route = _from_row(reading.state.scope, row, names)
        found.setdefault(key_of(route), []).append(Live(route, _owner(reading, row, route)))
    for key, held in found.items():
        yield from _apart(key, held, reading)


def _apart(key: Key, held: list[Live], reading: Reading) -> Iterator[tuple[Key, Live]]:
    """IPv4 allows several routes of one destination and metric: the one that is wanted takes the key."""
    wanted = reading.wanted.get(key)
    if wanted is not None and len(held) > 1:
        held = sorted(held, key=lambda one: mask(wanted.object, one.object) != wanted.object)
    for number, one in enumerate(held, 1):
        yield (key if number == 1 else key._replace(name=f"{key.name} ({number})")), one


def _from_row(scope: str, row: RouteRow, names: Mapping[int, str]) -> Route:
    hops = tuple(sorted((_hop(hop, names) for hop in row.hops), key=_order))
    kind = next(name for name, number in TYPES.items() if number == row.type)
    reach = row.scope if row.family == AF_INET and kind == "unicast" else 0
    raw = b"" if row.protocol == PROTOCOL else row.raw
    shape = (row.source, reach, row.mtu, row.tos, row.nexthop > 0, row.protocol, raw)
    return Route(scope, row.to, row.table, row.metric, kind, hops, *shape)


def _hop(hop: Hop, names: Mapping[int, str]) -> NextHop:
    return NextHop(hop.via, names.get(hop.oif), hop.weight, hop.onlink)


def _owner(reading: Reading, row: RouteRow, route: Route) -> str:
    key = key_of(route)
    if row.protocol not in STATIC:
        return KERNEL
    if reading.exclusive and reading.owner:
        return reading.owner
    if row.protocol == PROTOCOL:
        return reading.noted.get(key, _UNNOTED).topology or _link_owner(reading, row) or reading.owner or UNKNOWN
    # Somebody's own route over a link of ours stays theirs, unless it is the very one that we want.
    return (_link_owner(reading, row) if key in reading.wanted else "") or NOBODY


def _link_owner(reading: Reading, row: RouteRow) -> str:
    rows = [reading.state.links.get(hop.oif) for hop in row.hops]
    owners = {stamped(one.alias) for one in rows if one and one.alias.startswith(STAMP)}
    return owners.pop() if len(owners) == 1 else ""


def mask(wanted: Route, live: Route) -> Route:
    """Links that the topology leaves to the kernel are not compared."""
    if len(wanted.hops) != len(live.hops):
        return live
    hops = []
    for want, have in zip(wanted.hops, live.hops, strict=True):
        hops.append(dataclasses.replace(have, dev=None) if want.dev is None else have)
    return dataclasses.replace(live, hops=tuple(hops))


# ------------------------------------------------------------------------------------------------ write


def create(route: Route, _owner: str) -> Iterator[Request]:
    yield _request(route, NLM_F_CREATE | NLM_F_EXCL)


def update(_before: Route, after: Route, _owner: str) -> Iterator[Request]:
    yield _request(after, NLM_F_CREATE | NLM_F_REPLACE)


def adopt(route: Route, _wanted: Route, _owner: str) -> Iterator[Request]:
    yield from restamp(dataclasses.replace(route, protocol=PROTOCOL))


def stamp(route: Route) -> int:
    return route.protocol


def restamp(route: Route) -> Iterator[Request]:
    """Only rtm_protocol changes: metrics that we do not know of stay, since the route goes back as it came."""
    flags = NLM_F_CREATE | NLM_F_REPLACE
    if route.raw:
        body = route.raw[:5] + bytes([route.protocol]) + route.raw[6:]
        yield Netlink(route.scope, "newroute", {}, flags=flags, body=body)
    else:
        yield _request(route, flags)


def _request(route: Route, flags: int) -> Request:
    fields = {
        "family": route.family,
        "dst_len": int(route.to.partition("/")[2]),
        "tos": route.tos,
        "table": route.table if route.table < 256 else 0,
        "proto": route.protocol,
        "scope": route.reach,
        "type": TYPES[route.type],
        "flags": RTNH_F_ONLINK if len(route.hops) == 1 and route.hops[0].onlink else 0,
    }
    return Netlink(route.scope, "newroute", fields, tuple(_attributes(route)), flags)


def _attributes(route: Route) -> Iterator[tuple[str, Any]]:
    yield "RTA_DST", route.to.partition("/")[0]
    yield "RTA_TABLE", route.table
    if route.metric:
        yield "RTA_PRIORITY", route.metric
    if route.source:
        yield "RTA_PREFSRC", route.source
    if route.mtu:
        yield "RTA_METRICS", {"attrs": (("RTAX_MTU", route.mtu),)}
    if len(route.hops) == 1:
        yield from _hop_attributes(route, route.hops[0])
    elif route.hops:
        yield "RTA_MULTIPATH", tuple(_multipath(route, hop) for hop in route.hops)


def _hop_attributes(route: Route, hop: NextHop) -> Iterator[tuple[str, Any]]:
    if hop.via:
        yield _gateway(route.family, hop.via)
    if hop.dev is not None:
        yield "RTA_OIF", LinkRef(route.scope, hop.dev)


def _gateway(family: int, via: str) -> tuple[str, Any]:
    """Somebody's IPv4 route may go by an IPv6 gateway, which has an attribute of its own (RFC 5549)."""
    own = AF_INET6 if ":" in via else AF_INET
    return ("RTA_GATEWAY", via) if own == family else ("RTA_VIA", {"family": own, "addr": via})


def _multipath(route: Route, hop: NextHop) -> dict[str, Any]:
    return {
        "hops": hop.weight - 1,
        "oif": LinkRef(route.scope, hop.dev) if hop.dev is not None else 0,
        "flags": RTNH_F_ONLINK if hop.onlink else 0,
        "attrs": (_gateway(route.family, hop.via),) if hop.via else (),
    }


def delete(route: Route) -> Iterator[Request]:
    fields = {
        "family": route.family,
        "dst_len": int(route.to.partition("/")[2]),
        "tos": route.tos,
        "table": route.table if route.table < 256 else 0,
        "scope": NOWHERE_SCOPE,
        "type": TYPES[route.type],
    }
    attributes: list[tuple[str, Any]] = [
        ("RTA_DST", route.to.partition("/")[0]),
        ("RTA_TABLE", route.table),
        ("RTA_PRIORITY", route.metric),
    ]
    if len(route.hops) == 1 and not route.by_object:  # which the kernel finds only where no hop is named
        attributes += _hop_attributes(route, route.hops[0])
    yield Netlink(route.scope, "delroute", fields, tuple(attributes))


# ------------------------------------------------------------------------------------------------ consequences


def lies_on(route: Route) -> Iterator[tuple[str, str]]:
    return ((route.scope, hop.dev) for hop in route.hops if hop.dev)


def stands_on(route: Route) -> Iterator[Ground]:
    family = "ipv6" if route.family == AF_INET6 else "ipv4"
    for place in lies_on(route):
        yield Ground(family, *place)
    if route.source:
        yield Ground("source", route.scope, route.source)


def returns(route: Route, after: After) -> bool:
    """Whether its links are up, and its gateways and its source within reach."""
    if any(ground in after.lasting and ground.what != "ipv4" for ground in stands_on(route)):
        return False
    return all(_leads(route, hop, after) for hop in route.hops)


def _leads(route: Route, hop: NextHop, after: After) -> bool:
    if hop.dev is None:
        return True
    under = after.links.get((route.scope, hop.dev))
    up = under is not None and all(
        end.up is not False for end in effects.ends(under) if (end.scope, end.name) == (route.scope, hop.dev)
    )
    return up and (not hop.via or hop.onlink or hop.via.startswith("fe80:") or _near_after(route, hop, after))


def _near_after(route: Route, hop: NextHop, after: After) -> bool:
    via = ipaddress.ip_address(hop.via)
    addresses = (one.address for one in after.of(route.scope, "address") if one.link == hop.dev)
    routes = (one.to for one in after.of(route.scope, "route") if _is_link_route(one) and one.hops[0].dev == hop.dev)
    return any(via in ipaddress.ip_interface(prefix).network for prefix in (*addresses, *routes))


def comes_back(route: Route) -> bool:
    """A route that DHCP set, say, nobody sets twice."""
    return route.protocol in KERNELS


def leads(route: Route) -> Route:
    return route


def connected(scope: str, to: str, link: str) -> Route:
    """The route that the kernel makes for an address."""
    hop = NextHop("", link, 1, False)
    return Route(scope, to, TABLES["main"], 0, "unicast", (hop,), "", SCOPES["link"], 0, protocol=RTPROT_KERNEL)


def put_back(route: Route, anew: bool) -> Iterator[Request]:
    """As it came, with metrics that we do not know of; over a link that was made anew, by the names of its links."""
    if anew:
        yield _request(route, NLM_F_CREATE | NLM_F_REPLACE)
    else:
        yield from restamp(route)


def record(_key: Key, wanted: Route, noting: Noting) -> bool | None:
    """Noted where nothing in the kernel says that it is ours: not all of its links are ones that we made."""
    if wanted.scope != HOST:
        return None
    made = [noting.names.links.get((HOST, hop.dev or "")) for hop in wanted.hops] or [None]
    return True if any(link is None or link.kind == "interface" for link in made) else None


def shown(route: Route) -> dict[str, Any]:
    """As the topology would write it."""
    words: dict[str, Any] = {} if route.type == "unicast" else {"type": route.type}
    if len(route.hops) == 1:
        words |= _shown_hop(route.hops[0])
    elif route.hops:
        words["nexthops"] = [_shown_hop(hop) | {"weight": hop.weight} for hop in route.hops]
    words |= {"source": route.source} if route.source else {}
    words |= {"mtu": route.mtu} if route.mtu else {}
    implied = SCOPES["global"] if any(hop.via for hop in route.hops) else SCOPES["link"]
    if route.family == AF_INET and route.type == "unicast" and route.reach != implied:
        words["scope"] = next((name for name, number in SCOPES.items() if number == route.reach), route.reach)
    return words


def _shown_hop(hop: NextHop) -> dict[str, Any]:
    words = {"via": hop.via, "dev": hop.dev, "onlink": hop.onlink}
    return {word: value for word, value in words.items() if value}


KIND = Kind(
    name="route",
    form=Route,
    schema="route",
    parse=parse,
    imply=imply,
    check=check,
    read=read,
    mask=mask,
    needs=needs,
    create=create,
    update=update,
    delete=delete,
    adopt=adopt,
    stamp=stamp,
    restamp=restamp,
    lies_on=lies_on,
    stands_on=stands_on,
    returns=returns,
    comes_back=comes_back,
    leads=leads,
    put_back=put_back,
    shown=shown,
    replace_on=frozenset({"type"}),
    section="routes",
    ownership=kind.PROTOCOL,
    dumps=("routes",),
    record=record,
)
