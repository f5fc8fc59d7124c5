"""What goes with a change is known before the change, whatever the depth."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.kinds import neighbour
from reconciler.kinds.address import form as address
from reconciler.kinds.context import Names
from reconciler.kinds.grounds import Ground
from reconciler.kinds.links.bridge import Bridge
from reconciler.kinds.links.other_link import OtherLink
from reconciler.kinds.namespace import Namespace
from reconciler.kinds.neighbour import Neighbour
from reconciler.kinds.route import form
from reconciler.kinds.sysctl import Sysctl
from reconciler.model.changes import KERNEL, NOBODY, UNKNOWN, Change, Live
from reconciler.model.keys import HOST, Key
from reconciler.model.requests import WriteSysctl
from reconciler.planning.consequences import Consequences, Measures, Setting, Standing, measures, unread
from reconciler.planning.plan import order

OURS = "t"
Objects = dict[Key, Live]


def link(name: str, type: str, below: str = "", scope: str = HOST, below_in: str = HOST) -> tuple[Key, Live]:
    held = OtherLink(scope, name, type, (below_in, below) if below else None)
    return Key("link", scope, name), Live(held, NOBODY)


def bridge(name: str, owner: str = OURS, **attributes: Any) -> tuple[Key, Live]:
    return Key("bridge", HOST, name), Live(Bridge(HOST, name, up=True, mtu=1500, **attributes), owner)


def on(link: str, ip: str, owner: str = NOBODY, scope: str = HOST) -> tuple[Key, Live]:
    return address.key_of(scope, link, ip), Live(address.Address(scope, link, ip), owner)


def via(link: str, to: str, gateway: str = "", protocol: int = 4, scope: str = HOST) -> tuple[Key, Live]:
    hops = (form.NextHop(gateway, link, 1, False),)
    route = form.Route(scope, to, form.TABLES["main"], 0, "unicast", hops, "", 0, 0, protocol=protocol)
    return form.key_of(route), Live(route, KERNEL if protocol in form.KERNELS else NOBODY)


def permanent(link: str, ip: str, proxy: bool = False) -> tuple[Key, Live]:
    held = Neighbour(HOST, link, ip, "" if proxy else "02:00:00:00:00:01", neighbour.NTF_PROXY if proxy else 0)
    return Key("neighbour", HOST, f"{link}/{ip}"), Live(held, NOBODY)


def deleted(live: Objects, *keys: Key) -> list[Change]:
    return [Change("delete", key, live[key].object, None, (), "disruptive", OURS) for key in keys]


def updated(live: Objects, key: Key, after: Any) -> list[Change]:
    return [Change("update", key, live[key].object, after, (), "in-place", OURS)]


def names(keys: Iterable[Key]) -> set[str]:
    return {str(key) for key in keys}


BRIDGE = Key("bridge", HOST, "br0")
TOWER: Objects = dict(
    [
        bridge("br0"),
        link("mv0", "macvlan", "br0"),
        link("mv0.5", "vlan", "mv0"),
        link("deep", "ipvlan", "mv0.5", scope="blue"),
        on("mv0.5", "10.5.0.1/24"),
        on("deep", "10.5.0.2/24", scope="blue"),
        via("mv0.5", "10.9.0.0/16", "10.5.0.9"),
        permanent("mv0", "10.5.0.7"),
        link("eth0", ""),
        on("eth0", "192.0.2.1/24"),
        via("eth0", "0.0.0.0/0", "192.0.2.254"),
    ]
)


def test_a_vlan_on_a_macvlan_on_a_bridge_goes_with_all_that_is_on_it() -> None:
    lost = Consequences(deleted(TOWER, BRIDGE), Standing(TOWER)).losses
    assert names(lost) == names(key for key in TOWER if "eth0" not in str(key) and "192.0.2.254" not in str(key)) - {
        "bridge/host/br0",
        "route/host/main/default",
    }
    assert {loss.cause for loss in lost.values()} == {BRIDGE}


def test_each_stranger_is_a_problem_and_its_neighbours_are_named() -> None:
    found, problems = measures(deleted(TOWER, BRIDGE), Standing(TOWER), {OURS}, {})
    assert not found.restored
    assert names(found.gone) == {"neighbour/host/mv0/10.5.0.7"}
    assert {one.message.partition(" ")[0] for one in problems} == {
        "link/host/mv0",
        "link/host/mv0.5",
        "link/blue/deep",
        "address/host/mv0.5/10.5.0.1/24",
        "address/blue/deep/10.5.0.2/24",
        "route/host/main/10.9.0.0/16",
    }


def test_with_force_all_of_it_is_named() -> None:
    found, problems = measures(deleted(TOWER, BRIDGE), Standing(TOWER), {OURS}, {}, force=True)
    assert not problems
    assert len(found.gone) == 7
    assert all(found.loss(key).cause == BRIDGE for key in found.gone)


def test_what_a_link_does_with_the_one_below_goes_up_link_by_link() -> None:
    live = TOWER | dict([on("mv0.5", "2001:db8::1/64"), on("mv0", "2001:db8:1::1/64"), permanent("mv0.5", "10.5.0.8")])
    down = Consequences(updated(live, BRIDGE, Bridge(HOST, "br0", up=False, mtu=1500)), Standing(live))
    # A macvlan stays up without its link; a VLAN does not, but it lies on the macvlan.
    assert not {one for one in names(down.losses) if "mv0" in one}
    narrow = Consequences(updated(live, BRIDGE, Bridge(HOST, "br0", up=True, mtu=1000)), Standing(live))
    assert names(narrow.losses) == {"address/host/mv0.5/2001:db8::1/64", "address/host/mv0/2001:db8:1::1/64"}


def test_a_vlan_goes_down_with_its_bridge() -> None:
    live: Objects = dict(
        [
            bridge("br0"),
            link("v5", "vlan", "br0"),
            link("v5.6", "vlan", "v5"),
            on("v5.6", "10.0.0.1/24"),
            via("v5.6", "10.9.0.0/16", "10.0.0.9"),
            permanent("v5", "10.0.0.7"),
        ]
    )
    lost = Consequences(updated(live, BRIDGE, Bridge(HOST, "br0", up=False, mtu=1500)), Standing(live)).losses
    assert names(lost) == {"route/host/main/10.9.0.0/16", "neighbour/host/v5/10.0.0.7"}


def test_another_mac_takes_neighbours_but_no_proxies() -> None:
    live: Objects = dict(
        [bridge("br0", mac="02:00:00:00:00:aa"), permanent("br0", "10.0.0.7"), permanent("br0", "10.0.0.8", True)]
    )
    changes = updated(live, BRIDGE, Bridge(HOST, "br0", up=True, mtu=1500, mac="02:00:00:00:00:bb"))
    assert names(Consequences(changes, Standing(live)).losses) == {"neighbour/host/br0/10.0.0.7"}
    found, problems = measures(changes, Standing(live), {OURS}, {})
    assert not problems
    assert [(one.action, str(one.key)) for one in found.restored] == [("restore", "neighbour/host/br0/10.0.0.7")]


def test_a_namespace_takes_what_reaches_out_of_it_and_what_lies_on_that() -> None:
    blue = Key("namespace", HOST, "blue")
    live: Objects = dict(
        [
            (blue, Live(Namespace("blue"), OURS)),
            link("mv1", "macvlan", "in0", below_in="blue"),
            link("in0", "bridge", scope="blue"),
            link("mv1.7", "vlan", "mv1"),
            on("mv1.7", "10.7.0.1/24"),
        ]
    )
    assert names(Consequences(deleted(live, blue), Standing(live)).losses) == names(live) - {"namespace/host/blue"}


RA = via("eth0", "::/0", "fe80::1", form.RTPROT_RA)
ALL = Key("sysctl", HOST, "net.ipv6.conf.all.forwarding")
EVERY_LINK = {
    "learned by the kernel": ("1", True),
    "learned by a router too": ("2", False),
    "learned by a daemon": ("0", False),
}


@pytest.mark.parametrize(("accept_ra", "lost"), EVERY_LINK.values(), ids=EVERY_LINK)
def test_forwarding_drops_the_default_route(accept_ra: str, lost: bool) -> None:
    live: Objects = dict([RA])
    changes = [Change("create", ALL, None, Sysctl(HOST, ALL.name, "1"), (), "none", OURS)]
    asked = unread(changes, live)
    assert asked is not None
    assert asked.sysctls == {HOST: {"net.ipv6.conf.eth0.accept_ra"}}
    values = {(HOST, "net.ipv6.conf.eth0.accept_ra"): accept_ra}
    assert [one.message.partition(" ")[0] for one in measures(changes, Standing(live), {OURS}, values)[1]] == (
        ["route/host/main/::/0"] if lost else []
    )


@st.composite
def forests(draw: st.DrawFn) -> tuple[Objects, dict[str, str], set[str]]:
    """Links, each on one that came before or on none; and some of those that go."""
    size = draw(st.integers(1, 12))
    below = {f"l{n}": f"l{draw(st.integers(0, n - 1))}" if n and draw(st.booleans()) else "" for n in range(size)}
    live = dict(link(name, "macvlan", under) for name, under in below.items())
    live |= dict(on(name, f"10.0.{n}.1/24") for n, name in enumerate(below))
    return live, below, draw(st.sets(st.sampled_from(sorted(below)), min_size=1))


@given(forests())
def test_exactly_what_lies_above_goes(forest: tuple[Objects, dict[str, str], set[str]]) -> None:
    live, below, going = forest

    def goes(name: str) -> bool:
        return bool(name) and (name in going or goes(below[name]))

    taken = Consequences(deleted(live, *(Key("link", HOST, name) for name in going)), Standing(live))
    lost_links = {key.name for key in taken.losses if key.kind == "link"}
    assert lost_links == {name for name in below if goes(below[name]) or (goes(name) and name not in going)}
    lost_addresses = {live[key].object.link for key in taken.losses if key.kind == "address"}
    assert lost_addresses == {name for name in below if goes(name)}
    assert taken.gone == {(HOST, name) for name in below if goes(name)}
    assert all(Ground("device", HOST, name) in taken.taken for name in below if goes(name))


def test_what_bears_our_protocol_and_nobodys_name_is_no_loss_of_others() -> None:
    live: Objects = dict([bridge("br0"), on("br0", "10.0.0.1/24", UNKNOWN)])
    found, problems = measures(deleted(live, BRIDGE), Standing(live), {OURS}, {})
    assert (found.gone, problems) == ((), [])


@pytest.mark.parametrize("turn", [1, -1])
def test_what_ends_for_good_by_one_change_ends_for_good_whatever_another_does(turn: int) -> None:
    live: Objects = dict([bridge("br0"), on("br0", "2001:db8::1/64")])
    every, own = (Key("sysctl", HOST, f"net.ipv6.conf.{link}.disable_ipv6") for link in ("all", "br0"))
    values = ((every, "1"), (own, "0"))
    off_and_on = [Change("create", key, None, Sysctl(HOST, key.name, v), (), "none", OURS) for key, v in values]
    narrow = updated(live, BRIDGE, Bridge(HOST, "br0", up=True, mtu=1000))
    ground = Ground("ipv6", HOST, "br0")
    assert ground not in Consequences(off_and_on, Standing(live)).lasting
    assert ground in Consequences([*off_and_on, *narrow][::turn], Standing(live)).lasting


def test_what_is_put_back_waits_for_the_change_that_took_it() -> None:
    live: Objects = dict([bridge("br0", mac="02:00:00:00:00:aa"), permanent("br0", "10.0.0.7")])
    changes = updated(live, BRIDGE, Bridge(HOST, "br0", up=True, mtu=1500, mac="02:00:00:00:00:bb"))
    found, _ = measures(changes, Standing(live), {OURS}, {})
    last = order(changes, [Names({})], live, found).stages[-1]
    assert [(step.change.action, step.needs) for step in last] == [("restore", (BRIDGE,))]


def test_a_setting_holds_while_the_old_one_goes_and_not_while_the_new_one_comes() -> None:
    key = address.key_of(HOST, "br0", "10.0.0.1/24")
    held = address.Address(HOST, "br0", "10.0.0.1/24")
    change = Change("replace", key, held, held, ("duplicate",), "disruptive", OURS)
    found = Measures(settings={key: [Setting(HOST, "net.ipv4.conf.br0.promote_secondaries", "1", "0")]})
    live: Objects = dict([bridge("br0"), on("br0", "10.0.0.1/24", OURS)])
    steps = [step for stage in order([change], [Names({})], live, found).stages for step in stage]
    written = [[one.value for one in step.requests if isinstance(one, WriteSysctl)] for step in steps]
    assert [step.deleting for step in steps] == [True, False]
    assert written == [["1", "0"], []]
