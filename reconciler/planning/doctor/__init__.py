"""Finds what stops a topology's packets although all its objects are as declared."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from reconciler.kinds import BY_NAME
from reconciler.model.rows import Surroundings
from reconciler.planning.doctor import forwarding, links, listeners
from reconciler.planning.doctor.files import idle
from reconciler.planning.finding import ADMITS, SENDS, Finding, Objects

if TYPE_CHECKING:
    from reconciler.planning.doctor.following import Followed

__all__ = ["Finding", "diagnose", "idle", "published"]

_NOTHING: Objects = MappingProxyType({})


def published(objects: Objects) -> dict[str, set[tuple[str, int]]]:
    """The scopes that forward packets, each with the (protocol, port) pairs that it publishes."""
    by_scope: dict[str, set[tuple[str, int]]] = {}
    for key, value in objects.items():
        if key.kind in SENDS or key.kind in ADMITS:
            ports = by_scope.setdefault(key.scope, set())
            if BY_NAME[key.kind].publishes:
                ports.add((value.protocol, value.port))
    return by_scope


def diagnose(
    objects: Objects,
    around: Mapping[str, tuple[Surroundings, Followed]],
    applied: bool,
    beside: Objects = _NOTHING,
) -> list[Finding]:
    """Every obstacle to the objects' packets.

    ``around`` are the facts of the host by scope, with the packets followed there.  ``applied``: count declared
    sysctls as already set.  ``beside`` are live objects that stay as they are.
    """
    findings: list[Finding] = []
    for facts, followed in around.values():
        families = {6 if ":" in SENDS[key.kind](value) else 4 for key, value in followed.sending}
        families |= {flow.family for flow in followed.flows if flow.kind == "out"}
        findings += forwarding.off(objects, facts, families, applied)
        found = list(followed.findings(facts, objects))
        taken = {key for one in found if one.topic == "taken" for key in one.shut}
        listening = list(listeners.on_published_ports(facts, followed.sending, taken))
        findings += [*listening, *listeners.published_twice(found, listening)]
    findings += links.rings(objects)
    findings += links.dead_addresses(objects, beside)
    return findings
