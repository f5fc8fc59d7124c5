"""An IPv4-only bridge hears no IPv6 from its ports; where IPv6 is declared, or others are on it, all is as ever."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable
from typing import Any

import pytest

from reconciler.cli import main

pytestmark = pytest.mark.live

FOUR = """version: 1
name: quiet
bridges: {br0: {addresses: [10.0.0.1/24]}}
veths:
  v1: {master: br0, peer: {namespace: one, name: eth0, addresses: [10.0.0.2/24]}}
  v2: {master: br0, peer: {namespace: two, name: eth0}}
namespaces: {one: {}, two: {}}
"""
SPOKEN = {
    "an_address_on_the_bridge": FOUR.replace("[10.0.0.1/24]", '[10.0.0.1/24, "fd00::1/64"]'),
    "an_address_on_a_peer": FOUR.replace("[10.0.0.2/24]", '[10.0.0.2/24, "fd00::2/64"]'),
    "a_route": FOUR.replace("one: {}", 'one: {routes: [{to: "::/0", via: "fe80::1", dev: eth0}]}'),
    "a_setting": FOUR.replace("two: {}", "two: {sysctls: {net.ipv6.conf.eth0.accept_ra: 2}}"),
    "no_addresses_at_all": FOUR.replace("{addresses: [10.0.0.1/24]}", "{}").replace(", addresses: [10.0.0.2/24]", ""),
}


@pytest.fixture
def apply(tmp_path: pathlib.Path) -> Callable[[str], None]:
    def run(text: str) -> None:
        file = tmp_path / "quiet.yaml"
        file.write_text(text)
        assert main.main(["apply", "-q", str(file)]) == 0
        assert main.main(["check", str(file)]) == 0

    return run


def modes(ip_json: Callable[[str], Any]) -> set[str]:
    rows = [row for arguments in ("-n one", "-n two", "") for row in ip_json(f"{arguments} -d link")]
    return {row["inet6_addr_gen_mode"] for row in rows if row["ifname"] in ("eth0", "v1", "v2")}


def test_nothing_but_ipv4_is_declared(apply: Callable[[str], None], ip_json: Callable[[str], Any], sh: Any) -> None:
    apply(FOUR)
    assert modes(ip_json) == {"none"}
    assert "fe80" not in sh("ip -n one -6 address; ip -n two -6 address")
    sh("ping -n -q -c 1 -w 8 10.0.0.2")


@pytest.mark.parametrize(("text", "silent"), [(FOUR, True), (SPOKEN["an_address_on_the_bridge"], False)])
def test_what_a_link_without_addresses_sends(
    text: str, silent: bool, apply: Callable[[str], None], ip_json: Callable[[str], Any]
) -> None:
    apply(text)
    time.sleep(1.5)  # the first reports and the search for duplicates come at once
    (row,) = ip_json("-n two -s link show eth0")
    assert (row["stats64"]["tx"]["packets"] == 0) == silent


@pytest.mark.parametrize("text", SPOKEN.values(), ids=SPOKEN)
def test_ipv6_is_declared(text: str, apply: Callable[[str], None], ip_json: Callable[[str], Any]) -> None:
    apply(text)
    assert modes(ip_json) == {"eui64"}


def test_a_link_of_others_on_the_bridge(apply: Callable[[str], None], ip_json: Callable[[str], Any], sh: Any) -> None:
    sh("ip link add up0 type veth peer name up1 && ip link set up0 up")
    apply(FOUR + "interfaces: {up0: {master: br0}}\n")
    assert modes(ip_json) == {"eui64"}


def test_links_that_exist_keep_what_they_have(
    apply: Callable[[str], None], ip_json: Callable[[str], Any], sh: Any
) -> None:
    apply(SPOKEN["an_address_on_the_bridge"])
    apply(FOUR)
    assert modes(ip_json) == {"eui64"}
