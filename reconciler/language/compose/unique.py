"""Lists in which Compose keeps only the last entry of those that are about the same thing, in the first one's place."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.language.compose.casts import ANY, matches
from reconciler.language.compose.node import Node
from reconciler.language.compose.ports import expanded, identity
from reconciler.model.quoting import Path

_SERVICE = ("services", ANY)
_KEYED: tuple[Path, ...] = (  # texts with a key before an equals sign, or that are keys themselves
    *((*_SERVICE, word) for word in ("cap_add", "cap_drop", "dns", "dns_opt", "dns_search", "environment", "expose")),
    *((*_SERVICE, word) for word in ("labels", "links", "profiles", "sysctls", "tmpfs")),
    *((*_SERVICE, "networks", ANY, word) for word in ("aliases", "link_local_ips")),
    ("networks", ANY, "labels"),
)
_PORTS: Path = (*_SERVICE, "ports")


def unique(node: Node, path: Path = ()) -> Node:
    """The node with the last of equal entries in its lists."""
    if isinstance(node.value, dict):
        return node.of({key: unique(item, (*path, key)) for key, item in node.value.items()})
    if not isinstance(node.value, list):
        return node
    if matches(path, _PORTS):
        return node.of(_unique_ports(node.items))
    if any(matches(path, pattern) for pattern in _KEYED):
        return node.of(list({_key(item): item for item in node.items}.values()))
    return node


def _key(item: Node) -> object:
    return item.value.partition("=")[0] if isinstance(item.value, str) else item.value if _scalar(item) else id(item)


def _scalar(item: Node) -> bool:
    return not isinstance(item.value, dict | list)


def _unique_ports(items: list[Node]) -> list[Node]:
    """As written where no two publish the same port; ranges that share a port are written out one by one."""
    items = list({_as_written(item): item for item in items}.values())
    if not _overlap(items):
        return items
    singles = [single for item in items for single in expanded(item)]
    return list({identity(single): single for single in singles}.values())


def _as_written(item: Node) -> object:
    return item.value if _scalar(item) else identity(item)


def _overlap(items: Iterable[Node]) -> bool:
    identities = [identity(single) for item in items for single in expanded(item)]
    return len(set(identities)) < len(identities)
