"""Leaves out of a read project what has done its work or means nothing, and brings old forms to the new one."""

from __future__ import annotations

from reconciler.language.compose.casts import ANY, matches
from reconciler.language.compose.node import Node
from reconciler.model.quoting import Path

# where x- keys are remarks; elsewhere they are names
_REMARKS: tuple[Path, ...] = (
    *((), ("services", ANY), ("services", ANY, "networks", ANY), ("services", ANY, "ports", ANY)),
    *(("networks", ANY), ("networks", ANY, "ipam"), ("networks", ANY, "ipam", "config", ANY)),
)
_DONE: dict[Path, tuple[str, ...]] = {(): ("version", "include"), ("services", ANY): ("extends", "profiles")}


def normal(node: Node, path: Path = ()) -> Node:
    """The node as Compose means it."""
    if isinstance(node.value, dict):
        kept = {key: value for key, value in node.value.items() if not _without_meaning(key, path)}
        whole = node.of({key: normal(value, (*path, key)) for key, value in kept.items()})
        return _external(whole) if matches(path, ("networks", ANY)) else whole
    if isinstance(node.value, list):
        items = [normal(item, (*path, index)) for index, item in enumerate(node.value)]
        if matches(path, _HOSTS):
            items = [one for item in items for one in _addresses(item)]
        return node.of([item for item in items if not matches(path, _DNS) or item.value not in ("", None)])
    return node.of([]) if matches(path, _DNS) and node.value == "" else node


_DNS: Path = ("services", ANY, "dns")
_HOSTS: Path = ("services", ANY, "extra_hosts")


def _addresses(host: Node) -> list[Node]:
    """``NAME:ADDRESS,ADDRESS`` as one entry for each address."""
    if not isinstance(host.value, str):
        return [host]
    separator = "=" if "=" in host.value else ":"
    name, _, addresses = host.value.partition(separator)
    return [host.of(f"{name}{separator}{address}") for address in addresses.split(",")] if addresses else [host]


def _without_meaning(key: str, path: Path) -> bool:
    if key.startswith("x-"):
        return any(matches(path, pattern) for pattern in _REMARKS)
    return any(key in words and matches(path, pattern) for pattern, words in _DONE.items())


def _external(network: Node) -> Node:
    """``external: {name: X}`` is the old form of ``external: true`` and ``name: X``."""
    external = network.get("external")
    if external is None or not isinstance(external.value, dict):
        return network
    name = external.get("name")
    names = {"name": name} if name is not None else {}
    return network.of({**names, **network.entries, "external": external.of(True)})
