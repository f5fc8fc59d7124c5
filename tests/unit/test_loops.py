"""A ring of bridges without the spanning tree is found, and nothing else is taken for one."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.kinds.links.bridge import Bridge
from reconciler.kinds.links.link import End
from reconciler.kinds.links.veth import Veth
from reconciler.model.keys import HOST, Key
from reconciler.planning import doctor, loops


def objects(*pairs: tuple[str, str], stp: str = "", **more: Any) -> dict[Key, Any]:
    """Bridges by the first letter of their scope and name ("h/a"), and a veth for each pair."""
    names = sorted({name for pair in pairs for name in pair if name})
    found: dict[Key, Any] = {Key("bridge", *place(name)): Bridge(*place(name), stp=name == stp) for name in names}
    for number, (one, other) in enumerate(pairs):
        ends = [
            End(place(name)[0], f"v{number}{side}", master=place(name)[1], **more)
            for side, name in enumerate((one, other))
        ]
        found[Key("veth", ends[0].scope, ends[0].name)] = Veth(*ends)
    return found


def place(name: str) -> tuple[str, str]:
    scope, _, bridge = name.rpartition("/")
    return (scope or HOST, bridge)


RINGS: dict[str, tuple[dict[Key, Any], list[str]]] = {
    "both_ends_on_one_bridge": (objects(("a", "a")), ["veth/host/v00"]),
    "two_veths_between_two_bridges": (objects(("a", "b"), ("b", "a")), ["veth/host/v10"]),
    "three_bridges": (objects(("a", "b"), ("b", "t/c"), ("t/c", "a")), ["veth/t/v20"]),
    "a_line": (objects(("a", "b"), ("b", "c")), []),
    "a_star": (objects(("a", "b"), ("a", "c"), ("a", "d")), []),
    "stp_on_one_of_them": (objects(("a", "b"), ("b", "a"), stp="b"), []),
    "stp_elsewhere": (objects(("a", "a"), ("b", "c"), stp="b"), ["veth/host/v00"]),
    "an_end_without_a_bridge": (objects(("a", ""), ("", "a")), []),
    "bridges_of_one_name_in_two_scopes": (objects(("a", "t/a")), []),
    "taken_down": (objects(("a", "a"), up=False), []),
}


@pytest.mark.parametrize("name", RINGS)
def test_rings(name: str) -> None:
    found, keys = RINGS[name]
    assert [str(key) for key, _ in loops.closing(found)] == keys
    assert [str(finding.key) for finding in doctor.diagnose(found, {}, applied=True)] == keys
