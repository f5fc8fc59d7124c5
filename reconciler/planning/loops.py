"""Bridges that veths join in a ring: without the spanning tree a broadcast circles there for ever."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.model.keys import Key

Place = tuple[str, str]  # scope, bridge


def closing(objects: Mapping[Key, Any]) -> Iterator[tuple[Key, list[str]]]:
    """Each veth that closes a ring in which no bridge runs STP, with the bridges of the ring's whole."""
    joined: dict[Place, Place] = {}
    members: dict[Place, list[Place]] = {}
    rings: list[Key] = []
    for key, veth in objects.items():
        if key.kind != "veth" or not veth.end.master or not veth.peer.master:
            continue
        if veth.end.up is False or veth.peer.up is False:
            continue
        one, other = (_root(joined, (end.scope, end.master)) for end in (veth.end, veth.peer))
        if one == other:
            rings.append(key)
        joined[other] = one
    for place in list(joined):
        members.setdefault(_root(joined, place), []).append(place)
    for key in rings:
        end = objects[key].end
        ring = members[_root(joined, (end.scope, end.master))]
        if not any(_runs_stp(objects, place) for place in ring):
            yield key, [f"{name} in {scope}" for scope, name in sorted(ring)]


def _root(joined: dict[Place, Place], place: Place) -> Place:
    while joined.setdefault(place, place) != place:
        place = joined[place]
    return place


def _runs_stp(objects: Mapping[Key, Any], place: Place) -> bool:
    bridge = objects.get(Key("bridge", *place))
    return bridge is not None and bool(bridge.stp)
