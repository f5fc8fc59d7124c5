"""What one setting does to others: the table of kinds/sysctl_effects.py against the kernel."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from reconciler.kinds import sysctl_effects

ROOT = "/proc/sys/"


def values() -> dict[str, str]:
    found = {}
    for folder in ("ipv4/conf", "ipv6/conf"):
        for path, _, names in os.walk(f"{ROOT}net/{folder}"):
            for name in names:
                try:
                    with open(os.path.join(path, name), encoding="ascii") as file:
                        found[f"{path.removeprefix(ROOT)}/{name}".replace("/", ".")] = file.read().strip()
                except OSError:
                    continue
    with open(f"{ROOT}net/ipv4/ip_forward", encoding="ascii") as file:
        return {**found, sysctl_effects.IP_FORWARD: file.read().strip()}


def write(key: str, value: str) -> bool:
    try:
        with open(ROOT + key.replace(".", "/"), "w", encoding="ascii") as file:
            file.write(value)
    except OSError:
        return False
    return True


def written() -> Iterator[tuple[str, str, dict[str, str], dict[str, str]]]:
    """Each setting for all links and for new ones: the value that is written, and all settings before and after."""
    for key, value in sorted(values().items()):
        if sysctl_effects.level(key) < 2 and value.lstrip("-").isdigit():
            before = values()
            other = {"0": "1"}.get(value, "0")
            if write(key, other) and (after := values())[key] == other:
                yield key, other, before, after


def test_what_the_kernel_changes_along_is_what_the_table_says(sh: Callable[[str], str]) -> None:
    sh("ip link set lo up && ip link add a0 type veth peer name b0 && ip link set a0 up")
    seen = set()
    for key, value, before, after in written():
        changed = {name for name in after if after[name] != before.get(name) and name != key}
        foretold = {name: dict(sysctl_effects.causes(name)).get(key) for name in after}
        wrong = {name for name in changed if not (left := foretold[name]) or left(value) != after[name]}
        mirrored = {sysctl_effects.IP_FORWARD} if key == sysctl_effects.ALL_FORWARDING else set()
        assert wrong <= mirrored, f"{key} = {value} changes {wrong}"
        assert changed - mirrored <= set(sysctl_effects.reached(key, ["a0", "b0", "lo"]))
        unmoved = {name for name, left in foretold.items() if left and left(value) != after[name] and name != key}
        # A default leaves alone the links on which the setting was written, or that were ever given an address.
        assert all(".lo." in name for name in unmoved), f"{key} = {value} does not change {unmoved}"
        seen |= changed
    assert {"net.ipv4.conf.a0.rp_filter", "net.ipv6.conf.b0.disable_ipv6", "net.ipv4.conf.a0.forwarding"} <= seen
