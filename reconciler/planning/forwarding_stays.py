"""Forwarding stays on where others translate packets that are passed on: their containers would lose their network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from reconciler.kinds import having
from reconciler.model.changes import Change
from reconciler.model.firewall import Chain
from reconciler.model.keys import Key
from reconciler.planning.finding import Finding

FORWARDING = {
    "net.ipv4.ip_forward": "ip",
    "net.ipv4.conf.all.forwarding": "ip",  # the same setting
    "net.ipv6.conf.all.forwarding": "ip6",
}
_SETS = having(lambda kind: kind.sets)
_TRANSLATING = ("prerouting", "postrouting")


def turned_off(changes: Iterable[Change]) -> list[Change]:
    """The changes that would turn forwarding off because nothing of netrecon's needs it any more."""
    going = (change for change in changes if change.after is None and change.key.kind in _SETS)
    return [change for change in going if change.key.name in FORWARDING and _written(change) == "0"]


def _written(change: Change) -> str:
    setting = _SETS[change.key.kind](change)
    return setting[1] if setting is not None else ""


def needed(off: Sequence[Change], chains: Mapping[str, Sequence[Chain]]) -> dict[Key, Finding]:
    """By key, those of the changes of ``turned_off`` that others would miss, with a warning; ``chains`` by scope."""
    warnings: dict[Key, Finding] = {}
    for change in off:
        chain = _translator(chains[change.key.scope], FORWARDING[change.key.name])
        if chain is not None:
            warnings[change.key] = _stays(change.key, chain)
    return warnings


def _translator(chains: Iterable[Chain], family: str) -> Chain | None:
    """A foreign nat chain with a rule that forwarded packets meet, of this family or of both."""
    nat = (chain for chain in chains if chain.kind == "nat" and chain.hook in _TRANSLATING and chain.rules)
    return next((chain for chain in nat if chain.family in (family, "inet") and not chain.ours), None)


def _stays(key: Key, chain: Chain) -> Finding:
    whose = f"chain {chain.name} of table {chain.family} {chain.table}, which is not netrecon's"
    message = f"{key.name} stays 1, though it was 0 before netrecon: {whose}, translates packets that are passed on"
    hint = f"where nothing needs it any more, sysctl -w {key.name}=0 turns it off"
    return Finding(key.scope, "forwarding", key, message, hint)
