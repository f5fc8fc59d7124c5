"""What each kind says of a change that would end a session, and of one that would not."""

from __future__ import annotations

import dataclasses

import pytest

from reconciler.kinds import BY_NAME
from reconciler.kinds.course import Course, Passage
from reconciler.kinds.links.link import End
from reconciler.kinds.namespace import Namespace
from reconciler.kinds.nat.isolation import Isolation
from reconciler.kinds.nat.masquerade import Masquerade
from reconciler.kinds.nat.port_map import PortMap
from reconciler.kinds.sysctl import Sysctl
from reconciler.model.changes import Change
from reconciler.model.keys import HOST, Key

PEER, LOCAL = "198.51.100.7", "203.0.113.1"
HOME = Course(
    PEER,
    LOCAL,
    22,
    (Passage(HOST, "up0", "203.0.113.2", "", frozenset({"up0"})),),
    holder="up0",
    arrival="up0",
)
SIX = dataclasses.replace(HOME, peer="2001:db8:7::7", local="2001:db8::1")
# the server is in namespace box, behind br0 of the host
BOXED = Course(
    PEER,
    "10.7.0.2",
    22,
    (
        Passage("box", "eth0", "10.7.0.1", "", frozenset({"eth0"})),
        Passage(HOST, "up0", "203.0.113.2", "br0", frozenset({"up0", "br0", "v0"})),
    ),
    holder="eth0",
    arrival="eth0",
)
FLAT = dataclasses.replace(BOXED, passages=(BOXED.home, dataclasses.replace(BOXED.passages[1], bridged=True)))
CROOKED = dataclasses.replace(HOME, holder="up1", arrival="up1")
ON_LO = dataclasses.replace(HOME, holder="lo")
LEARNED = dataclasses.replace(SIX, learned=True)
NEAR = dataclasses.replace(HOME, peer="203.0.113.2")
UNTRACKED = dataclasses.replace(BOXED, opened=("", 0))
TRACKED = dataclasses.replace(BOXED, opened=("10.7.0.2", 22))
LED = dataclasses.replace(BOXED, opened=(LOCAL, 2222), published=True)


def cuts(kind: str, before: object, after: object, course: Course, scope: str = HOST, name: str = "") -> str:
    action = "create" if before is None else "delete" if after is None else "update"
    fact = BY_NAME[kind].cuts
    assert fact is not None
    return fact(Change(action, Key(kind, scope, name), before, after, (), "in-place", "t"), course)  # type: ignore[arg-type]


SYSCTLS = [
    ("net.ipv4.ip_forward", "0", HOME, ""),
    ("net.ipv4.ip_forward", "0", BOXED, "host would no longer forward"),
    ("net.ipv4.ip_forward", "1", BOXED, ""),
    ("net.ipv4.ip_forward", "0", FLAT, ""),
    ("net.ipv4.conf.up0.forwarding", "0", BOXED, "forward"),
    ("net.ipv4.conf.br0.forwarding", "0", BOXED, "forward"),
    ("net.ipv4.conf.up1.forwarding", "0", BOXED, ""),
    ("net.ipv6.conf.all.forwarding", "0", BOXED, ""),  # it is of IPv4
    ("net.ipv4.conf.all.rp_filter", "1", HOME, ""),
    ("net.ipv4.conf.all.rp_filter", "1", CROOKED, "come by up1 and answers leave by up0"),
    ("net.ipv4.conf.up1.rp_filter", "1", CROOKED, "come by up1"),
    ("net.ipv4.conf.up0.rp_filter", "1", CROOKED, ""),
    ("net.ipv4.conf.all.rp_filter", "2", CROOKED, ""),
    ("net.ipv4.conf.default.rp_filter", "1", CROOKED, ""),
    ("net.ipv4.conf.all.rp_filter", "1", dataclasses.replace(CROOKED, loose=frozenset({"up1"})), ""),
    ("net.ipv4.conf.up1.rp_filter", "1", dataclasses.replace(CROOKED, loose=frozenset({"up1"})), "come by up1"),
    ("net.ipv4.conf.up0.arp_ignore", "8", HOME, "up0 would not answer ARP"),
    ("net.ipv4.conf.all.arp_ignore", "8", HOME, "up0 would not answer ARP"),
    ("net.ipv4.conf.br0.arp_ignore", "8", BOXED, "br0 would not answer ARP"),
    ("net.ipv4.conf.up1.arp_ignore", "8", HOME, ""),
    ("net.ipv4.conf.all.arp_ignore", "1", HOME, ""),
    ("net.ipv4.conf.all.arp_ignore", "1", ON_LO, "203.0.113.1, which is on lo"),
    ("net.ipv4.conf.all.arp_ignore", "0", ON_LO, ""),
    ("net.ipv4.ip_default_ttl", "1", HOME, "at most 1 hops"),
    ("net.ipv4.ip_default_ttl", "1", NEAR, ""),
    ("net.ipv4.ip_default_ttl", "64", HOME, ""),
    ("net.ipv4.ip_default_ttl", "1", SIX, ""),
    ("net.ipv6.conf.up0.hop_limit", "5", SIX, "at most 5 hops"),
    ("net.ipv6.conf.up0.accept_ra", "0", SIX, ""),
    ("net.ipv6.conf.up0.accept_ra", "0", LEARNED, "a router advertises"),
    ("net.ipv6.conf.up0.accept_ra", "2", LEARNED, ""),
    ("net.ipv4.neigh.up0.mcast_solicit", "0", HOME, "could not find its neighbours"),
    ("net.ipv4.neigh.default.mcast_solicit", "0", HOME, "could not find its neighbours"),
    ("net.ipv4.neigh.up0.ucast_solicit", "0", HOME, ""),
    ("net.core.somaxconn", "1", HOME, ""),
]


@pytest.mark.parametrize(("name", "value", "course", "reason"), SYSCTLS)
def test_sysctl(name: str, value: str, course: Course, reason: str) -> None:
    said = cuts("sysctl", None, Sysctl(HOST, name, value), course, name=name)
    assert (reason in said) if reason else said == ""


def test_sysctl_that_goes_back_cuts_as_well() -> None:
    before = Sysctl(HOST, "net.ipv4.ip_forward", "1", restore="0")
    assert "forward" in cuts("sysctl", before, None, BOXED, name=before.key)


UP0 = End(HOST, "up0", up=True, mac="02:00:00:00:00:01", master="", learning=True, flood=True)
PORT = dataclasses.replace(UP0, master="br9")
LINKS = [
    (UP0, {"up": False}, "behind up0"),
    (UP0, {"mac": "02:00:00:00:00:02"}, "behind up0"),
    (UP0, {"master": "br9"}, "behind up0"),
    (PORT, {"master": ""}, "behind up0"),
    (UP0, {"master": None, "mtu": 1400, "txqueuelen": 0}, ""),
    (PORT, {"learning": False, "flood": False}, "behind up0"),
    (PORT, {"learning": False}, ""),
    (PORT, {"flood": False, "hairpin": True, "isolated": True, "cost": 9}, ""),
    (UP0, {"learning": False, "flood": False}, ""),  # no port
    (dataclasses.replace(PORT, learning=False, flood=False), {"cost": 9}, ""),  # as it was
]


@pytest.mark.parametrize(("before", "words", "reason"), LINKS)
def test_link(before: End, words: dict[str, object], reason: str) -> None:
    said = cuts("interface", before, dataclasses.replace(before, **words), HOME)  # type: ignore[arg-type]
    assert (reason in said) if reason else said == ""
    assert (
        cuts(
            "interface",
            before,
            dataclasses.replace(before, **words),
            dataclasses.replace(HOME, passages=(Passage(HOST),)),
        )
        == ""
    )  # type: ignore[arg-type]


def test_namespace() -> None:
    assert "passes namespace box" in cuts("namespace", Namespace("box"), None, BOXED, name="box")
    assert cuts("namespace", Namespace("other"), None, BOXED, name="other") == ""


def isolated(link: str, *allow: str, internal: bool = False) -> Isolation:
    return Isolation(HOST, link, allow, internal, "netrecon-t")


ISOLATIONS = [
    (None, isolated("br0"), BOXED, "br0 takes no new connections from up0"),
    (None, isolated("br0", "up0"), BOXED, ""),
    (None, isolated("br0"), LED, ""),
    (None, isolated("br0"), HOME, ""),
    (None, isolated("br0"), FLAT, ""),
    (None, isolated("up0"), BOXED, ""),
    (None, isolated("up0", internal=True), BOXED, "br0 takes no new connections from up0"),
    (None, isolated("up0", internal=True), LED, "br0 takes no new connections from up0"),
    (isolated("br0"), isolated("br0", internal=True), BOXED, ""),
    (isolated("br0", "up0"), isolated("br0"), BOXED, "br0 takes no new connections from up0"),
    (isolated("br0"), None, BOXED, ""),
]


@pytest.mark.parametrize(("before", "after", "course", "reason"), ISOLATIONS)
def test_isolation(before: object, after: object, course: Course, reason: str) -> None:
    said = cuts("isolation", before, after, course)
    assert (reason in said) if reason else said == ""


def masked(source: str, *out: str, to: str = "") -> Masquerade:
    return Masquerade(HOST, source, out, to, "netrecon-t")


MASQUERADES = [
    (masked("10.7.0.0/24"), UNTRACKED, "10.7.0.2 would leave up0"),
    (masked("10.7.0.0/24"), BOXED, "10.7.0.2 would leave up0"),  # conntrack cannot be asked
    (masked("10.7.0.0/24"), TRACKED, ""),
    (masked("10.7.0.0/24", "up0"), UNTRACKED, ""),
    (masked("10.8.0.0/24"), UNTRACKED, ""),
    (masked("203.0.113.0/24"), HOME, ""),  # with the address that it has
    (masked("203.0.113.0/24", to="203.0.113.1"), HOME, ""),
    (masked("203.0.113.0/24", to="203.0.113.9"), HOME, "203.0.113.1 would leave up0"),
]


@pytest.mark.parametrize(("after", "course", "reason"), MASQUERADES)
def test_masquerade(after: Masquerade, course: Course, reason: str) -> None:
    said = cuts("masquerade", None, after, course)
    assert (reason in said) if reason else said == ""


def led(port: int, target: str, to: int = 22) -> PortMap:
    return PortMap(HOST, "tcp", "0.0.0.0", port, target, to, "netrecon-t")


PORT_MAPS = [
    (led(2222, "10.7.0.2"), None, LED, "come by it"),
    (led(2222, "10.7.0.2"), led(2222, "10.7.0.3"), LED, "come by it"),
    (led(2222, "10.7.0.2"), led(2222, "10.7.0.2"), LED, ""),
    (led(2223, "10.7.0.2"), None, LED, ""),
    (led(2222, "10.7.0.2", 23), None, LED, ""),
    (led(2222, "10.7.0.2"), None, TRACKED, ""),
    (led(2222, "10.7.0.2"), None, UNTRACKED, ""),
]


@pytest.mark.parametrize(("before", "after", "course", "reason"), PORT_MAPS)
def test_port_map(before: PortMap, after: PortMap | None, course: Course, reason: str) -> None:
    said = cuts("port_map", before, after, course)
    assert (reason in said) if reason else said == ""
