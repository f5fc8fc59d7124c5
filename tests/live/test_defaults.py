"""The defaults of bridge ports that the schema gives are those of the kernel."""

from __future__ import annotations

import json
import pathlib

import pytest
from throwaway import ip_json, sh

from reconciler.kinds.links.port import IMPLIED

pytestmark = pytest.mark.live

SCHEMA = pathlib.Path(__file__).parents[2] / "schemas" / "veth.json"


def test_of_a_bridge_port() -> None:
    sh("ip link add br0 type bridge && ip link add v0 type veth peer name v1 && ip link set v0 master br0")
    (link,) = ip_json("-d link show v0")
    port = link["linkinfo"]["info_slave_data"]
    definitions = json.loads(SCHEMA.read_text())["$defs"]
    for end in ("veth", "peer"):
        words = definitions[end]["properties"]
        defaults = {word: value["default"] for word, value in words.items() if "default" in value}
        assert {word: port[word] for word in ("hairpin", "isolated", "learning", "flood")} == defaults
    assert {word: port[word] for word in IMPLIED} == IMPLIED
