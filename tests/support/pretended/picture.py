"""All that a host's namespaces hold, by names: two pictures are equal when nothing is different."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.model.rows import LinkRow, RouteRow, ScopeState


def picture(states: Mapping[str, ScopeState], settings: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """By namespace what is in it, with names in the place of numbers."""
    return {
        scope: {
            "links": sorted(_link(row, state, states) for row in state.links.values()),
            "addresses": [_named(row, state.links[row.index].name) for row in state.addresses],
            "routes": sorted(_route(row, state.links) for row in state.routes),
            "rules": sorted(f"{row.family} {row.priority} {row.protocol} {row.text}" for row in state.rules),
            "neighbours": sorted(_named(row, state.links[row.index].name) for row in state.neighbours),
            "tables": {name: {**table.frame, **table.elements} for name, table in state.tables.items()},
            "settings": dict(settings[scope]),
        }
        for scope, state in states.items()
    }


def _link(row: LinkRow, state: ScopeState, states: Mapping[str, ScopeState]) -> str:
    tables = {"data": dict(sorted(row.data.items())), "port": dict(sorted(row.port.items()))}
    plain = dataclasses.replace(row, index=0, master=0, peer=0, peer_nsid=0, **tables)
    master = state.links[row.master].name if row.master else ""
    return f"{plain} master={master} on={_under(row, state, states)}"


def _under(row: LinkRow, state: ScopeState, states: Mapping[str, ScopeState]) -> str:
    if row.index in state.peers:
        scope, index = state.peers[row.index]
        return f"{scope}/{states[scope].links[index].name}"
    here = row.peer and row.peer_nsid < 0
    return state.links[row.peer].name if here else "elsewhere" if row.peer else ""


def _named(row: Any, link: str) -> str:
    rest = {"rest": tuple(one for one in row.rest if one != ("IFA_LABEL", link))} if hasattr(row, "rest") else {}
    return f"{link} {dataclasses.replace(row, index=0, **rest)}"


def _route(row: RouteRow, links: Mapping[int, LinkRow]) -> str:
    hops = tuple(hop._replace(oif=0, via=f"{hop.via} dev {_name(links, hop.oif)}") for hop in row.hops)
    return str(dataclasses.replace(row, hops=hops, raw=b""))


def _name(links: Mapping[int, LinkRow], index: int) -> str:
    return links[index].name if index in links else ""


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What two pictures do not share, as lines."""
    if before == after:
        return []
    lines = [set(_lines("", one)) for one in (before, after)]
    gone, come = sorted(lines[0] - lines[1]), sorted(lines[1] - lines[0])
    return [*(f"- {line}" for line in gone), *(f"+ {line}" for line in come)]


def _lines(name: str, part: Any) -> Iterable[str]:
    if isinstance(part, dict):
        for key, value in part.items():
            yield from _lines(f"{name} {key}", value)
    elif isinstance(part, list):
        yield from (f"{name}: {line}" for line in part)
    else:
        yield f"{name}: {part}"
