"""Settings of links that go with them: read once of a thousand alike, and none missed."""

from __future__ import annotations

import contextlib
import pathlib

import pytest
from throwaway import sh

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.proc import link_settings

pytestmark = pytest.mark.live
CONF = pathlib.Path("/proc/sys/net")
TRIED = ("1", "0", "2", "3", "5", "20", "1300", "30000", "-1", "2001:db8::1")


def given(path: pathlib.Path) -> tuple[str, str] | None:
    """Give a file another value: (before, after); None where it takes none."""
    before = ""
    with contextlib.suppress(OSError):
        before = path.read_text().strip()
    for value in TRIED:
        with contextlib.suppress(OSError):
            path.write_text(value)
            after = path.read_text().strip()
            if after != before:
                return before, after
    return None


@pytest.mark.parametrize("family", link_settings.FAMILIES)
def test_every_setting_that_was_changed_is_found_on_its_own_link_alone(kernel: Kernel, family: str) -> None:
    for number in range(3):
        sh(f"ip link add v{number} type veth peer name p{number}; ip link set v{number} up; ip link set p{number} up")
    links = {"host": ["v0", "v1", "v2"]}
    plain = link_settings.read_link_settings(kernel, links)
    assert len(plain) == 1  # they are alike
    assert link_settings.differing(kernel, plain) == {}
    seen = 0
    for path in sorted((CONF / family / "conf" / "v1").iterdir()):
        changed = given(path)
        if changed is None or path.name == "mtu":
            continue
        key = ("host", f"net.{family}.conf.v1.{path.name}")
        found = link_settings.differing(kernel, plain)
        assert found.pop(key, "") == changed[0], path
        assert not [place for place in found if ".v1." not in place[1]], path
        after = link_settings.read_link_settings(kernel, links)
        with contextlib.suppress(OSError):
            path.write_text(changed[0])
        if path.read_text().strip() == changed[0]:
            assert link_settings.differing(kernel, after)[key] == changed[1], path
        seen += 1
    assert seen > 20


def test_links_that_are_made_anew_in_namespaces_with_other_defaults(kernel: Kernel) -> None:
    veth = "link add v0 type veth peer name v1"
    for name in ("blue", "red"):
        sh(f"ip netns add {name}; ip -n {name} {veth}")
        sh(f"ip netns exec {name} sysctl -qw net.ipv4.conf.v0.rp_filter=1 net.ipv4.conf.v0.tag=7")
        sh(f"ip netns exec {name} sysctl -qw net.ipv4.conf.v1.rp_filter=0")
    sh("ip netns exec red sysctl -qw net.ipv4.conf.default.rp_filter=1")
    sh("ip netns exec blue sysctl -qw net.ipv4.conf.default.rp_filter=0")
    before = link_settings.read_link_settings(kernel, {"blue": ["v0", "v1"], "red": ["v0", "v1"], "host": []})
    sh("ip -n blue link del v0; ip -n red link del v0")
    assert link_settings.differing(kernel, before) == {}  # nothing to give it back to
    sh(f"ip -n blue {veth}; ip -n red {veth}")
    assert link_settings.differing(kernel, before) == {
        ("blue", "net.ipv4.conf.v0.tag"): "7",
        ("red", "net.ipv4.conf.v0.tag"): "7",
        ("blue", "net.ipv4.conf.v0.rp_filter"): "1",
        ("red", "net.ipv4.conf.v1.rp_filter"): "0",
    }
    sh("ip netns del red")
    assert {scope for scope, _ in link_settings.differing(kernel, before)} == {"blue"}


def test_a_link_without_ipv6_keeps_what_it_has(kernel: Kernel) -> None:
    sh("ip link add v0 type veth peer name v1; ip link set v0 up; sysctl -qw net.ipv6.conf.v0.hop_limit=9")
    before = link_settings.read_link_settings(kernel, {"host": ["v0"]})
    sh("ip link set v0 mtu 1200; sysctl -qw net.ipv4.conf.v0.tag=3")  # less than IPv6 needs: it leaves the link
    assert not (CONF / "ipv6/conf/v0").exists()
    assert link_settings.differing(kernel, before) == {("host", "net.ipv4.conf.v0.tag"): "0"}
    sh("ip link set v0 mtu 1500")
    assert link_settings.differing(kernel, before)["host", "net.ipv6.conf.v0.hop_limit"] == "9"


def test_a_link_that_is_not_there_has_none(kernel: Kernel) -> None:
    assert link_settings.read_link_settings(kernel, {"host": ["nowhere"]}) == []
