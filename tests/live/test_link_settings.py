"""Settings of links that go with them: read once of a thousand alike, and none missed."""

from __future__ import annotations

import contextlib
import pathlib

import pytest
from throwaway import sh

from reconciler.kernel import link_settings
from reconciler.kernel.namespaces import Kernel

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
    seen = 0
    for path in sorted((CONF / family / "conf" / "v1").iterdir()):
        changed = given(path)
        if changed is None or path.name == "mtu":
            continue
        found = link_settings.read_link_settings(kernel, links)
        key = ("host", f"net.{family}.conf.v1.{path.name}")
        newborn = (CONF / family / "conf" / "default" / path.name).read_text().strip() if changed[0] else ""
        assert found.get(key, newborn) == changed[1], path
        others = {place: value for place, value in found.items() if ".v1." not in place[1]}
        assert others == {place: value for place, value in plain.items() if ".v1." not in place[1]}, path
        seen += 1
        with contextlib.suppress(OSError):
            path.write_text(changed[0])
    assert seen > 20


def test_links_that_are_alike_in_namespaces_with_other_defaults(kernel: Kernel) -> None:
    for name in ("blue", "red"):
        sh(f"ip netns add {name}; ip -n {name} link add v0 type veth peer name v1")
        sh(f"ip netns exec {name} sysctl -qw net.ipv4.conf.v0.rp_filter=1 net.ipv4.conf.v0.tag=7")
    sh("ip netns exec red sysctl -qw net.ipv4.conf.default.rp_filter=1 net.ipv4.conf.v1.rp_filter=0")
    sh("ip netns exec blue sysctl -qw net.ipv4.conf.default.rp_filter=0 net.ipv4.conf.v1.rp_filter=0")
    found = link_settings.read_link_settings(kernel, {"blue": ["v0", "v1"], "red": ["v0", "v1"], "host": []})
    ours = {place: value for place, value in found.items() if place[1].endswith((".tag", ".rp_filter"))}
    assert ours == {
        ("blue", "net.ipv4.conf.v0.tag"): "7",
        ("red", "net.ipv4.conf.v0.tag"): "7",
        ("blue", "net.ipv4.conf.v0.rp_filter"): "1",
        ("red", "net.ipv4.conf.v1.rp_filter"): "0",
    }


def test_a_link_that_is_not_there_has_none(kernel: Kernel) -> None:
    assert link_settings.read_link_settings(kernel, {"host": ["nowhere"]}) == {}
