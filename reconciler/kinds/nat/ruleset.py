"""The fixed part of our nftables table: chains, rules and sets, of which only the sets' elements change."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from reconciler.kinds.context import Reading
from reconciler.model.data import NamedTuple
from reconciler.model.keys import Key
from reconciler.model.names import ADMIN_CHAIN, STAMP_CHAIN, table_owner
from reconciler.model.requests import NftElement
from reconciler.model.rows import TableRow

NAT_KINDS = ("port_map", "masquerade", "isolation")

_KEY4 = "ipv4_addr . inet_proto . inet_service"
_KEY6 = "ipv6_addr . inet_proto . inet_service"
_TO4 = "ipv4_addr . inet_service"
_TO6 = "ipv6_addr . inet_service"

SETS: Mapping[str, str] = MappingProxyType(
    {
        "pub_addr4": f"map {_KEY4} : {_TO4}",  # published on one address
        "pub_addr6": f"map {_KEY6} : {_TO6}",
        "pub_any4": f"map inet_proto . inet_service : {_TO4}",  # on every address of the scope
        "pub_any6": f"map inet_proto . inet_service : {_TO6}",
        "isolated": "set ifname",  # links that get no new connections
        "internal": "set ifname",  # links that send no new connections
        "allowed": "set ifname . ifname",  # from . into; (link, link) for frames that a bridge shows netfilter
        "masq4": "set ipv4_addr interval",  # sources that leave with the scope's address
        "masq6": "set ipv6_addr interval",
        "snat4": "map ipv4_addr : ipv4_addr interval",  # sources that leave with a fixed address
        "snat6": "map ipv6_addr : ipv6_addr interval",
        "keep4": "set ipv4_addr . ifname interval",  # sources that do not change when they leave by this link
        "keep6": "set ipv6_addr . ifname interval",
        "hairpin4": "set ifname . ipv4_addr interval",  # a link, and a subnet of it with a port map's target
        "hairpin6": "set ifname . ipv6_addr interval",
    }
)


class Chain(NamedTuple):
    """A chain: ``base`` is its type, hook and priority, "" for one that is only jumped to."""

    base: str
    rules: tuple[str, ...]


CHAINS: Mapping[str, Chain] = MappingProxyType(
    {
        ADMIN_CHAIN: Chain("", ()),
        "publish": Chain(
            "",
            (
                "dnat ip to ip daddr . meta l4proto . th dport map @pub_addr4",
                "meta nfproto ipv4 dnat ip to meta l4proto . th dport map @pub_any4",
                "dnat ip6 to ip6 daddr . meta l4proto . th dport map @pub_addr6",
                "meta nfproto ipv6 dnat ip6 to meta l4proto . th dport map @pub_any6",
            ),
        ),
        # route_localnet lets in packets of neighbours to 127.0.0.1: they must not get to the DNAT
        "raw": Chain(
            "filter prerouting -300",
            (
                'iifname != "lo" ip daddr 127.0.0.0/8 drop',
                'iifname != "lo" ip saddr 127.0.0.0/8 drop',
            ),
        ),
        "prerouting": Chain("nat prerouting -100", ("fib daddr type local jump publish",)),
        # the kernel routes nothing from ::1 to another link: with DNAT a connection would time out, not be refused
        "output": Chain("nat output -100", ("ip6 daddr ::1 return", "fib daddr type local jump publish")),
        "forward": Chain(
            "filter forward 0",
            (
                f"jump {ADMIN_CHAIN}",
                "ct state established,related accept",
                "iifname . oifname @allowed accept",
                "iifname @internal drop",
                "ct status dnat accept",
                "oifname @isolated drop",
            ),
        ),
        "postrouting": Chain(
            "nat postrouting 100",
            (
                "ct status dnat fib saddr type local masquerade",  # a target cannot answer 127.0.0.1
                "ct status dnat oifname . ip saddr @hairpin4 masquerade",
                "ct status dnat oifname . ip6 saddr @hairpin6 masquerade",
                "ip saddr . oifname @keep4 return",
                "ip6 saddr . oifname @keep6 return",
                "snat ip to ip saddr map @snat4",
                "snat ip6 to ip6 saddr map @snat6",
                "ip saddr @masq4 masquerade",
                "ip6 saddr @masq6 masquerade",
            ),
        ),
    }
)


# What the chains and sets need, as an inet table.
FEATURES: Mapping[str, str] = MappingProxyType(
    {"": "CONFIG_NF_TABLES_INET, CONFIG_NFT_FIB_INET, CONFIG_NFT_CT, CONFIG_NFT_NAT, CONFIG_NFT_MASQ"}
)


def _set_text(name: str) -> str:
    keyword, _, types = SETS[name].partition(" ")
    interval = types.endswith(" interval")
    flags = " flags interval;" if interval else ""
    return f"  {keyword} {name} {{ type {types.removesuffix(' interval')};{flags} }}"


def _chain_text(name: str) -> str:
    chain = CHAINS[name]
    lines = [f"  chain {name} {{"]
    if chain.base:
        kind, hook, priority = chain.base.split()
        lines.append(f"    type {kind} hook {hook} priority {priority}; policy accept;")
    return "\n".join([*lines, *(f"    {rule}" for rule in chain.rules), "  }"])


_BODY = "\n".join([*map(_set_text, SETS), *map(_chain_text, CHAINS)])
VERSION = f"{zlib.crc32(_BODY.encode()):08x}"

FRAME: Mapping[str, str] = MappingProxyType(
    {"table": "active", "stamp": VERSION}
    | {f"set {name}": form for name, form in SETS.items()}
    | {f"chain {name}": f"{chain.base} policy accept" if chain.base else "regular" for name, chain in CHAINS.items()}
    | {f"rules {name}": "as declared" for name, chain in CHAINS.items() if chain.rules}
)


def frame_text(table: str, live: Mapping[str, str]) -> str:
    """The nft commands that turn a table's fixed part ``live``, {} for no table, into FRAME.

    They are one transaction, so that no packet meets a part of the rules.  Our chains are flushed and filled again,
    foreign parts are deleted.  What cannot change in place (a set's type, a chain's hook) is deleted and created
    again; all other sets keep their elements.
    """
    lines = [f"add table inet {table}"]
    if live:
        lines += _clear(f"inet {table}", live)
    # no rule jumps to it: its comment has the digests of the rules
    stamp = f'  chain {STAMP_CHAIN} {{ comment "{VERSION}"; }}'
    return "\n".join([*lines, f"table inet {table} {{", _BODY, stamp, "}"])


def _clear(table: str, live: Mapping[str, str]) -> Iterator[str]:
    chains = [name for part in live if (name := part.removeprefix("chain ")) != part]
    sets = [name for part in live if (name := part.removeprefix("set ")) != part]
    for chain in chains:
        if chain != ADMIN_CHAIN or live[f"chain {ADMIN_CHAIN}"] != "regular":
            yield f"flush chain {table} {chain}"
    if live.get("stamp", "missing") != "missing":
        yield f"flush chain {table} {STAMP_CHAIN}"
        yield f"delete chain {table} {STAMP_CHAIN}"
    for name in sets:  # before the chains: a foreign verdict map may refer to one
        if SETS.get(name) != live[f"set {name}"]:
            yield f"delete set {table} {name}"
    for chain in chains:
        if _fixed(live[f"chain {chain}"]) != _fixed(FRAME.get(f"chain {chain}", "")):
            yield f"delete chain {table} {chain}"


def _fixed(chain: str) -> str:
    return chain.split(" policy")[0]  # a chain's policy can be changed in place


# ------------------------------------------------------------------ elements


class Element(NamedTuple):
    """One element of one of our sets, in nft's notation."""

    set: str
    key: str
    value: str = ""

    @property
    def text(self) -> str:
        return f"{self.key} : {self.value}" if self.value else self.key


class ElementDifference(NamedTuple):
    """An element that a live object has too much ("extra") or that it should have ("lacks")."""

    what: str
    element: Element


def written(element: tuple[Any, ...]) -> str:
    """A key or value tuple of TableRow.elements in nft's notation."""
    return " . ".join(str(part) for part in element)


def quoted(link: str) -> str:
    """A link's name in nft's notation."""
    return f'"{link}"'


def members(table: TableRow, name: str) -> Mapping[tuple[Any, ...], tuple[Any, ...]]:
    """The elements of a set; none where its definition is wrong, since it is then created again."""
    if table.frame.get(f"set {name}") != SETS[name]:
        return {}
    elements = table.elements.get(name, {})
    return {key: value for key, value in elements.items() if key} if () in elements else elements


def catch_alls(table: TableRow) -> Iterator[Element]:
    """The catch-all elements (*) of our sets: none is ours, and no object has one."""
    for name, form in SETS.items():
        if table.frame.get(f"set {name}") == form and () in table.elements.get(name, {}):
            yield Element(name, "*")


def damage(expected: Iterable[Element], actual: Iterable[Element]) -> tuple[ElementDifference, ...]:
    """The differences of an object that has the elements ``actual`` and should have ``expected``."""
    want, have = set(expected), set(actual)
    lacks = (ElementDifference("lacks", element) for element in sorted(want - have))
    return (*lacks, *(ElementDifference("extra", element) for element in sorted(have - want)))


def told(differences: tuple[ElementDifference, ...]) -> list[str]:
    """Differences in words: ``lacks pub_any4 { tcp . 80 : 10.0.0.2 . 80 }``."""
    return [f"{what} {element.set} {{ {element.text} }}" for what, element in differences]


def damaged(expected: Iterable[Element], differences: tuple[ElementDifference, ...]) -> list[Element]:
    """The elements that an object really has: the reverse of ``damage``."""
    lost = {element for what, element in differences if what == "lacks"}
    return [element for element in expected if element not in lost] + [
        element for what, element in differences if what == "extra"
    ]


def move(scope: str, table: str, before: Iterable[Element], after: Iterable[Element]) -> list[NftElement]:
    """The requests that turn the elements ``before`` into ``after``; a new value needs a deletion and an addition."""
    have, want = dict.fromkeys(before), dict.fromkeys(after)
    gone = [NftElement(scope, table, e.set, "delete", e.key) for e in have if e not in want]
    return gone + [NftElement(scope, table, e.set, "add", e.text) for e in want if e not in have]


def table_key(scope: str, table: str) -> Key:
    """The key of a table's object."""
    return Key("nft_table", scope, table)


def owned_tables(reading: Reading) -> Iterator[tuple[TableRow, str]]:
    """Our tables of the scope, each with the topology in its name."""
    for table in reading.state.tables.values():
        yield table, table_owner(table.name)
