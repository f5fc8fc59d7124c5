"""Many port maps in a row are one line for people."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.cli import folding
from reconciler.kinds.nat.port_map import PortMap, key_of
from reconciler.model.changes import Action, Change


def change(action: Action, port: int, target: str = "172.16.0.2:0", was: str = "", **more: Any) -> Change:
    """A port map to ``address:port``, port 0 for the one that it listens on."""
    listen, scope, protocol = more.get("listen", "0.0.0.0"), more.get("scope", "host"), more.get("protocol", "tcp")

    def side(text: str) -> PortMap | None:
        address, _, to = text.rpartition(":")
        shifted = port + int(to) if to.startswith("+") else int(to) or port
        return PortMap(scope, protocol, listen, port, address, shifted, "netrecon-t")

    before = side(was or target) if action != "create" else None
    after = side(target) if action != "delete" else None
    return Change(action, key_of(scope, protocol, listen, port), before, after, (), "in-place", "t")


SITUATIONS: dict[str, tuple[list[Change], list[str]]] = {
    "a_thousand": ([change("create", p) for p in range(8000, 9000)], ["1,000 port maps tcp 8000-8999 → 172.16.0.2"]),
    "few": ([change("create", p) for p in range(8000, 8004)], ["1"] * 4),
    "a_gap": (
        [change("create", p) for p in (*range(10, 20), *range(30, 40))],
        ["10 port maps tcp 10-19 → 172.16.0.2", "10 port maps tcp 30-39 → 172.16.0.2"],
    ),
    "shifted": (
        [change("delete", p, "172.16.0.2:+1000") for p in range(10, 20)],
        ["10 port maps tcp 10-19 → 172.16.0.2:1010-1019"],
    ),
    "many_to_one": (
        [change("create", p, "172.16.0.2:80") for p in range(10, 20)],
        ["10 port maps tcp 10-19 → 172.16.0.2:80"],
    ),
    "retargeted": (
        [change("update", p, "172.16.0.3:0", "172.16.0.2:80") for p in range(10, 20)],
        ["10 port maps tcp 10-19 → 172.16.0.3 (was 172.16.0.2:80)"],
    ),
    "ipv6_on_one_address": (
        [change("create", p, "fd00::2:0", listen="2001:db8::1", protocol="udp") for p in range(10, 20)],
        ["10 port maps udp [2001:db8::1]:10-19 → [fd00::2]"],
    ),
    "in_a_namespace": (
        [change("create", p, scope="test") for p in range(10, 20)],
        ["10 port maps in test tcp 10-19 → 172.16.0.2"],
    ),
    "two_actions": (
        [change("create", p) for p in range(10, 20)] + [change("delete", p) for p in range(20, 30)],
        ["10 port maps tcp 10-19 → 172.16.0.2", "10 port maps tcp 20-29 → 172.16.0.2"],
    ),
    "two_targets": (
        [change("create", p, f"172.16.0.{2 + p // 15}:0") for p in range(10, 20)],
        ["5 port maps tcp 10-14 → 172.16.0.2", "5 port maps tcp 15-19 → 172.16.0.3"],
    ),
    "backwards": ([change("delete", p) for p in range(8999, 7999, -1)], ["1,000 port maps tcp 8000-8999 → 172.16.0.2"]),
    "in_the_order_of_text": (
        [change("delete", p) for p in sorted(range(900, 11001), key=str)],
        ["10,101 port maps tcp 900-11000 → 172.16.0.2"],
    ),
    "by_turns": (
        [change("create", p, protocol=protocol) for p in range(10, 20) for protocol in ("udp", "tcp")],
        ["10 port maps tcp 10-19 → 172.16.0.2", "10 port maps udp 10-19 → 172.16.0.2"],
    ),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_runs(name: str) -> None:
    changes, expected = SITUATIONS[name]
    found = list(folding.grouped(changes))
    assert sorted(id(one) for run, _ in found for one in run) == sorted(map(id, changes))
    assert [f"{len(run):,} port maps {text}" if text else str(len(run)) for run, text in found] == expected
