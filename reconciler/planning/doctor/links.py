"""Mistakes in the links themselves: rings of bridges, and addresses that get no answers."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.kinds import having
from reconciler.model.keys import Key
from reconciler.planning import loops
from reconciler.planning.finding import LISTED, Finding, Objects

_PORTS, _HOLDS = having(lambda kind: kind.ports), having(lambda kind: kind.holds)


def rings(objects: Objects) -> Iterator[Finding]:
    """Rings of bridges of which none runs STP."""
    return (_loop(key, ring) for key, ring in loops.closing(objects))


def _loop(key: Key, ring: list[str]) -> Finding:
    names = ", ".join(ring[:LISTED]) + (", ..." if len(ring) > LISTED else "")
    message = f"it closes a ring of bridges ({names}) and none of them runs STP: a broadcast circles there for ever"
    return Finding(key.scope, "loop", key, message, "declare stp: true for one of them, or take an end off its bridge")


def dead_addresses(objects: Objects, beside: Objects) -> Iterator[Finding]:
    """Addresses on ports of bridges: packets that arrive at a port go to the bridge, so these addresses are dead."""
    masters: dict[tuple[str, str], str] = {}
    for key, value in objects.items():
        ports = _PORTS.get(key.kind)
        if ports is not None:
            masters.update(ports(value))
    for key, value in {**_holding(beside), **_holding(objects)}.items() if masters else ():
        link, address = _HOLDS[key.kind](value)
        bridge = masters.get((key.scope, link))
        if bridge is not None and not address.startswith("fe80:"):
            message = f"{link} is a port of {bridge}, so what is sent from this address gets no answer"
            off = f"foreign_addresses: remove on {link} takes it off, unless it is a lease"
            hint = f"give it to {bridge}" if key in objects else off
            yield Finding(key.scope, "dead", key, message, hint)


def _holding(objects: Objects) -> Objects:
    return {key: value for key, value in objects.items() if key.kind in _HOLDS}
