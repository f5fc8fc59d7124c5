"""A default route that the host learned from a router is not lost when the host is made a router itself."""

from __future__ import annotations

import json
import pathlib
import sys
import time
from typing import Any

import pytest
import router
from throwaway import sh

from reconciler.cli import main

pytestmark = pytest.mark.live
ALL, OWN = "net.ipv6.conf.all.forwarding", "net.ipv6.conf.eth0.accept_ra"


def learned() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(sh("ip -6 -j route show default"))
    return found


@pytest.fixture(autouse=True)
def advertised(host: None) -> None:
    """A router on the link advertises itself until the kernel has the route."""
    for command in (
        "ip netns add isp",
        "ip link add eth0 type veth peer name far0 netns isp",
        "ip -n isp link set far0 addrgenmode none",
        "ip -n isp link set far0 up",
        "ip -n isp addr add fe80::1/64 dev far0 nodad",
        "ip link set eth0 up",
    ):
        sh(command)
    for _ in range(50):
        sh(f"ip netns exec isp {sys.executable} {router.__file__} far0 1800")
        if learned():
            return
        time.sleep(0.1)
    pytest.fail("the kernel does not learn the route")


def run(tmp_path: pathlib.Path, sysctls: dict[str, int], *flags: str) -> int:
    file = tmp_path / "topology.yaml"
    file.write_text(json.dumps({"version": 1, "name": "t", "sysctls": sysctls}))
    return main.main(["apply", *flags, str(file)])


def test_forwarding_would_drop_it_and_is_refused(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = learned()
    assert run(tmp_path, {ALL: 1}) != 0
    told = capsys.readouterr().err
    assert "eth0 learned it from a router" in told
    assert "set accept_ra of eth0 to 2" in told
    assert [one["gateway"] for one in learned()] == [one["gateway"] for one in before]


def test_with_force_it_is_named_and_goes(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, {ALL: 1}, "--force") == 0
    assert "is gone then" in capsys.readouterr().out
    assert not learned()


def test_accept_ra_2_keeps_it_and_is_written_first(tmp_path: pathlib.Path) -> None:
    assert run(tmp_path, {ALL: 1, OWN: 2}) == 0
    assert learned()


def test_where_accept_ra_is_2_already_nothing_is_refused(tmp_path: pathlib.Path) -> None:
    sh(f"sysctl -qw {OWN}=2")
    assert run(tmp_path, {ALL: 1}) == 0
    assert learned()
