"""The schema accepts the language and explains what is not in it; situations are files of tests/cases/invalid."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from reconciler.language import document, schema
from reconciler.model.errors import InputError

HEAD = "version: 1\nname: lab\n"
HERE = Path(__file__).parents[1]
CASES = sorted((HERE / "cases" / "invalid" / "schema").glob("*.yaml"))
CASES += sorted((HERE / "cases" / "invalid" / "document").glob("*.yaml"))
EXAMPLES = sorted((HERE.parent / "topologies").glob("*.yaml"))

WHOLE = """
version: 1
name: lab
bridges:
  br0: {addresses: [172.16.0.1/24, "FD00::1/64"], mtu: 1400, mac: 02:00:00:00:00:0A, up: false, txqueuelen: 0,
        stp: true, vlan_filtering: false, mcast_snooping: false, nf_call_iptables: true, nf_call_ip6tables: true,
        ageing_time: 0, forward_delay: 200, hello_time: 100, max_age: 600, priority: 65535,
        group_fwd_mask: 8, vlan_default_pvid: 0}
veths:
  veth0: {master: br0, hairpin: true, isolated: true, learning: false, flood: false, cost: 1,
          peer: {namespace: test, name: eth0, mac: 02-is-not-read-here}}
  veth1: {peer: {namespace: host, name: eth.1}}
interfaces: {lo: {addresses: []}, eth0: {master: br0}}
routes:
  - {to: default, via: fd00::2, dev: br0, metric: 0, table: 100, source: 172.16.0.1, onlink: true, scope: link, mtu: 68}
  - {to: 10.0.0.1, type: blackhole, table: main}
  - {to: 10.0.0.0/8, nexthops: [{via: 172.16.0.2, weight: 256, dev: br0, onlink: false}, {dev: br0}]}
sysctls: {net.ipv4.ip_forward: 1, net/ipv4/conf/eth0.5/forwarding: "1", net.ipv4.conf.eth0/5.forwarding: 1,
          net.ipv4.tcp_rmem: 4096 87380 6291456}
port_maps: ["9091:172.16.0.2:80", "[::]:8443:[fd00::2]:443/tcp", 22:172.16.0.2:22,
            {listen: 80, target: "172.16.0.2:80"},
            {listen: "127.0.0.1:5300-5309", target: "172.16.0.2:5300-5309", protocol: udp}]
masquerades: [{source: 172.16.0.0/24, except_out: [br0], to: 10.0.0.1}]
isolations: [{link: br0, allow: [], internal: false}]
dns: {nameservers: [10.0.0.53, fe80::1%eth0], search: [lab.example, .], options: ["ndots:1"]}
hosts: {db: 10.0.0.7, "0": [10.0.0.1, fd00::1]}
networks:
  web: {driver: bridge, subnets: [172.20.0.0/24, "FD00:20::/64"], ipv6: true, gateway: [172.20.0.1, "fd00:20::1"],
        ip_range: 172.20.0.128/25, bridge: docker0, mtu: 1400, internal: false, icc: true, masquerade: true,
        allow: [back], routes: [{to: 10.9.0.0/16, via: 172.20.0.9}], hosts: {db: 10.0.0.7}}
  back: {}
sandboxes:
  nginx: {endpoints: {web: {address: [172.20.0.2, "fd00:20::2"], mac: 02:00:00:00:00:01, name: up0, aliases: [www],
                            default_route: true}, back: {}},
          publish: [80, "9091:80", "127.0.0.1::443/tcp", 22:22, {target: 8000-8009, published: 80, host_ip: "::1",
                    protocol: udp}],
          dns: {}, hosts: {}, routes: [], sysctls: {}}
  probe: {network: none}
namespaces:
  test: {exclusive: false, dns: {}, hosts: {}, bridges: {}, routes: []}
  T.e-s_t: {}
""".replace("02-is-not-read-here", "02:00:00:00:00:0b")


plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.text("abc019 :no_.-~", max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text("ab1 :", min_size=1), inner)),
    max_leaves=30,
)


def messages(text: str) -> list[str]:
    return [str(problem) for problem in schema.check(document.load("lab.yaml", text.encode()))]


def problems_of(file: Path) -> Iterator[str]:
    try:
        found = schema.check(document.load("F", file.read_bytes()))
    except InputError as error:
        found = error.problems
    for problem in found:
        yield str(problem).removeprefix("F:").strip()


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_invalid(file: Path) -> None:
    rows = file.read_text().splitlines()
    expected = [row.removeprefix("# expect: ") for row in rows if row.startswith("# expect: ")]
    assert expected
    assert list(problems_of(file)) == expected


def test_there_are_cases() -> None:
    assert len(CASES) > 80


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_examples_are_valid(file: Path) -> None:
    assert list(problems_of(file)) == []


def test_the_whole_language_is_valid() -> None:
    assert messages(WHOLE) == []


# ------------------------------------------------------------------------------------------------ the bundle


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from nodes(inner)


def test_the_bundle_is_a_schema_and_json() -> None:
    Draft202012Validator.check_schema(schema.bundle())
    assert json.loads(json.dumps(schema.bundle())) == schema.bundle()
    assert schema.bundle()["$id"] == schema.ID
    assert not any(key in node for node in nodes(schema.bundle()) for key in ("oneOf", "anyOf", "x-scope"))


def test_every_reference_leads_somewhere_within_the_bundle() -> None:
    for node in nodes(schema.bundle()):
        if isinstance(node.get("$ref"), str):
            assert schema._followed(node)


def test_every_property_is_described_and_every_mapping_closed() -> None:
    for node in nodes(schema.bundle()):
        properties = node.get("properties")
        if isinstance(properties, dict) and "type" in node:
            assert node["additionalProperties"] is False
            for name, inner in properties.items():
                assert inner.get("description") or schema._followed(inner).get("description"), name


def test_both_scopes_take_the_same_sections() -> None:
    top, inner = schema.bundle()["properties"].keys(), schema.bundle()["$defs"]["namespace"]["properties"].keys()
    assert top - inner == {"version", "name", "namespaces", "networks", "sandboxes", "expect"}
    assert inner - top == {"exclusive"}


def test_every_pattern_is_anchored_and_says_what_is_expected() -> None:
    for node in nodes(schema.bundle()):
        if isinstance(node.get("pattern"), str):
            assert node["pattern"].startswith("^")
            assert node["pattern"].endswith("$")
            assert node["x-expected"]


# ------------------------------------------------------------------------------------------------ two validators


@given(st.one_of(plain, st.fixed_dictionaries({"version": st.just(1), "name": st.just("a")}, optional={
    "bridges": plain, "routes": plain, "sysctls": plain, "port_maps": plain, "hosts": plain, "dns": plain,
    "networks": plain, "sandboxes": plain,
})))  # fmt: skip
def test_both_validators_agree_and_each_refusal_is_explained(data: Any) -> None:
    found = document.Document("F", data, {})
    fast = jsonschema_rs.validator_for(schema.bundle()).is_valid(data)
    assert fast == schema._validator().is_valid(data)
    assert fast == (schema.check(found) == [])


def test_without_the_fast_validator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema_rs", None)
    monkeypatch.setattr(schema, "_fast_validator", schema._fast_validator.__wrapped__)  # not the one that is kept
    assert messages(WHOLE) == []
    assert messages(HEAD + "bridges: {a: {mtu: x}}") == [
        'lab.yaml:3:15: bridges.a.mtu: "x" is not a whole number; write 68 to 65535'
    ]


def test_a_valid_topology_does_not_load_the_slow_validator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    entries = HEAD + "port_maps:\n" + '  - {listen: "127.0.0.1:80", target: "10.0.0.2:80"}\n' * 10_000
    assert schema.check(document.load("F", entries.encode())) == []


def test_numbers_beyond_any_word_size() -> None:
    assert len(messages(HEAD + f"bridges: {{a: {{mtu: {'9' * 90}, txqueuelen: -{'9' * 90}}}}}")) == 2


def test_problems_end_somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    text = HEAD + "routes:\n" + "  - {}\n" * 5_000
    assert len(messages(text)) == 5_000
    monkeypatch.setattr(schema, "MAX_ALIKE", 100)
    assert len(messages(text)) == schema.EXPLAINED + 100


@pytest.mark.parametrize("file", [*EXAMPLES, *CASES[:71]], ids=lambda file: file.stem)
def test_what_is_right_is_left_out_without_another_answer(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        loaded = document.load(file.name, file.read_bytes())
    except InputError:
        pytest.skip("no document")
    whole = schema.check(loaded)
    monkeypatch.setattr(schema, "_LONG", 0)
    short = schema.check(loaded)
    lost = {problem for problem in whole if problem.origin.path}  # with 0 even version and name are left out
    assert lost <= set(short)


def test_one_mistake_in_a_long_mapping(monkeypatch: pytest.MonkeyPatch) -> None:
    names = "".join(f"  b{number}: {{{'stp' if number != 300 else 'stq'}: true}}\n" for number in range(500))
    loaded = document.load("t.yaml", (HEAD + "bridges:\n" + names).encode())
    seen = []
    real = schema._validator()
    monkeypatch.setattr(schema, "_validator", lambda: type("V", (), {"iter_errors": lambda _, data: told(data)})())

    def told(data: Any) -> Any:
        seen.append(data["bridges"])
        return real.iter_errors(data)

    (problem,) = schema.check(loaded)
    assert 'unknown key "stq"' in problem.message
    assert seen == [{"b300": {"stq": True}}]
