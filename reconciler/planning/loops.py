"""Finds rings of bridges without the spanning tree protocol, in which a broadcast circles for ever."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.kinds import BY_NAME, having
from reconciler.kinds.grounds import Place
from reconciler.model.keys import Key

_JOINS, _SPANNING = having(lambda kind: kind.joins), having(lambda kind: kind.spanning)


def closing(objects: Mapping[Key, Any]) -> Iterator[tuple[Key, list[str]]]:
    """Each link that closes a ring in which no bridge runs STP, with all bridges that are connected to the ring."""
    joined: dict[Place, Place] = {}
    members: dict[Place, list[Place]] = {}
    rings: list[tuple[Key, Place]] = []
    for key, value in objects.items():
        joins = _JOINS.get(key.kind)
        bridges = joins(value) if joins is not None else None
        if bridges is None:
            continue
        one, other = (root(joined, bridge) for bridge in bridges)
        if one == other:
            rings.append((key, one))
        joined[other] = one
    for place in list(joined):
        members.setdefault(root(joined, place), []).append(place)
    opened = _opened(objects) if rings else frozenset()
    for key, place in rings:
        ring = members[root(joined, place)]
        if opened.isdisjoint(ring):
            yield key, [f"{name} in {scope}" for scope, name in sorted(ring)]


def root(joined: dict[Place, Place], place: Place) -> Place:
    """The place that stands for all that are joined with this one."""
    while joined.setdefault(place, place) != place:
        place = joined[place]
    return place


def _opened(objects: Mapping[Key, Any]) -> frozenset[Place]:
    """The bridges that run STP, which blocks one port of each ring."""
    kinds = ((key, value, _SPANNING.get(key.kind)) for key, value in objects.items())
    spanned = (BY_NAME[key.kind].links(value) for key, value, spanning in kinds if spanning and spanning(value))
    return frozenset(place for places in spanned for place in places)
