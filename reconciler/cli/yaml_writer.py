"""Writes a topology as YAML in a fixed form: sections in one order, short values on one line, no anchors."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from typing import Any

import yaml

from reconciler.kinds import KINDS, LINK_SECTIONS

# Sections of links come first, then these, then those of all other kinds.
_ORDER = "routes sysctls port_maps masquerades isolations dns hosts".split()
WIDTH = 120
_ONE_LINE = 100  # characters that a mapping or list may take on one line
_MAP, _SEQ = "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"


def text(data: Mapping[str, Any]) -> str:
    """The YAML of a topology; reading it gives the same data."""
    known = {section: data[section] for section in sections() if section in data}
    rest = {section: value for section, value in data.items() if section not in known}
    done: dict[int, Any] = {}
    styled = {section: _styled(value, done) for section, value in {**known, **rest}.items()}
    return yaml.dump(
        styled, Dumper=_dumper(), sort_keys=False, width=WIDTH, allow_unicode=True, default_flow_style=False
    )


def sections() -> tuple[str, ...]:
    """The keys of a topology in the order of the output."""
    others = [section for kind in KINDS if not kind.has_ends for section in kind.sections if section != "namespaces"]
    others.sort(key=lambda section: _ORDER.index(section) if section in _ORDER else len(_ORDER))
    return "version", "name", *LINK_SECTIONS, *others, "namespaces", "networks", "sandboxes", "expect"


def print_topologies(listed: Iterable[Mapping[str, Any]]) -> None:
    """Print each topology as one document, with --- between them."""
    sys.stdout.write("---\n".join(text(data) for data in listed))


class _Short(dict[str, Any]):
    """A mapping to write on one line."""


class _ShortList(list[Any]):
    """A list to write on one line."""


def _styled(value: Any, done: dict[int, Any]) -> Any:
    """The value with its innermost mappings and lists as _Short and _ShortList where they fit on a line.

    ``done`` is the result by id of the value, since many sandboxes share one mapping of hosts.
    """
    if not isinstance(value, dict | list | tuple):
        return value
    if id(value) not in done:
        done[id(value)] = _marked(value, done)
    return done[id(value)]


def _marked(value: Any, done: dict[int, Any]) -> Any:
    if isinstance(value, dict):
        inner = {key: _styled(part, done) for key, part in value.items()}
        return _Short(inner) if _fits(inner, inner.values()) else inner
    items = [_styled(part, done) for part in value]
    return _ShortList(items) if _fits(items, items) and not any(isinstance(part, dict) for part in items) else items


def _fits(whole: Any, inner: Any) -> bool:
    plain = all(not isinstance(part, dict | list) or isinstance(part, _Short | _ShortList) for part in inner)
    return plain and len(str(whole)) <= _ONE_LINE


@cache
def _dumper() -> Any:
    base: Any = getattr(import_module("yaml"), "CSafeDumper", yaml.SafeDumper)

    class Dumper(base):  # type: ignore[misc]
        """A dumper without anchors: a mapping that is used twice is written twice."""

        def ignore_aliases(self, _data: Any) -> bool:
            return True

    Dumper.add_representer(_Short, lambda dumper, data: dumper.represent_mapping(_MAP, data.items(), flow_style=True))
    Dumper.add_representer(_ShortList, lambda dumper, data: dumper.represent_sequence(_SEQ, data, flow_style=True))
    return Dumper
