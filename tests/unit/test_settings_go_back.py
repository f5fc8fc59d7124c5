"""After topologies one after the other, the settings are those of the last one alone on such a host."""

from __future__ import annotations

from typing import Any

import pytest
from command import Netrecon
from pretended.seam import Pretended

from reconciler.kinds import sysctl_records
from reconciler.kinds.context import Names, Noting
from reconciler.model.keys import Key

BR0 = {"bridges": {"br0": {}}}
VETH = {"veths": {"v0": {"peer": {"namespace": "test", "name": "eth0"}}}}


def settings(*pairs: str, **more: Any) -> dict[str, Any]:
    return {"sysctls": {f"net.{name}": int(value) for name, value in (pair.split("=") for pair in pairs)}, **more}


def inside(*pairs: str) -> dict[str, Any]:
    return {**VETH, "namespaces": {"test": settings(*pairs)}}


SEQUENCES: dict[str, list[dict[str, Any]]] = {
    "a link that another setting had changed": [
        settings("ipv4.ip_forward=1"),
        settings("ipv4.ip_forward=1", "ipv4.conf.eth0.forwarding=0"),
        {},
    ],
    "a link that follows again": [
        settings("ipv4.ip_forward=1", "ipv4.conf.eth0.forwarding=0"),
        settings("ipv4.ip_forward=1"),
    ],
    "a link set before all were": [
        settings("ipv4.conf.eth0.forwarding=1"),
        settings("ipv4.ip_forward=1", "ipv4.conf.eth0.forwarding=1"),
        settings("ipv4.ip_forward=1"),
        {},
    ],
    "redirects, which forwarding had switched off": [
        settings("ipv4.ip_forward=1"),
        settings("ipv4.conf.all.accept_redirects=0"),
        {},
    ],
    "one setting under its two names": [
        settings("ipv4.ip_forward=1"),
        settings("ipv4.conf.all.forwarding=1"),
        settings("ipv4.ip_forward=1"),
        {},
    ],
    "a link of ours and the default that goes back": [
        settings("ipv4.conf.default.proxy_arp=1", "ipv4.conf.br0.proxy_arp=0", **BR0),
        settings("ipv4.conf.br0.proxy_arp=1", **BR0),
        BR0,
    ],
    "a link of ours that had the value already": [
        settings("ipv4.conf.default.route_localnet=1", **BR0),
        settings("ipv4.conf.default.route_localnet=1", "ipv4.conf.br0.route_localnet=1", **BR0),
        BR0,
    ],
    "a namespace of ours that was there already": [
        inside(),
        inside("ipv4.ip_forward=1", "ipv4.conf.eth0.proxy_arp=1", "ipv4.conf.lo.proxy_arp=1"),
        inside("ipv4.conf.lo.proxy_arp=0"),
        inside(),
    ],
    "the MTU of IPv6": [settings("ipv6.conf.br0.mtu=1400", **BR0), BR0],
}


@pytest.mark.parametrize("steps", SEQUENCES.values(), ids=SEQUENCES)
def test_as_the_last_alone(steps: list[dict[str, Any]], pretended: Pretended, netrecon: Netrecon) -> None:
    pretended.sh("ip link add eth0 type veth peer name far0")
    saved = pretended.save()
    netrecon("apply", "-q", steps[-1])
    alone = values(pretended)
    pretended.restore(saved)
    for step in steps:
        netrecon("apply", "-q", step)
        netrecon("check", step)
    assert values(pretended) == alone
    netrecon("apply", "-q", {})
    assert values(pretended) == settings_of(saved[0])


def values(pretended: Pretended) -> dict[str, dict[str, str]]:
    return settings_of(pretended.host)


def settings_of(host: Any) -> dict[str, dict[str, str]]:
    return {scope: dict(host.space(scope).settings) for scope in host.names}


def test_of_another_topology(pretended: Pretended, netrecon: Netrecon) -> None:
    """Two topologies; the one that goes does not take along what the other has set on a link."""
    pretended.sh("ip link add eth0 type veth peer name far0")
    netrecon("apply", "-q", settings("ipv4.ip_forward=1"))
    netrecon("apply", "-q", {"name": "other", **settings("ipv4.conf.eth0.forwarding=1")})
    netrecon("delete", "-q", "--name", "case")
    found = values(pretended)["host"]
    assert (found["net.ipv4.conf.eth0.forwarding"], found["net.ipv4.conf.far0.forwarding"]) == ("1", "0")
    netrecon("check", {"name": "other", **settings("ipv4.conf.eth0.forwarding=1")})


def test_in_a_namespace_without_a_default_it_goes_back_to_what_a_new_one_has() -> None:
    """Only the first namespace has net.ipv4.neigh.default: the record has the value of ``lo`` in a new one."""
    key = Key("sysctl", "test", "net.ipv4.neigh.eth0.gc_stale_time")
    link = Key("veth", "host", "v0")
    wanted = sysctl_records.key_of("test", key.name)
    names = Names({}, {("test", "eth0"): link}, {}, set(), "case")
    assert list(sysctl_records.births(key)) == ["net.ipv4.neigh.lo.gc_stale_time"]
    noting = Noting(names, {}, {}, {}, {"net.ipv4.neigh.lo.gc_stale_time": "60"})
    value: Any = type("Wanted", (), {"value": "5"})
    assert sysctl_records.record(wanted, value, noting) == ("60", "5")
