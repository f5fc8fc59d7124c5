"""Networks and sandboxes become plain objects: situations are files of tests/cases/lowering, properties are here.

A situation holds: ``given`` (the topology's text), ``leases`` and ``facts`` (fields of Leases and HostFacts, where
they matter), and ``becomes`` (parts of the level one that must come out) or ``problems`` and ``overlaps`` (all
messages, in order).
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from counting import calls
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.cli import main, yaml_writer
from reconciler.language import document, schema
from reconciler.language.networks import lower as lowering
from reconciler.language.networks import naming
from reconciler.language.networks.external import Standing
from reconciler.language.networks.facts import HostFacts, Route
from reconciler.language.networks.ipam import number
from reconciler.language.networks.leases import Lease, Leases
from reconciler.language.networks.model import Held
from reconciler.model.errors import InputError
from reconciler.planning import topology
from reconciler.run import load

CASES = sorted((Path(__file__).parents[1] / "cases" / "lowering").glob("*.yaml"))
WORDS = {"given", "leases", "facts", "becomes", "problems", "overlaps", "lacks"}
HEAD = "version: 1\nname: lab\n"


def loaded(text: str) -> document.Document:
    found = document.load("net.yaml", text.encode())
    assert schema.check(found) == []
    return found


def leases(data: dict[str, Any]) -> Leases:
    endpoints = {link: Lease(one[0], one[1], tuple(one[2:])) for link, one in data.get("endpoints", {}).items()}
    ports = {tuple(key): tuple(value) for key, value in data.get("ports", [])}
    return Leases({name: tuple(value) for name, value in data.get("bridges", {}).items()}, endpoints, ports)  # type: ignore[arg-type]


def facts(data: dict[str, Any]) -> HostFacts:
    forms = {
        "routes": lambda rows: tuple(Route(*one) for one in rows),
        "ports": lambda rows: frozenset((protocol, port) for protocol, port in rows),
        "bridge_nf": frozenset,
        "standing": lambda rows: {(one[0], one[1]): Standing(tuple(one[2]), *one[3:]) for one in rows},
        "held": lambda rows: tuple(Held(bridge, *number(address), whose) for bridge, address, whose in rows),
    }
    return HostFacts(**{word: forms.get(word, lambda same: same)(value) for word, value in data.items()})


def lacking(whole: Any, part: Any, path: str = "") -> list[str]:
    """What of a value is not in another: mappings by key, lists as they are."""
    if isinstance(part, dict) and isinstance(whole, dict):
        missing = [f"{path}.{key}" for key in part if key not in whole]
        return missing + [
            line for key in part if key in whole for line in lacking(whole[key], part[key], f"{path}.{key}")
        ]
    return [] if whole == part else [f"{path}: {whole} is not {part}"]


def messages(lowered: lowering.Lowered) -> list[str]:
    try:
        load.build([lowered])
    except InputError as error:
        return [str(one).removeprefix("net.yaml:") for one in error.problems]
    return []


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_situation(file: Path) -> None:
    case = yaml.safe_load(file.read_text())
    assert set(case) <= WORDS
    lowered = lowering.lower(loaded(HEAD + case["given"]), leases(case.get("leases", {})), facts(case.get("facts", {})))
    assert messages(lowered) == case.get("problems", [])
    assert [one.message for one in lowered.overlaps] == case.get("overlaps", [])
    assert lacking(lowered.data, case.get("becomes", {})) == []
    for section, names in case.get("lacks", {}).items():
        assert not set(names) & set(lowered.data.get(section, ()))


def test_there_are_situations() -> None:
    assert len(CASES) >= 30


# ------------------------------------------------------------------ properties

BLOCKS = ("10.1.0.0/24", "10.2.0.0/28", "fd00:1::/64", "10.3.0.0/28")
names = st.sampled_from([f"s{n}" for n in range(6)])
networks = st.fixed_dictionaries(
    {"n0": st.just({"subnets": ["10.1.0.0/24", "fd00:1::/64"]})},
    optional={
        "n1": st.just({"subnets": ["10.2.0.0/28"], "ip_range": "10.2.0.8/29", "icc": False}),
        "n2": st.just({}),
        "n3": st.just({"subnets": ["10.3.0.0/28"], "internal": True}),
    },
)
publishing = st.lists(st.sampled_from([80, "443", "53/udp", "127.0.0.1::80", "9000-9009:81", "90-92"]), unique=True)


@st.composite
def drawn(draw: st.DrawFn) -> dict[str, Any]:
    """A topology of up to six sandboxes on up to four networks, none of which runs out of addresses."""
    nets = draw(networks)
    sandboxes = {}
    for name in draw(st.lists(names, unique=True)):
        joined = draw(st.lists(st.sampled_from(sorted(nets)), min_size=1, unique=True))
        sandboxes[name] = {"endpoints": {net: {} for net in joined}}
        if joined != ["n3"]:
            sandboxes[name]["publish"] = draw(publishing)
    return {"version": 1, "name": "lab", "networks": nets, "sandboxes": sandboxes}


def lower(data: dict[str, Any], held: Leases | None = None) -> lowering.Lowered:
    lowered = lowering.lower(document.Document("net.yaml", data, {}), held)
    assert lowered.problems == ()
    return lowered


def held_after(data: dict[str, Any]) -> Leases:
    """What the kernel would hold once the level one ``data`` is applied."""
    bridges = {name: tuple(one["addresses"]) for name, one in data.get("bridges", {}).items()}
    endpoints = {
        link: Lease(one["peer"]["namespace"], one["peer"]["mac"], tuple(one["peer"]["addresses"]))
        for link, one in data.get("veths", {}).items()
    }
    ports: dict[Any, tuple[int, ...]] = {}
    built = topology.build(document.Document("net.yaml", data, {}))
    for key, wanted in built.objects.items():
        if key.kind == "port_map":
            one = wanted.object
            at = (one.protocol, one.listen, one.target, one.target_port)
            ports[at] = tuple(sorted((*ports.get(at, ()), one.port)))
    return Leases(bridges, endpoints, ports)


@given(drawn())
def test_level_one_is_valid_reads_back_and_is_lowered_to_itself(data: dict[str, Any]) -> None:
    lowered = lower(data)
    again = document.load("lowered.yaml", yaml_writer.text(lowered.data).encode())
    assert again.data == lowered.data
    assert schema.check(again) == []
    topology.build(again)
    assert lowering.lower(again).data == lowered.data


@given(drawn())
def test_to_lower_once_more_on_what_was_applied_changes_nothing(data: dict[str, Any]) -> None:
    first = lower(data).data
    assert lower(data, held_after(first)).data == first


@settings(max_examples=60)
@given(st.lists(drawn(), min_size=2, max_size=5), st.randoms(use_true_random=False))
def test_nobody_is_renumbered_by_what_comes_goes_or_moves(steps: list[dict[str, Any]], shuffle: random.Random) -> None:
    held = Leases()
    before: dict[str, Any] = {}
    for data in steps:
        order = list(data["sandboxes"])
        shuffle.shuffle(order)
        data = {**data, "sandboxes": {name: data["sandboxes"][name] for name in order}}
        lowered = lower(data, held).data
        after = {link: one["peer"] for link, one in lowered.get("veths", {}).items()}
        for link in before.keys() & after.keys():
            assert after[link]["addresses"] == before[link]["addresses"]
            assert after[link]["mac"] == before[link]["mac"]
        bridges = lowered.get("bridges", {})
        for name in bridges.keys() & held.bridges.keys():
            assert tuple(bridges[name]["addresses"]) == held.bridges[name]
        old, held, before = ports_of(held), held_after(lowered), after
        for at, port in ports_of(held).items():
            assert old.get(at, port) == port


def ports_of(held: Leases) -> dict[Any, int]:
    """(sandbox, protocol, listen, target port) -> the one port of the host for it, of what is published on IPv4."""
    owners = {text.partition("/")[0]: one.sandbox for one in held.endpoints.values() for text in one.addresses}
    return {
        (owners[target], protocol, listen, port): ports[0]
        for (protocol, listen, target, port), ports in held.ports.items()
        if len(ports) == 1 and ":" not in target
    }


@given(drawn())
def test_addresses_and_macs_are_unique_and_every_place_is_known(data: dict[str, Any]) -> None:
    lowered = lower(data)
    peers = [one["peer"] for one in lowered.data.get("veths", {}).values()]
    gateways = [text for one in lowered.data["bridges"].values() for text in one["addresses"]]
    addresses = [text for peer in peers for text in peer["addresses"]] + gateways
    assert len(addresses) == len(set(addresses))
    macs = [peer["mac"] for peer in peers] + [one["mac"] for one in lowered.data["bridges"].values()]
    assert len(macs) == len(set(macs))
    for wanted in topology.build(lowered).objects.values():
        assert wanted.origin.path[0] in ("networks", "sandboxes")


# ------------------------------------------------------------------ names


def test_names_of_ten_thousand_sandboxes_are_all_different_and_fit() -> None:
    sandboxes = [f"{word}-{number}" for word in ("web", "a-very-long-service-name", "db_1") for number in range(3400)]
    pairs = [(one, net) for one in sandboxes for net in ("front", "back-end")]
    links = {naming.veth(*pair) for pair in pairs}
    assert len(links) == len(pairs)
    assert max(map(len, links)) <= 15
    assert not [link for link in links if not link.startswith(("v-", "v_"))]


def test_names_say_what_they_stand_for() -> None:
    assert naming.veth("nginx", "web") == "v-nginx-web"
    assert naming.bridge("web") == "br-web"
    assert naming.veth("web-1", "front") == "v-web-1-front"
    assert naming.veth("frontend-1", "default").startswith("v_front-")
    assert naming.bridge("monitoring-internal").startswith("br_moni-")
    assert naming.veth("a", "b-c") != naming.veth("a-b", "c")


# ------------------------------------------------------------------ speed


def sandboxes_on_twenty_networks(count: int) -> str:
    nets = "".join(f"  n{n}: {{subnets: [10.{n}.0.0/24]}}\n" for n in range(20))
    boxes = "".join(f'  s{n}: {{endpoints: {{n{n % 20}: {{}}}}, publish: ["{10000 + n}:80"]}}\n' for n in range(count))
    return f"{HEAD}networks:\n{nets}sandboxes:\n{boxes}"


def test_work_grows_with_the_number_of_sandboxes(tmp_path: Path) -> None:
    files = [tmp_path / f"{count}.yaml" for count in (250, 1_000)]
    for file in files:
        file.write_text(sandboxes_on_twenty_networks(int(file.stem)))
    few, many = (calls(load.load, [str(file)]) for file in files)
    assert many < 5 * few
    (big,) = load.load([str(files[1])])
    assert len([key for key in big.objects if key.kind == "namespace"]) == 1_000


def test_lower_prints_level_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)  # without root, as for a host that holds nothing
    file = tmp_path / "lab.yaml"
    file.write_text(HEAD + "networks: {web: {subnets: [172.20.0.0/24]}}\nsandboxes: {a: {endpoints: {web: {}}}}\n")
    assert main.main(["lower", str(file)]) == 0
    text = capsys.readouterr().out
    assert "  v-a-web:\n" in text
    (tmp_path / "lowered.yaml").write_text(text)
    assert main.main(["lower", str(tmp_path / "lowered.yaml")]) == 0
    assert capsys.readouterr().out == text
