"""Converts one network of a Compose file to a network of a topology."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.language.compose.words import Left, mapping, scalar
from reconciler.model.quoting import Path, quoted

# Docker's driver_opts -> our word, and the type of its value
_OPTIONS = {
    "com.docker.network.bridge.name": ("bridge", str),
    "com.docker.network.driver.mtu": ("mtu", int),
    "com.docker.network.bridge.enable_icc": ("icc", bool),
    "com.docker.network.bridge.enable_ip_masquerade": ("masquerade", bool),
}


def network_of(entry: Mapping[str, Any], path: Path, left: Left) -> dict[str, Any]:
    """The network of a topology; ``left`` gets what has no equivalent."""
    left.others(path, entry, {"driver", "driver_opts", "ipam", "internal", "enable_ipv6", "external", "name"})
    driver = scalar(entry.get("driver"), (*path, "driver"), left)
    if driver not in (None, "bridge", "default"):
        left((*path, "driver"), f"the driver {quoted(driver)} has no equivalent; taken as bridge")
    if entry.get("external"):
        left((*path, "external"), "a network made elsewhere; taken as one of this topology")
    if "name" in entry:
        left((*path, "name"), f"its name outside of this file, {quoted(entry['name'])}, has no equivalent")
    network = _subnets(mapping(entry.get("ipam"), (*path, "ipam"), left), (*path, "ipam"), left)
    if _truth(entry.get("internal")):
        network["internal"] = True
    six = [subnet for subnet in network.get("subnets", ()) if ":" in subnet]
    if _truth(entry.get("enable_ipv6")) and not six:
        network["ipv6"] = True
    if six and len(six) == len(network["subnets"]):
        left((*path, "ipam"), "Docker would add an IPv4 subnet of its own choice; write one into subnets")
    options = mapping(entry.get("driver_opts"), (*path, "driver_opts"), left)
    left.others((*path, "driver_opts"), options, _OPTIONS)
    for word, value in options.items():
        if word in _OPTIONS:
            network.update(_option(word, value, (*path, "driver_opts", word), left))
    return network


def _truth(value: Any) -> bool:
    return str(value).lower() in ("true", "1", "yes")


def _option(word: str, value: Any, path: Path, left: Left) -> dict[str, Any]:
    ours, form = _OPTIONS[word]
    text = str(scalar(value, path, left))
    if form is bool:
        return {ours: _truth(text)}
    return {ours: int(text) if form is int and text.isdecimal() else text}


def _subnets(ipam: Mapping[str, Any], path: Path, left: Left) -> dict[str, Any]:
    left.others(path, ipam, {"driver", "config"})
    if ipam.get("driver") not in (None, "default"):
        left((*path, "driver"), f"the address driver {quoted(ipam['driver'])} has no equivalent")
    lists: dict[str, list[Any]] = {"subnets": [], "gateway": [], "ip_range": []}
    words = {"subnet": "subnets", "gateway": "gateway", "ip_range": "ip_range"}
    configs = ipam.get("config")
    for index, entry in enumerate(configs if isinstance(configs, list) else ()):
        at: Path = (*path, "config", index)
        config = mapping(entry, at, left)
        left.others(at, config, words)
        for word, ours in words.items():
            value = scalar(config.get(word), (*at, word), left)
            if value is not None:
                lists[ours].append(str(value))
    short = {ours: values[0] if len(values) == 1 and ours != "subnets" else values for ours, values in lists.items()}
    return {ours: value for ours, value in short.items() if value}
