"""A snapshot on disk comes back as it was, whatever kind of object is in it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reconciler.kinds import KINDS
from reconciler.kinds.address.form import Address
from reconciler.kinds.kind import Kind
from reconciler.kinds.links.bridge import Bridge
from reconciler.kinds.links.link import End
from reconciler.kinds.links.veth import Veth
from reconciler.kinds.nat.port_map import PortMap
from reconciler.kinds.nat.ruleset import Element, ElementDifference
from reconciler.kinds.route.form import NextHop, Route
from reconciler.kinds.rule import Rule
from reconciler.model.changes import Live
from reconciler.model.errors import Problem
from reconciler.model.keys import Key, Origin
from reconciler.safety import codec, snapshot
from reconciler.safety.snapshot import Kept, Snapshot

OBJECTS: list[Any] = [
    Bridge("host", "br0", True, 1500, "02:00:00:00:00:01", stp=False, alias="uplink", group=7),
    Veth(End("host", "v0", True, master="br0", hairpin=False, alias="netrecon:t"), End("blue", "eth0", group=0)),
    Address("host", "br0", "fd00::1/64", protocol=3, reach=0, flags=0x200),
    Route("host", "10.0.0.0/8", 254, 0, "unicast", (NextHop("10.1.0.1", None, 2, False),), "", 0, 0, protocol=16),
    Rule("blue", "from all lookup 7", b"\x02\x00\xff"),
    PortMap(
        "host",
        "tcp",
        "0.0.0.0",
        80,
        "10.0.0.2",
        80,
        "t",
        (ElementDifference("extra", Element("pub_any4", "tcp . 80")),),
    ),
]


@pytest.mark.parametrize("held", OBJECTS, ids=lambda held: type(held).__name__)
def test_object_comes_back(held: Any) -> None:
    back = codec.decode(type(held), json.loads(json.dumps(codec.encode(held))))
    assert back == held
    assert codec.encode(back) == codec.encode(held)  # the fields that == does not compare as well


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_says_what_its_objects_are(kind: Kind) -> None:
    assert kind.form is not object


def test_problem_comes_back() -> None:
    problem = Problem(Origin("lab.yaml", 3, 5, ("port_maps", 0, "listen")), "is taken")
    assert codec.decode(Problem, json.loads(json.dumps(codec.encode(problem)))) == problem


def test_snapshot_comes_back() -> None:
    entries = {
        Key("bridge", "host", "br0"): Kept(Live(OBJECTS[0], "t", False), None, "t"),
        Key("address", "host", "br0/fd00::1/64"): Kept(None, OBJECTS[2], "t"),
        Key("port_map", "host", "tcp/0.0.0.0:80"): Kept(None, None, "t"),
    }
    taken = Snapshot(frozenset({"t"}), frozenset({"blue"}), entries)
    assert snapshot.from_plain(json.loads(json.dumps(snapshot.to_plain(taken)))) == taken


@pytest.mark.parametrize(
    "data", [{}, {"entries": [[1]]}, {"entries": [["bridge", "host", "b", [[1], "t", True], 0, ""]]}]
)
def test_what_another_release_wrote_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError, KeyError, IndexError)):
        snapshot.from_plain(data)
