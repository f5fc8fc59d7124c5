"""Forwarding that netrecon turned on stays on where a chain of others translates packets that are passed on."""

from __future__ import annotations

from typing import Any

import pytest
from command import Netrecon
from pretended.seam import Pretended

from reconciler.model.firewall import IPTABLES, LEGACY, NFT, Chain, Do, Rule

FOUR, SIX = "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"
WITH: dict[str, Any] = {"sysctls": {FOUR: 1, SIX: 1}}
WITHOUT: dict[str, Any] = {"bridges": {"br0": {}}}
RULES = (Rule((Do("snat"),), 4),)


def chain(maker: str = IPTABLES, family: str = "ip", **more: Any) -> Chain:
    """The chain of somebody's masquerading."""
    return Chain(maker, family, "nat", "POSTROUTING", RULES, "postrouting", "nat", 100)._replace(**more)


@pytest.mark.parametrize(
    ("others", "stays"),
    [
        ([], set()),
        ([chain()], {FOUR}),
        ([chain(LEGACY, "ip6")], {SIX}),
        ([chain(NFT, "inet")], {FOUR, SIX}),
        ([chain(hook="prerouting", name="PREROUTING")], {FOUR}),
        ([chain(hook="output", name="OUTPUT")], set()),
        ([chain(rules=())], set()),
        ([chain(kind="filter", hook="forward", priority=0)], set()),
        ([chain(ours=True)], set()),
    ],
)
def test_what_stays_is_what_others_need(
    others: list[Chain], stays: set[str], pretended: Pretended, netrecon: Netrecon
) -> None:
    netrecon("apply", "-q", WITH)
    pretended.chains = others
    planned = netrecon.json("plan", WITHOUT, code=2)
    going = {change["key"].rpartition("/")[2] for change in planned["changes"]} & {FOUR, SIX}
    assert going == {FOUR, SIX} - stays
    warned = {one["key"]: one["message"] for one in planned["warnings"]}
    assert set(warned) == {f"sysctl/host/{name}" for name in stays}
    assert all("stays 1, though it was 0 before netrecon: chain" in message for message in warned.values())
    netrecon("apply", "-q", WITHOUT)
    settings = pretended.host.space("host").settings
    assert {name for name in (FOUR, SIX) if settings[name] == "1"} == stays
    assert netrecon("check", WITHOUT) == ""
    netrecon("delete", "-q", WITHOUT)
    assert {name for name in (FOUR, SIX) if settings[name] == "1"} == stays


def test_what_a_file_declares_is_written(pretended: Pretended, netrecon: Netrecon) -> None:
    netrecon("apply", "-q", WITH)
    pretended.chains = [chain()]
    netrecon("apply", "-q", {"sysctls": {FOUR: 0}})
    assert pretended.host.space("host").settings[FOUR] == "0"
