"""Converts a Docker Compose file to a topology; everything without an equivalent is reported."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from reconciler.language.compose.network import network_of
from reconciler.language.compose.words import Left, mapping, scalar, words
from reconciler.language.schema import Document
from reconciler.model.errors import Problem
from reconciler.model.quoting import Path, quoted

DEFAULT = "default"  # the network of the services that name none
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
_LONG = ("target", "published", "host_ip", "protocol")


def convert(document: Document) -> tuple[dict[str, Any], list[Problem]]:
    """The topology, and a problem for each part of the file that has no equivalent in it."""
    left = Left(document)
    data = document.data
    left.others((), data, {"version", "name", "services", "networks"})
    networks: dict[str, Any] = {}
    for name, entry in mapping(data.get("networks"), ("networks",), left).items():
        if _named(name, ("networks", name), left):
            networks[name] = network_of(mapping(entry, ("networks", name), left), ("networks", name), left)
    sandboxes: dict[str, Any] = {}
    for name, entry in mapping(data.get("services"), ("services",), left).items():
        path: Path = ("services", name)
        sandbox = _sandbox(mapping(entry, path, left), path, left) if _named(name, path, left) else None
        if sandbox is not None:
            sandboxes[name] = sandbox
            _no_way_out_of_internal(sandbox, networks, path, left)
    if any(DEFAULT in one.get("endpoints", ()) for one in sandboxes.values()):
        networks = {DEFAULT: networks.pop(DEFAULT, {}), **networks}
    topology = {"version": 1, "name": _topology_name(document), "networks": networks, "sandboxes": sandboxes}
    return {word: value for word, value in topology.items() if value != {}}, sorted(set(left.problems))


def _no_way_out_of_internal(sandbox: dict[str, Any], networks: Mapping[str, Any], path: Path, left: Left) -> None:
    endpoints = sandbox.get("endpoints", {})
    internal = [name for name in endpoints if networks.get(name, {}).get("internal")]
    for name in internal:
        if endpoints[name].pop("default_route", False):
            left((*path, "networks", name, "gw_priority"), f"{name} is internal and gives no default route")
    if len(internal) == len(endpoints) and sandbox.pop("publish", None):
        left((*path, "ports"), "ports have no effect on internal networks, into which nothing gets")


def _topology_name(document: Document) -> str:
    """The project's name by Compose's rules: ``name`` in the file, else the name of its folder."""
    given = document.data.get("name")
    folder = PurePath(os.path.abspath(document.file)).parent.name
    name = re.sub(r"[^a-z0-9-]+", "-", str(given or folder or "compose").lower()).strip("-")[:31]
    return name if name[:1].isalpha() else f"p-{name}"[:31].rstrip("-")


def _named(name: str, path: Path, left: Left) -> bool:
    if _NAME.fullmatch(name) and name not in ("host", "none"):
        return True
    left(path, f"{quoted(name)} cannot be a name in a topology; rename it")
    return False


# ------------------------------------------------------------------ services


def _sandbox(entry: Mapping[str, Any], path: Path, left: Left) -> dict[str, Any] | None:
    known = {
        *("networks", "network_mode", "ports", "dns", "dns_search", "dns_opt", "extra_hosts"),
        *("mac_address", "sysctls", "container_name"),
    }
    left.others(path, entry, known)
    mode = scalar(entry.get("network_mode"), (*path, "network_mode"), left)
    if mode in ("none", "host"):
        return _predefined(str(mode), entry, path, left)
    if mode not in (None, "bridge", DEFAULT):
        left((*path, "network_mode"), f"network_mode {quoted(mode)} has no equivalent; the service is left out")
        return None
    if mode == "bridge":
        left((*path, "network_mode"), "Docker's own network bridge is not this project's; taken as the default network")
    sandbox: dict[str, Any] = {"endpoints": _endpoints(entry, path, left)}
    parts = {
        "publish": list(_published(entry, path, left)),
        "dns": _dns(entry, path, left),
        "hosts": dict(_hosts(entry.get("extra_hosts"), (*path, "extra_hosts"), left)),
        "sysctls": dict(_sysctls(entry.get("sysctls"), (*path, "sysctls"), left)),
    }
    return sandbox | {word: value for word, value in parts.items() if value}


def _predefined(mode: str, entry: Mapping[str, Any], path: Path, left: Left) -> dict[str, Any]:
    lost = {"ports", "networks", "mac_address"} | (
        {"dns", "dns_search", "dns_opt", "extra_hosts", "sysctls"} if mode == "host" else set()
    )
    for word in [word for word in entry if word in lost]:
        left((*path, word), f"{word} has no effect with network_mode {mode}")
    if mode == "host":
        return {"network": "host"}
    dns, hosts = _dns(entry, path, left), dict(_hosts(entry.get("extra_hosts"), (*path, "extra_hosts"), left))
    return {"network": "none"} | ({"dns": dns} if dns else {}) | ({"hosts": hosts} if hosts else {})


def _endpoints(entry: Mapping[str, Any], path: Path, left: Left) -> dict[str, Any]:
    listed = entry.get("networks") or [DEFAULT]
    at: Path = (*path, "networks")
    joined = dict.fromkeys(words(listed, at, left)) if isinstance(listed, list) else mapping(listed, at, left)
    own = {name: mapping(endpoint, (*at, name), left) for name, endpoint in joined.items()}
    endpoints = {name: _endpoint(endpoint, (*at, name), left) for name, endpoint in own.items()}
    best = max(own, key=lambda name: _priority(own[name]), default="")
    if best and _priority(own[best]) > 0:
        endpoints[best]["default_route"] = True
    mac = scalar(entry.get("mac_address"), (*path, "mac_address"), left)
    if mac is not None:
        next(iter(endpoints.values()), {}).setdefault("mac", mac)
    alias = scalar(entry.get("container_name"), (*path, "container_name"), left)
    for endpoint in endpoints.values() if alias is not None else ():
        endpoint.setdefault("aliases", []).append(alias)
    return endpoints


def _priority(entry: Mapping[str, Any]) -> int:
    priority = entry.get("gw_priority")
    return priority if isinstance(priority, int) else 0


def _endpoint(entry: Mapping[str, Any], path: Path, left: Left) -> dict[str, Any]:
    left.others(path, entry, {*_ENDPOINT, "ipv4_address", "ipv6_address", "aliases", "gw_priority"})
    addresses = [scalar(entry.get(word), (*path, word), left) for word in ("ipv4_address", "ipv6_address")]
    addresses = [address for address in addresses if address is not None]
    endpoint: dict[str, Any] = {}
    if addresses:
        endpoint["address"] = addresses[0] if len(addresses) == 1 else addresses
    for word, ours in _ENDPOINT.items():
        value = scalar(entry.get(word), (*path, word), left)
        if value is not None:
            endpoint[ours] = value
    if entry.get("aliases"):
        endpoint["aliases"] = words(entry["aliases"], (*path, "aliases"), left)
    return endpoint


_ENDPOINT = {"mac_address": "mac", "interface_name": "name"}


def _published(entry: Mapping[str, Any], path: Path, left: Left) -> Iterator[Any]:
    listed = entry.get("ports") or []
    for index, port in enumerate(listed if isinstance(listed, list) else [listed]):
        at: Path = (*path, "ports", index)
        if isinstance(port, dict):
            left.others(at, port, set(_LONG))
            values = {word: scalar(port.get(word), (*at, word), left) for word in _LONG}
            yield {word: value for word, value in values.items() if value is not None}
        else:
            value = scalar(port, at, left)
            if value is not None:
                yield value


def _dns(entry: Mapping[str, Any], path: Path, left: Left) -> dict[str, Any]:
    ours = {"dns": "nameservers", "dns_search": "search", "dns_opt": "options"}
    return {our: words(entry[word], (*path, word), left) for word, our in ours.items() if entry.get(word)}


def _hosts(written: Any, path: Path, left: Left) -> Iterator[tuple[str, Any]]:
    """``name:address`` or ``name=address`` in a list, or a mapping."""
    if isinstance(written, dict):
        pairs = [(name, address, (*path, name)) for name, address in written.items()]
    else:
        texts = words(written, path, left)
        matches = [(re.match(r"([^:=]+)[:=](.+)", text), (*path, index), text) for index, text in enumerate(texts)]
        pairs = [(match[1], match[2], at) for match, at, _ in matches if match]
        for _, at, text in [entry for entry in matches if not entry[0]]:
            left(at, f"{quoted(text)} is not NAME:ADDRESS")
    for name, address, at in pairs:
        if address == "host-gateway":
            left(at, f"host-gateway has no equivalent; write the gateway's address for {name}")
        elif isinstance(address, list):
            yield str(name).strip(), [text.strip("[] ") for text in words(address, at, left)]
        else:
            yield str(name).strip(), str(address).strip("[] ")


def _sysctls(written: Any, path: Path, left: Left) -> Iterator[tuple[str, Any]]:
    pairs = (
        written.items() if isinstance(written, dict) else [text.split("=", 1) for text in words(written, path, left)]
    )
    for pair in pairs:
        key, value = (*pair, "")[:2]
        if str(key).startswith(("net.", "net/")):
            yield str(key), value
        else:
            left(path, f"{key} is not a setting of the network")
