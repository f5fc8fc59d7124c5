"""Whatever is done to our table by hand is seen, named, and repaired in one transaction."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from typing import Any

import nat_lab
import pytest
from nat_lab import converge, differing, live, run

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.nftables import nft_tables
from reconciler.kinds.nat import ruleset
from reconciler.model.keys import HOST, Key
from reconciler.model.requests import NftElement, NftFrame

pytestmark = pytest.mark.live

T = "inet netrecon-lab"
TABLE = "nft_table/host/netrecon-lab"
FORWARD = "type filter hook forward priority"

TOPOLOGY = {
    "port_maps": [
        "8001:172.16.0.2:80",
        "192.0.2.1:8002:172.16.0.2:80/udp",
        "[::]:8001:[fd00:16::2]:80",
        "[2001:db8::1]:8002:[fd00:16::2]:80/udp",
    ],
    "masquerades": [
        {"source": "172.16.0.0/24"},
        {"source": "172.16.1.0/24", "to": "192.0.2.7", "except_out": ["br1"]},
        {"source": "fd00:16::/64"},
        {"source": "fd00:17::/64", "to": "2001:db8::7"},
    ],
    "isolations": [{"link": "br0", "allow": ["br1"]}, {"link": "eth0", "internal": True}],
}


@pytest.fixture
def desired(kernel: Kernel) -> Iterator[dict[Key, Any]]:
    nat_lab.refuse_real_machine()
    for link in nat_lab.ADDRESSES:
        run(f"ip link add {link} type bridge")
    objects = nat_lab.wanted(TOPOLOGY)
    converge(kernel, objects)
    assert differing(kernel, objects) == set()
    return objects


FRAME_DAMAGE = {
    "chain_flushed": f"flush chain {T} forward",
    "rule_inserted": f"insert rule {T} forward accept",
    "rule_appended": f"add rule {T} postrouting masquerade",
    "rule_replaced_in_order": f"flush chain {T} output; add rule {T} output fib daddr type local jump publish;"
    f" add rule {T} output ip6 daddr ::1 return",
    "rule_with_anonymous_set": f"add rule {T} forward ip saddr {{ 192.0.2.3, 192.0.2.4 }} accept",
    "policy_drop": f"add chain {T} forward {{ policy drop; }}",
    "priority_changed": f"flush chain {T} forward; delete chain {T} forward; add chain {T} forward {{ {FORWARD} 5; }}",
    "hook_changed": f"flush chain {T} raw; delete chain {T} raw;"
    f" add chain {T} raw {{ type filter hook input priority -300; }}",
    "chain_unhooked": f"flush chain {T} raw; delete chain {T} raw; add chain {T} raw",
    "chain_deleted": f"flush chain {T} prerouting; delete chain {T} prerouting",
    "dormant": f"add table {T} {{ flags dormant; }}",
    "foreign_chain": f"add chain {T} foreign; add rule {T} foreign accept",
    "foreign_base_chain": f"add chain {T} foreign {{ {FORWARD} 10; policy drop; }}",
    "foreign_chain_jumped_to": f"add chain {T} foreign; add rule {T} forward jump foreign",
    "foreign_set": f"add set {T} foreign {{ type ipv4_addr; }}; add element {T} foreign {{ 192.0.2.3 }}",
    "foreign_verdict_map": f"add chain {T} foreign; add map {T} vm {{ type ipv4_addr : verdict; }};"
    f" add element {T} vm {{ 192.0.2.3 : jump foreign }}; add rule {T} forward ip saddr vmap @vm",
    "set_with_other_flags": f"flush chain {T} forward; delete set {T} isolated;"
    f" add set {T} isolated {{ type ifname; flags timeout; }}; add element {T} isolated {{ br0 timeout 1h }}",
    "map_with_a_size": f"flush chain {T} publish; delete map {T} pub_any4;"
    f" add map {T} pub_any4 {{ type inet_proto . inet_service : ipv4_addr . inet_service; size 8; }}",
    "map_deleted": f"flush chain {T} postrouting; delete map {T} snat4",
    "stamp_deleted": f"delete chain {T} stamp",
    "rule_in_the_stamp_chain": f"add rule {T} stamp accept",
    "catch_all_element": f"add element {T} pub_any4 {{ * : 172.16.0.9 . 80 }}",
    "hairpin_removed": f'delete element {T} hairpin4 {{ "br0" . 172.16.0.0/24 }}',
    "hairpin_foreign": f'add element {T} hairpin6 {{ "br9" . fd00:99::/64 }}',
}
ELEMENT_DAMAGE = {
    "map_removed": (f"delete element {T} pub_any4 {{ tcp . 8001 }}", {"port_map/host/tcp/0.0.0.0:8001"}),
    "map_retargeted": (
        (
            f"delete element {T} pub_addr4 {{ 192.0.2.1 . udp . 8002 }};"
            f" add element {T} pub_addr4 {{ 192.0.2.1 . udp . 8002 : 172.16.0.9 . 80 }}"
        ),
        {"port_map/host/udp/192.0.2.1:8002"},
    ),
    "map_commented": (
        (
            f"delete element {T} pub_any4 {{ tcp . 8001 }};"
            f' add element {T} pub_any4 {{ tcp . 8001 comment "mine" : 172.16.0.2 . 80 }}'
        ),
        {"port_map/host/tcp/0.0.0.0:8001"},
    ),
    "map_foreign": (f"add element {T} pub_any6 {{ tcp . 1 : fd00::1 . 2 }}", {"port_map/host/tcp/[::]:1"}),
    "map_of_another_protocol": (
        f"add element {T} pub_any4 {{ icmp . 8 : 172.16.0.9 . 80 }}",
        {"port_map/host/icmp/0.0.0.0:8"},
    ),
    "map_of_a_nameless_protocol": (
        f"add element {T} pub_addr4 {{ 192.0.2.1 . 136 . 8 : 172.16.0.9 . 80 }}",
        {"port_map/host/136/192.0.2.1:8"},
    ),
    "map_of_the_any_address_as_one_address": (
        f"add element {T} pub_addr4 {{ 0.0.0.0 . tcp . 8001 : 172.16.0.2 . 80 }}",
        {"port_map/host/tcp/0.0.0.0:8001"},
    ),
    "map_of_the_any_address_instead_of_ours": (
        (
            f"delete element {T} pub_any4 {{ tcp . 8001 }};"
            f" add element {T} pub_addr4 {{ 0.0.0.0 . tcp . 8001 : 172.16.0.9 . 80 }}"
        ),
        {"port_map/host/tcp/0.0.0.0:8001"},
    ),
    "map_of_the_any_address_that_nobody_wants": (
        f"add element {T} pub_addr6 {{ :: . tcp . 99 : fd00::9 . 80 }}",
        {"port_map/host/tcp/[::]:99"},
    ),
    "masquerade_removed": (f"delete element {T} masq4 {{ 172.16.0.0/24 }}", {"masquerade/host/172.16.0.0/24"}),
    "masquerade_foreign": (f"add element {T} masq4 {{ 10.0.0.0/8 }}", {"masquerade/host/10.0.0.0/8"}),
    "masquerade_foreign_range": (
        f"add element {T} masq4 {{ 10.0.0.3-10.0.0.9 }}",
        {"masquerade/host/10.0.0.3-10.0.0.9"},
    ),
    "masquerade_everything": (f"add element {T} masq6 {{ fd80::-ffff:: }}", {"masquerade/host/fd80::-ffff::"}),
    "exception_removed": (
        f'delete element {T} keep4 {{ 172.16.0.0/24 . "br0" }}',
        {"masquerade/host/172.16.0.0/24"},
    ),
    "exception_foreign": (
        f'add element {T} keep6 {{ fd00:16::/64 . "eth0" }}',
        {"masquerade/host/fd00:16::/64"},
    ),
    "fixed_address_changed": (
        f"delete element {T} snat4 {{ 172.16.1.0/24 }}; add element {T} snat4 {{ 172.16.1.0/24 : 192.0.2.1 }}",
        {"masquerade/host/172.16.1.0/24"},
    ),
    "both_masqueraded_and_fixed": (
        f"add element {T} masq4 {{ 172.16.1.0/24 }}",
        {"masquerade/host/172.16.1.0/24"},
    ),
    "isolation_removed": (f"delete element {T} isolated {{ br0 }}", {"isolation/host/br0"}),
    "isolation_foreign": (f"add element {T} isolated {{ br1 }}", {"isolation/host/br1"}),
    "allowed_removed": (f"delete element {T} allowed {{ br1 . br0 }}", {"isolation/host/br0"}),
    "own_frames_removed": (f"delete element {T} allowed {{ br0 . br0 }}", {"isolation/host/br0"}),
    "allowed_foreign": (f"add element {T} allowed {{ lo . br0 }}", {"isolation/host/br0"}),
    "internal_removed": (f"delete element {T} internal {{ eth0 }}", {"isolation/host/eth0"}),
    "internal_foreign": (f"add element {T} internal {{ br1 }}", {"isolation/host/br1"}),
    "set_flushed": (f"flush set {T} isolated", {"isolation/host/br0", "isolation/host/eth0"}),
}


def nft(commands: str) -> None:
    run(f"nft '{commands}'")


@pytest.mark.parametrize("name", FRAME_DAMAGE)
def test_a_damaged_frame_is_seen_and_repaired(name: str, kernel: Kernel, desired: dict[Key, Any]) -> None:
    nft(FRAME_DAMAGE[name])
    assert TABLE in differing(kernel, desired)
    converge(kernel, desired)
    assert differing(kernel, desired) == set()
    assert converge(kernel, desired) == 0


@pytest.mark.parametrize("name", ELEMENT_DAMAGE)
def test_a_damaged_element_is_seen_and_repaired(name: str, kernel: Kernel, desired: dict[Key, Any]) -> None:
    commands, keys = ELEMENT_DAMAGE[name]
    nft(commands)
    assert differing(kernel, desired) == keys
    converge(kernel, desired)
    assert differing(kernel, desired) == set()


def test_every_rule_counts(kernel: Kernel, desired: dict[Key, Any]) -> None:
    for chain, declared in ruleset.CHAINS.items():
        for number in range(len(declared.rules)):
            rules = [item["rule"] for item in nft_json(f"-a list chain {T} {chain}") if "rule" in item]
            nft(f"delete rule {T} {chain} handle {rules[number]['handle']}")
            assert differing(kernel, desired) == {TABLE}, (chain, declared.rules[number])
            converge(kernel, desired)
            assert differing(kernel, desired) == set()


def test_a_deleted_table_is_made_again_whole(kernel: Kernel, desired: dict[Key, Any]) -> None:
    nft(f"delete table {T}")
    assert differing(kernel, desired) == set(map(str, desired))
    converge(kernel, desired)
    assert differing(kernel, desired) == set()


def test_all_damage_at_once(kernel: Kernel, desired: dict[Key, Any]) -> None:
    for name in ("chain_flushed", "foreign_verdict_map", "set_with_other_flags", "dormant", "stamp_deleted"):
        nft(FRAME_DAMAGE[name])
    for name in ("map_retargeted", "masquerade_foreign", "exception_removed"):
        nft(ELEMENT_DAMAGE[name][0])
    converge(kernel, desired)
    assert differing(kernel, desired) == set()


def test_killed_before_the_stamp_is_drift(kernel: Kernel, desired: dict[Key, Any]) -> None:
    text = ruleset.frame_text("netrecon-lab", {})
    nft(f"delete table {T}")
    assert nft_tables._execute(kernel, HOST, text) is None
    assert TABLE in differing(kernel, desired)
    converge(kernel, desired)
    assert differing(kernel, desired) == set()


def test_repair_keeps_the_elements_it_need_not_touch(kernel: Kernel, desired: dict[Key, Any]) -> None:
    nft(f"flush chain {T} forward")
    key = Key("nft_table", HOST, "netrecon-lab")
    request, _ = nat_lab.KINDS["nft_table"].update(live(kernel)[key].object, desired[key], "lab")
    assert isinstance(request, NftFrame)
    assert "delete" not in request.text.replace(f"delete chain {T} stamp", "")
    assert nft_tables.transact(kernel, HOST, [request]) is None
    assert differing(kernel, desired) == set()


def test_a_table_of_an_older_version_is_brought_up_to_date(kernel: Kernel, desired: dict[Key, Any]) -> None:
    nft(f'delete chain {T} stamp; add chain {T} stamp {{ comment "00000000"; }}')
    assert differing(kernel, desired) == {TABLE}
    converge(kernel, desired)
    assert differing(kernel, desired) == set()


def test_tables_of_others_are_left_alone(kernel: Kernel, desired: dict[Key, Any]) -> None:
    nft("add table ip netrecon-lab; add table inet mine; add chain inet mine c")
    nft("add table inet netrecon-else; add chain inet netrecon-else c")
    before = run("nft list table ip netrecon-lab; nft list table inet mine; nft list table inet netrecon-else")
    nft(f"flush chain {T} forward")
    held = live(kernel)
    assert {item.owner for item in held.values()} == {"lab", "else"}
    converge(kernel, {**desired, **{key: item.object for key, item in held.items() if item.owner == "else"}})
    nat_lab.converge(kernel, {key: item.object for key, item in held.items() if item.owner == "else"})
    assert before == run("nft list table ip netrecon-lab; nft list table inet mine; nft list table inet netrecon-else")


def test_a_failed_transaction_changes_nothing_and_says_why(kernel: Kernel, desired: dict[Key, Any]) -> None:
    requests = [
        NftElement(HOST, "netrecon-lab", "pub_any4", "add", "tcp . 9999 : 172.16.0.2 . 80"),
        NftElement(HOST, "netrecon-lab", "pub_any4", "add", "tcp . 8001 : 172.16.0.9 . 80"),
    ]
    failure = nft_tables.transact(kernel, HOST, requests)
    assert failure is not None
    assert failure.errno == 17
    assert "\n" not in str(failure)
    assert differing(kernel, desired) == set()


# ------------------------------------------------------------------ nft as the oracle


def nft_json(arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run(f"nft -j {arguments}"))["nftables"]
    return found


def test_elements_are_what_nft_lists(kernel: Kernel, desired: dict[Key, Any]) -> None:
    extra = [
        ("pub_any4", ", ".join(f"udp . {port} : 172.16.{port % 7}.{port % 250} . {port}" for port in range(1, 3000))),
        ("pub_addr6", ", ".join(f"fd00::{port:x} . sctp . {port} : fd00:16::{port:x} . 1" for port in range(1, 900))),
        ("masq4", "0.0.0.0/5, 192.0.0.0/2, 10.1.2.3, 10.1.2.4, 11.0.0.0/8, 12.0.0.0/8"),
        ("snat6", "::/16 : fd00::1, ffff::/16 : fd00::2"),
        ("keep4", '0.0.0.0/0 . "a", 10.0.0.3-10.0.0.9 . "b"'),
    ]
    for name, text in extra:
        nft(f"add element {T} {name} {{ {text} }}")
    table = nft_tables.read_tables(kernel, HOST)["netrecon-lab"]
    rows = [row for item in nft_json(f"list table {T}") for kind, row in item.items() if kind in ("set", "map")]
    listed = {row["name"]: row for row in rows}
    assert set(listed) == set(ruleset.SETS) == set(table.elements)
    for name, found in listed.items():
        interval = "interval" in found.get("flags", ())
        expected = dict(_entry(item, "map" in found, interval) for item in found.get("elem", ()))
        assert table.elements[name] == expected, name
    assert len(table.elements["pub_any4"]) > 2990


def _entry(item: Any, is_map: bool, interval: bool) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    key, value = item if is_map else (item, None)
    return _oracle(key, interval), _oracle(value, False) if is_map else ()


def _oracle(item: Any, interval: bool) -> tuple[Any, ...]:
    parts = item["concat"] if isinstance(item, dict) and "concat" in item else [item]
    return tuple(_part(part, interval) for part in parts)


def _part(part: Any, interval: bool) -> Any:
    if isinstance(part, dict) and "prefix" in part:
        return f"{part['prefix']['addr']}/{part['prefix']['len']}"
    if isinstance(part, dict):
        return "-".join(part["range"])
    if interval and isinstance(part, str) and (part[0].isdigit() or ":" in part):  # one address, without its length
        return str(ipaddress.ip_network(part))
    return part
