"""An attribute that the file implies: a plan names the line that implies it."""

from __future__ import annotations

import pathlib

from reconciler.model.changes import Change
from reconciler.model.keys import Key
from reconciler.planning.diff import by_line
from reconciler.planning.topology import Topology
from reconciler.run import load

FILE = """\
version: 1
name: lab
bridges: {b0: {addresses: [10.1.0.1/24]}}
veths:
  v0: {master: b0, peer: {namespace: n, name: eth0, addresses: [10.1.0.2/24]}}
  v1: {master: b0, hairpin: true, isolated: true, peer: {namespace: n, name: eth1}}
namespaces: {n: {}}
port_maps:
  - "8080:10.1.0.2:80"
networks:
  web:
    subnets: [172.20.0.0/24]
    icc: false
sandboxes:
  a: {endpoints: {web: {address: 172.20.0.2}}}
"""


def built(tmp_path: pathlib.Path) -> Topology:
    file = tmp_path / "lab.yaml"
    file.write_text(FILE)
    (topology,) = load.build(load.lower(load.documents([str(file)])))
    return topology


def update(topology: Topology, name: str, *differs: str) -> Change:
    wanted = topology.objects[Key("veth", "host", name)]
    return Change("update", Key("veth", "host", name), None, wanted.object, differs, "none", "lab", wanted.origin)


def line(topology: Topology, name: str, *differs: str) -> int:
    (change,) = by_line([update(topology, name, *differs)], topology.names.lines)
    return change.origin.line


def test_hairpin_mode_comes_from_the_published_port(tmp_path: pathlib.Path) -> None:
    assert line(built(tmp_path), "v0", "hairpin") == 9


def test_isolated_ports_come_from_icc_of_their_network(tmp_path: pathlib.Path) -> None:
    assert line(built(tmp_path), "v-a-web", "isolated") == 13


def test_what_is_written_with_the_object_is_the_object_s(tmp_path: pathlib.Path) -> None:
    assert line(built(tmp_path), "v1", "hairpin", "isolated") == 6


def test_of_several_attributes_the_object_s_own_line_is_named(tmp_path: pathlib.Path) -> None:
    assert line(built(tmp_path), "v0", "hairpin", "mtu") == 5
