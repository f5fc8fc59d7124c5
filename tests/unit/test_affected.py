"""Which scopes are read again after a plan: all that it can have changed, and no others."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.kinds import BY_NAME
from reconciler.kinds.links.bridge import Bridge
from reconciler.kinds.links.link import UNREAD, End
from reconciler.kinds.links.other_link import OtherLink
from reconciler.kinds.links.veth import Veth
from reconciler.model.changes import Action, Change
from reconciler.model.keys import HOST, Key
from reconciler.model.rows import LinkRow, LiveState, ScopeState
from reconciler.planning import affected

NFT = frozenset(name for name, kind in BY_NAME.items() if kind.transaction)


def row(index: int, name: str, kind: str, nsid: int = -1) -> LinkRow:
    return LinkRow(index, name, kind, True, False, 1500, "", 0, "", 1000, 0, nsid, 0, 0)


def scope(name: str, *rows: LinkRow, **peers: tuple[str, int]) -> ScopeState:
    indexes = {one.name: one.index for one in rows}
    return ScopeState(name, {one.index: one for one in rows}, peers={indexes[name]: far for name, far in peers.items()})


FOUND = LiveState(
    {
        state.scope: state
        for state in (
            scope(HOST, row(2, "eth1", ""), row(3, "v0", "veth", 0), row(4, "v1", "veth", 1), v0=("blue", 2)),
            scope("blue", row(2, "eth0", "veth", 0), eth0=(HOST, 3)),
            scope("red", row(2, "eth0", "veth", 0)),
        )
    }
)
LEANING = LiveState({**FOUND.scopes, "green": scope("green", row(2, "mv0", "macvlan", 0))})


def change(
    kind: str, scope: str, name: str, before: Any = None, after: Any = None, action: Action = "update"
) -> Change:
    return Change(action, Key(kind, scope, name), before, after, (), "none", "t")


ROUTE = change("route", "blue", "main/default")
BRIDGE = change("bridge", HOST, "br0", None, Bridge(HOST, "br0"), "create")
MOVED = change(
    "veth",
    HOST,
    "v2",
    Veth(End(HOST, "v2"), End("blue", "p2")),
    Veth(End(HOST, "v2"), End("red", "p2")),
    "replace",
)
HALF = change("veth", "red", "eth0", Veth(End("red", "eth0"), UNREAD), None, "delete")
INTERFACE = change("interface", HOST, "v0", End(HOST, "v0"), End(HOST, "v0", mtu=1400))
UPLINK = change("link", HOST, "eth1", OtherLink(HOST, "eth1", ""), None, "delete")

MACVLAN = change("link", "green", "mv0", OtherLink("green", "mv0", "macvlan"), None, "delete")
PORT = change("port_map", HOST, "tcp/0.0.0.0:80")

# changes, what was read before them -> by scope, what can be different (rest: all but nftables objects;
# veths: those that lead to where all can)
SITUATIONS: dict[str, tuple[list[Change], LiveState, dict[str, str] | None]] = {
    "nothing": ([], FOUND, {}),
    "a_route_stays_in_its_scope": ([ROUTE], LEANING, {"blue": "rest", HOST: "veths"}),
    "a_port": ([PORT], LEANING, {HOST: "nft"}),
    "a_port_and_a_route_elsewhere": ([PORT, ROUTE], FOUND, {"blue": "rest", HOST: "nft veths"}),
    "a_port_and_a_bridge": ([PORT, BRIDGE], FOUND, {HOST: "all", "blue": "veths"}),
    "a_bridge": ([BRIDGE], FOUND, {HOST: "rest", "blue": "veths"}),
    "a_veth_is_at_both_its_ends_before_and_after": ([MOVED], FOUND, {HOST: "rest", "blue": "rest", "red": "rest"}),
    "a_veth_whose_other_end_nobody_knows": ([HALF], FOUND, {"red": "rest"}),
    "an_interface_that_is_one_end_of_a_veth": ([INTERFACE], FOUND, {HOST: "rest", "blue": "rest"}),
    "a_link_that_another_scope_may_lie_on": ([UPLINK], LEANING, {HOST: "rest", "green": "rest", "blue": "veths"}),
    "a_link_that_lies_on_one_of_another_scope": ([MACVLAN], LEANING, None),
    "a_new_namespace": ([change("namespace", HOST, "new", action="create")], FOUND, {"new": "rest"}),
    "a_namespace_that_goes": ([change("namespace", HOST, "red", action="delete")], FOUND, None),
    "a_namespace_that_is_adopted": ([change("namespace", HOST, "red", action="adopt")], FOUND, None),
    "a_setting_of_one_scope": ([change("sysctl", "red", "net.ipv4.ip_forward")], LEANING, {"red": "rest"}),
    "a_setting_that_a_kernel_may_share": ([change("sysctl", "red", "net.netfilter.nf_conntrack_max")], FOUND, None),
}


KINDS = {
    "all": frozenset(BY_NAME),
    "nft": NFT,
    "veths": frozenset({"veth"}),
    "rest": frozenset(BY_NAME) - NFT,
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_reach(name: str) -> None:
    changes, found, wanted = SITUATIONS[name]
    reached = affected.of(changes, found)
    if reached is None or wanted is None:
        assert reached == wanted
        return
    words = {scope: text.split() for scope, text in wanted.items()}
    every, tables, beside, still = (
        frozenset(scope for scope, listed in words.items() if word in listed) for word in KINDS
    )
    assert reached == affected.Reach(every | still, tables, beside, still)
    assert reached.kinds("nowhere") == frozenset()
    assert all(reached.kinds(scope) == frozenset().union(*map(KINDS.get, words[scope])) for scope in words)
