"""Port maps, masquerades and isolations as written: their normal form, and what is wrong with the others."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest

from reconciler.kinds.context import Claim, Names, Parsed, Source
from reconciler.kinds.kind import Kind
from reconciler.kinds.nat import isolation, masquerade, nft_table, port_map, ruleset
from reconciler.kinds.nat.port_map import PortMap
from reconciler.kinds.nat.target_links import published_links
from reconciler.model.keys import HOST, Key, Origin
from reconciler.model.requests import ForgetFlows, NftElement, NftFrame

TABLE = "netrecon-t"


def read(kind: Kind, data: dict[str, Any], file: str = "t.yaml") -> tuple[list[Parsed], list[tuple[str, str]]]:
    problems: list[tuple[str, str]] = []
    source = Source(
        "t",
        HOST,
        data,
        lambda path: Origin(file, int(path[1]) + 1 if len(path) > 1 else 1, 1, path),
        lambda path, message: problems.append((dotted(path), message)),
    )
    return list(kind.parse(source)), problems


def dotted(path: tuple[Any, ...]) -> str:
    return ".".join(map(str, path))


def maps(*entries: Any) -> list[PortMap]:
    parsed, problems = read(port_map.KIND, {"port_maps": list(entries)})
    assert problems == []
    return [item for _, item, _ in parsed]


@pytest.mark.parametrize(
    ("entry", "key", "target", "port"),
    [
        ("9091:172.16.0.2:80", "tcp/0.0.0.0:9091", "172.16.0.2", 80),
        ("127.0.0.1:9091:172.16.0.2:80/udp", "udp/127.0.0.1:9091", "172.16.0.2", 80),
        ("[::]:8443:[fd00::2]:443/tcp", "tcp/[::]:8443", "fd00::2", 443),
        ("8443:[FD00:0::2]:443/SCTP", "sctp/[::]:8443", "fd00::2", 443),
        ("[2001:db8:0::1]:1:[fd00::2]:65535", "tcp/[2001:db8::1]:1", "fd00::2", 65535),
        ({"listen": 9091, "target": "172.16.0.2:80"}, "tcp/0.0.0.0:9091", "172.16.0.2", 80),
        ({"listen": "0.0.0.0:22", "target": "10.0.0.2:22", "protocol": "udp"}, "udp/0.0.0.0:22", "10.0.0.2", 22),
        ({"listen": "[::]:22", "target": "[fd00::2]:22"}, "tcp/[::]:22", "fd00::2", 22),
    ],
)
def test_spellings(entry: Any, key: str, target: str, port: int) -> None:
    ((found, item, _),), problems = read(port_map.KIND, {"port_maps": [entry]})
    assert problems == []
    assert str(found) == f"port_map/host/{key}"
    assert (item.target, item.target_port, item.table) == (target, port, TABLE)


def test_a_range_becomes_one_object_per_port() -> None:
    found = maps("8000-8002:172.16.0.2:9000-9002")
    assert [(item.port, item.target_port) for item in found] == [(8000, 9000), (8001, 9001), (8002, 9002)]


WRONG = {
    "9091:172.16.0.2": "lacks a target address or a target port",
    "9091:80": "lacks a target address or a target port",
    "9091:web:80": "target must be an IP address",
    "9091:172.16.0.256:80": "target must be an IPv4 address",
    "9091:fd00::2:80": "an IPv6 address stands in brackets",
    "9091:[172.16.0.2]:80": "an IPv4 address does not",
    "0:172.16.0.2:80": "ports are 1 to 65535",
    "70000:172.16.0.2:80": "ports are 1 to 65535",
    "x:172.16.0.2:80": '"x" is not a port',
    ":172.16.0.2:80": '"" is not a port',
    "9091:172.16.0.2:": '"" is not a port',
    "8009-8000:172.16.0.2:8000-8009": "is reversed; write 8000-8009",
    "8000-8009:172.16.0.2:8000-8008": "must be of equal length, as 8000-8009",
    "8000-8009:172.16.0.2:80": "must be of equal length, as 80-89",
    "80:172.16.0.2:80-81": "must be of equal length, as 80",
    "9091:172.16.0.2:80/icmp": "tcp, udp or sctp",
    "0.0.0.0:9091:[fd00::2]:80": "two families",
    "[::]:9091:172.16.0.2:80": "two families",
    "9091:127.0.0.1:80": "a loopback address",
    "9091:224.0.0.1:80": "a multicast address",
    "9091:0.0.0.0:80": "the unspecified address",
    "9091:255.255.255.255:80": "a broadcast address",
    "224.0.0.1:9091:172.16.0.2:80": "no address that a host can have",
    "[::1]:9091:[fd00::2]:80": "::1 cannot be published",
    "1:2:3:4:5:6": "brackets",
    "nonsense []": "is not a port map",
}


@pytest.mark.parametrize("entry", WRONG)
def test_wrong_strings(entry: str) -> None:
    parsed, ((path, message),) = read(port_map.KIND, {"port_maps": [entry]})
    assert parsed == []
    assert path == "port_maps.0"
    assert WRONG[entry] in message


@pytest.mark.parametrize(
    ("entry", "path", "message"),
    [
        ({"listen": 0, "target": "10.0.0.2:80"}, "listen", "no port 0"),
        ({"listen": "80", "target": "10.0.0.2"}, "target", "lacks its port"),
        ({"listen": "80", "target": ":80"}, "target", "lacks its address"),
        ({"listen": "80", "target": "fd00::2:80"}, "target", "[fd00::2]:443"),
        ({"listen": "[::1]:80", "target": "[fd00::2]:80"}, "listen", "::1 cannot"),
        ({"listen": "1-2", "target": "10.0.0.2:80"}, "target", "equal length, as 80-81"),
        ({"listen": "1", "target": "10.0.0.2:80", "protocol": "dccp"}, "protocol", "no protocol"),
    ],
)
def test_wrong_mappings(entry: dict[str, Any], path: str, message: str) -> None:
    _, ((where, text),) = read(port_map.KIND, {"port_maps": [entry]})
    assert where == f"port_maps.0.{path}"
    assert message in text


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("80:10.0.0.2:80", "80:10.0.0.3:80"),
        ("80:10.0.0.2:80", "192.0.2.1:80:10.0.0.2:80"),
        ("192.0.2.1:80:10.0.0.2:80", "0.0.0.0:80:10.0.0.2:80"),
        ("70-90:10.0.0.2:70-90", "80-100:10.0.0.2:80-100"),
        ("[::]:80:[fd00::2]:80", "[2001:db8::1]:80:[fd00::2]:80"),
    ],
)
def test_overlaps_name_the_other_line(first: str, second: str) -> None:
    _, ((path, message),) = read(port_map.KIND, {"port_maps": [first, second]})
    assert path == "port_maps.1"
    assert "at t.yaml:1" in message


def test_no_overlap_between_protocols_families_and_addresses() -> None:
    assert len(maps("80:10.0.0.2:80", "80:10.0.0.2:80/udp", "[::]:80:[fd00::2]:80")) == 3
    assert len(maps("192.0.2.1:80:10.0.0.2:80", "192.0.2.2:80:10.0.0.2:80")) == 2


def test_overlaps_between_topologies_are_told_once_per_pair() -> None:
    one, _ = read(port_map.KIND, {"port_maps": ["80-89:10.0.0.2:80-89"]}, "one.yaml")
    two, _ = read(port_map.KIND, {"port_maps": ["85-95:10.0.0.3:85-95"]}, "two.yaml")
    claims = [Claim(mapped, origin.file, origin) for _, mapped, origin in (*one, *two)]
    ((later, text),) = port_map.clashes(claims)
    assert (later.object.port, str(later.origin)) == (85, "two.yaml:1")
    assert text == "tcp/0.0.0.0:85 is published already at one.yaml:1 (to 10.0.0.2 port 85)"


def test_a_port_of_another_run_s_topology_is_told_by_its_name() -> None:
    (there,), _ = read(port_map.KIND, {"port_maps": ["127.0.0.1:80:10.0.0.2:80"]})
    (here,), _ = read(port_map.KIND, {"port_maps": ["80:10.0.0.3:80"]})
    ((_, text),) = port_map.clashes([Claim(there[1], "other", None), Claim(here[1], "lab", here[2])])
    assert text == "tcp/0.0.0.0:80 overlaps tcp/127.0.0.1:80, which topology other publishes"


def test_a_retargeted_map_is_deleted_and_added_in_one_transaction() -> None:
    before, after = maps("80:10.0.0.2:80")[0], maps("80:10.0.0.3:80")[0]
    assert port_map.KIND.update(before, after, "t") == [
        NftElement(HOST, TABLE, "pub_any4", "delete", "tcp . 80"),
        NftElement(HOST, TABLE, "pub_any4", "add", "tcp . 80 : 10.0.0.3 . 80"),
        ForgetFlows(HOST, "tcp", "0.0.0.0", 80, "10.0.0.2", 80),
        ForgetFlows(HOST, "tcp", "0.0.0.0", 80, "10.0.0.3", 80, others=True),
    ]


def test_a_remark_on_an_element_costs_no_flow() -> None:
    (mapped,) = maps("80:10.0.0.2:80")
    (own,) = port_map.elements(mapped)
    remarked = dataclasses.replace(
        mapped, damage=ruleset.damage([own], [own._replace(value=f"{own.value} comment mine")])
    )
    assert not [one for one in port_map.KIND.update(remarked, mapped, "t") if isinstance(one, ForgetFlows)]


# ------------------------------------------------------------------ masquerades


@pytest.mark.parametrize(
    ("entry", "path", "message"),
    [
        ({"source": "10.0.0.1/24"}, "source", "host bits set; the prefix is 10.0.0.0/24"),
        ({"source": "web"}, "source", "is not a prefix"),
        ({"source": "10.0.0.0/24", "to": "fd00::1"}, "to", "two families"),
        ({"source": "10.0.0.0/24", "to": "127.0.0.1"}, "to", "cannot leave as a source"),
        ({"source": "10.0.0.0/24", "to": "x"}, "to", "not an IP address"),
    ],
)
def test_wrong_masquerades(entry: dict[str, Any], path: str, message: str) -> None:
    _, ((where, text),) = read(masquerade.KIND, {"masquerades": [entry]})
    assert where == f"masquerades.0.{path}"
    assert message in text


def test_overlapping_sources() -> None:
    data = {"masquerades": [{"source": "10.0.0.0/8"}, {"source": "10.1.0.0/16"}, {"source": "fd00::/8"}]}
    parsed, ((path, message),) = read(masquerade.KIND, data)
    assert [key.name for key, _, _ in parsed] == ["10.0.0.0/8", "fd00::/8"]
    assert path == "masquerades.1.source"
    assert "overlaps 10.0.0.0/8, masqueraded at t.yaml:1" in message


def names_of(*parsed: Parsed, addresses: dict[str, str] | None = None) -> Names:
    objects: dict[Key, Any] = {key: item for key, item, _ in parsed}
    for address, link in (addresses or {}).items():
        objects[Key("address", HOST, f"{link}/{address}")] = SimpleNamespace(scope=HOST, link=link, address=address)
    by_scope: dict[tuple[str, str], list[Key]] = {}
    for key in objects:
        by_scope.setdefault((key.scope, key.kind), []).append(key)
    links = {(HOST, link): Key("bridge", HOST, link) for link in (addresses or {}).values()}
    return Names(objects, links, by_scope, set(), "t", {key: origin for key, _, origin in parsed})


ADDRESSES = {"10.0.0.1/24": "br0", "10.0.1.1/24": "br1", "fd00::1/64": "br0", "192.0.2.1/24": "eth0"}


def test_except_out_is_filled_with_the_links_of_the_subnet() -> None:
    parsed, _ = read(masquerade.KIND, {"masquerades": [{"source": "10.0.0.0/16"}, {"source": "10.9.0.0/16"}]})
    filled = {key.name: item.except_out for key, item, _ in masquerade.imply(names_of(*parsed, addresses=ADDRESSES))}
    assert filled == {"10.0.0.0/16": ("br0", "br1"), "10.9.0.0/16": ()}


def test_except_out_as_written_is_kept() -> None:
    parsed, _ = read(masquerade.KIND, {"masquerades": [{"source": "10.0.0.0/24", "except_out": []}]})
    assert list(masquerade.imply(names_of(*parsed, addresses=ADDRESSES))) == []


def test_unknown_links_are_named_with_the_nearest() -> None:
    data = {
        "masquerades": [{"source": "10.0.0.0/24", "except_out": ["br0", "br2"]}],
        "isolations": [{"link": "eth", "allow": ["bro"]}],
    }
    parsed = [*read(masquerade.KIND, data)[0], *read(isolation.KIND, data)[0]]
    names = names_of(*parsed, addresses=ADDRESSES)
    ((path, message),) = masquerade.check(parsed[0][1], names)
    assert path == ("except_out",)
    assert 'no link "br2" in host' in message
    found = dict(isolation.check(parsed[1][1], names))
    assert set(found) == {("link",), ("allow",)}


# ------------------------------------------------------------------ isolations


def test_a_link_is_isolated_once() -> None:
    _, ((path, message),) = read(isolation.KIND, {"isolations": [{"link": "br0"}, {"link": "br0", "internal": True}]})
    assert path == "isolations.1.link"
    assert "br0 is isolated already at t.yaml:1" in message


def test_what_is_internal_cannot_be_allowed_elsewhere() -> None:
    data = {"isolations": [{"link": "br0", "allow": ["br1"]}, {"link": "br1", "internal": True}]}
    parsed, _ = read(isolation.KIND, data)
    ((path, message),) = isolation.check(parsed[0][1], names_of(*parsed, addresses=ADDRESSES))
    assert path == ("allow",)
    assert "br1 is internal" in message


# ------------------------------------------------------------------ the table


def test_published_links_are_those_whose_subnet_holds_a_target() -> None:
    parsed, _ = read(port_map.KIND, {"port_maps": ["1:10.0.0.2:1", "2:[fd00::2]:2", "3:10.9.9.9:3"]})
    names = names_of(*parsed, addresses={**ADDRESSES, "10.0.0.9/16": "br0"})
    assert published_links(names, HOST) == {"br0": ["10.0.0.0/16", "fd00::/64"]}
    assert published_links(names_of(addresses=ADDRESSES), HOST) == {}


def test_one_table_for_each_scope_that_needs_one() -> None:
    parsed, _ = read(port_map.KIND, {"port_maps": ["1:10.0.0.2:1"]})
    ((key, table, origin),) = nft_table.imply(names_of(*parsed, addresses=ADDRESSES))
    assert str(key) == "nft_table/host/netrecon-t"
    assert dict(table.frame) == dict(ruleset.FRAME)
    assert table.hairpin == (("br0", "10.0.0.0/24"),)
    assert origin == parsed[0][2]
    assert list(nft_table.imply(names_of(addresses=ADDRESSES))) == []
    requests = nft_table.create(table, "t")
    assert isinstance(requests[0], NftFrame)
    assert nft_table.update(table, table, "t") == []


def test_the_rules_do_not_depend_on_the_topology() -> None:
    one, other = (ruleset.frame_text(name, {}) for name in ("netrecon-a", "netrecon-b"))
    assert one.replace("netrecon-a", "netrecon-b") == other
    assert len(f"{ruleset.VERSION} " + " ".join(f"{name}:01234567" for name in ruleset.CHAINS)) < 128
