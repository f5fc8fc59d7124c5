"""Merges what two Compose files say of one thing: mappings by key, lists one after the other, scalars by the later."""

from __future__ import annotations

from collections.abc import Callable

from reconciler.language.compose.casts import ANY, matches
from reconciler.language.compose.node import OVERRIDE, RESET, Node, refuse
from reconciler.model.quoting import Path, dotted

_SERVICE = ("services", ANY)
_REPLACED: tuple[Path, ...] = (  # the later one counts alone; build, logging and ulimits do not concern the network
    *((*_SERVICE, word) for word in ("build", "command", "entrypoint", "logging", "ulimits")),
    (*_SERVICE, "healthcheck", "test"),
)
_TEXTS: tuple[Path, ...] = (  # a text, a list of texts, or a mapping
    *((*_SERVICE, word) for word in ("annotations", "dns", "dns_opt", "dns_search", "env_file", "environment")),
    *((*_SERVICE, word) for word in ("label_file", "labels", "sysctls", "tmpfs")),
    (*_SERVICE, "deploy", "labels"),
    *((section, ANY, "labels") for section in ("networks", "volumes")),
)
_HOSTS: tuple[Path, ...] = ((*_SERVICE, "extra_hosts"),)
_NAMES: tuple[Path, ...] = ((*_SERVICE, "networks"), (*_SERVICE, "depends_on"))  # a list of keys, or a mapping
_SUBNETS: tuple[Path, ...] = (("networks", ANY, "ipam", "config"),)


def merged(base: Node, over: Node, path: Path = ()) -> Node:
    """``base`` with what ``over`` says of it; what is tagged in ``over`` keeps its tag (see ``settled``).

    Raises InputError where one is a mapping and the other a list or a scalar.
    """
    if over.tag in (RESET, OVERRIDE):
        return over
    for patterns, rule in _RULES:
        if any(matches(path, pattern) for pattern in patterns):
            return rule(base, over, path)
    if over.value is None:
        return base
    if isinstance(base.value, dict | list) and type(base.value) is not type(over.value):
        kind = "a mapping" if isinstance(base.value, dict) else "a list"
        refuse(over, f"{dotted(path)} is {kind} in {base.origin}; write it as {kind} here too")
    if isinstance(base.value, dict):
        return _by_key(base, over, path)
    return base.of([*base.items, *over.items]) if isinstance(base.value, list) else over


def _by_key(base: Node, over: Node, path: Path) -> Node:
    entries = dict(base.entries)
    for key, value in over.entries.items():
        known = entries.get(key)
        entries[key] = value if known is None or key.startswith("x-") else merged(known, value, (*path, key))
    return base.of(entries)


def _replaced(_base: Node, over: Node, _path: Path) -> Node:
    return over


def _texts(base: Node, over: Node, _path: Path) -> Node:
    return base.of([*texts_of(base), *texts_of(over)])


def _hosts(base: Node, over: Node, _path: Path) -> Node:
    """As texts, each once; NAME:ADDRESS is the same as NAME=ADDRESS."""
    kept: dict[str, Node] = {}
    for item in (*texts_of(base), *texts_of(over)):
        text = str(item.value)
        kept.setdefault(text if "=" in text else text.replace(":", "=", 1), item)
    return base.of(list(kept.values()))


def _by_name(base: Node, over: Node, path: Path) -> Node:
    return _by_key(base.of(names_of(base)), over.of(names_of(over)), path)


def _by_subnet(base: Node, over: Node, path: Path) -> Node:
    """The later file's subnets alone; what an earlier one says of the same subnet is merged."""
    known = {_subnet(item): item for item in base.items}
    return over.of([
        merged(known[_subnet(item)], item, (*path, index)) if _subnet(item) in known else item
        for index, item in enumerate(over.items)
    ])  # fmt: skip


def _subnet(item: Node) -> str:
    subnet = item.get("subnet")
    return str(subnet.value) if subnet is not None else ""


_RULES: tuple[tuple[tuple[Path, ...], Callable[[Node, Node, Path], Node]], ...] = (
    (_REPLACED, _replaced),
    (_TEXTS, _texts),
    (_HOSTS, _hosts),
    (_NAMES, _by_name),
    (_SUBNETS, _by_subnet),
)


def texts_of(node: Node) -> list[Node]:
    """A text, a list, or a mapping, as a list of texts: an entry of a mapping becomes KEY=VALUE."""
    if isinstance(node.value, list):
        return node.items
    if not isinstance(node.value, dict):
        return [] if node.value is None else [node]
    pairs = [(key, value) for key in sorted(node.entries) for value in (node.entries[key].items or [node.entries[key]])]
    return [value.of(_pair(key, value.value)) for key, value in pairs]


def _pair(key: str, value: object) -> str:
    if value is None:
        return key
    return f"{key}={str(value).lower() if isinstance(value, bool) else value}"


def names_of(node: Node) -> dict[str, Node]:
    """A mapping, or a list of keys as one."""
    return node.entries or {str(item.value): item.of(None) for item in node.items}


def settled(node: Node) -> Node:
    """The node without what is reset in it, and without tags."""
    if isinstance(node.value, dict):
        kept = {key: settled(item) for key, item in node.value.items() if item.tag != RESET}
        return Node(kept, node.origin)
    if isinstance(node.value, list):
        return Node([settled(item) for item in node.value if item.tag != RESET], node.origin)
    return Node(node.value, node.origin)
