"""Forwarding that is off: the kernel passes no packet on from one link to another."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.kinds import BY_NAME, sysctl
from reconciler.model.keys import Key
from reconciler.model.rows import Surroundings
from reconciler.planning.finding import Finding, Objects, inside

FORWARDING = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}


def off(objects: Objects, around: Surroundings, families: set[int], applied: bool) -> Iterator[Finding]:
    on = {4: around.forwarding4, 6: around.forwarding6}
    for family in sorted(families):
        setting = FORWARDING[family]
        declared = objects.get(sysctl.key_of(around.scope, setting))
        coming = declared is not None and declared.value != "0"
        if on[family] or (coming and applied):
            continue
        message = f"{setting} is 0: this scope passes no IPv{family} packet on from one link to another"
        advice = "it is declared, so apply sets it" if coming else f"declare it: sysctls: {{{setting}: 1}}"
        refused = declared is not None and not coming  # the next apply would set it to 0 again
        commands = () if refused else (inside(around.scope, f"sysctl -w {setting}=1"),)
        shut = () if coming else tuple(_published(objects, around.scope, family))
        yield Finding(around.scope, "forwarding", None, message, advice, commands, shut)


def _published(objects: Objects, scope: str, family: int) -> Iterator[Key]:
    """The published ports whose packets have to be passed on."""
    for key, value in objects.items():
        if key.scope == scope and BY_NAME[key.kind].publishes and (":" in value.listen) == (family == 6):
            yield key
