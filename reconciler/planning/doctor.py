"""Finds what stops a topology's packets although all its objects are as declared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal

from reconciler.kinds import BY_NAME, having, sysctl
from reconciler.model.data import dataclass
from reconciler.model.keys import Key
from reconciler.model.rows import Barrier, Listener, Surroundings
from reconciler.planning import loops

FORWARDING = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}
_SENDS, _IDLE = having(lambda kind: kind.sends), having(lambda kind: kind.idle)
_PORTS, _HOLDS = having(lambda kind: kind.ports), having(lambda kind: kind.holds)
_LISTED = 4  # sources named in a hint

Objects = Mapping[Key, Any]


@dataclass(frozen=True, slots=True)
class Finding:
    """One obstacle and what to do about it; ``key`` is the object that it concerns, None for the whole scope."""

    scope: str
    topic: Literal["forwarding", "barrier", "listener", "loop", "dead", "overlap", "resolver"]
    key: Key | None
    message: str
    hint: str

    def __str__(self) -> str:
        return f"{self.key or self.scope}: {self.message}; {self.hint}"


def published(objects: Objects) -> dict[str, set[tuple[str, int]]]:
    """The scopes that forward packets, each with the (protocol, port) pairs that it publishes."""
    by_scope: dict[str, set[tuple[str, int]]] = {}
    for key, value in objects.items():
        if key.kind in _SENDS:
            ports = by_scope.setdefault(key.scope, set())
            if BY_NAME[key.kind].publishes:
                ports.add((value.protocol, value.port))
    return by_scope


def diagnose(
    objects: Objects, around: Mapping[str, Surroundings], applied: bool, beside: Objects = MappingProxyType({})
) -> list[Finding]:
    """Every obstacle to the objects' packets.

    ``around`` are the facts of the host by scope.  ``applied``: count declared sysctls as already set.
    ``beside`` are live objects that stay as they are.
    """
    by_scope: dict[str, list[tuple[Key, Any]]] = {}
    for key, value in objects.items():
        if key.kind in _SENDS and key.scope in around:
            by_scope.setdefault(key.scope, []).append((key, value))
    findings: list[Finding] = []
    for scope, sending in by_scope.items():
        families = {6 if ":" in _SENDS[key.kind](value) else 4 for key, value in sending}
        findings += _forwarding(objects, around[scope], families, applied)
        findings += (_barrier(scope, chain, sending) for chain in around[scope].barriers if _stops(chain, families))
        findings += _listeners(around[scope], sending)
    findings += (_loop(key, ring) for key, ring in loops.closing(objects))
    findings += _on_ports(objects, beside)
    return findings


def idle(objects: Objects, text_of: Callable[[str], str | None], applied: bool) -> Iterator[Finding]:
    """Blocks that have no effect where they stand; ``text_of`` reads one of the host's own files by its name.

    Without ``applied``, blocks that are not yet there count as written: apply refuses them.
    """
    for key, value in objects.items():
        kind = BY_NAME[key.kind] if key.kind in _IDLE else None
        name = kind.edits(value) if kind is not None and kind.edits is not None else ""
        if name:
            message, hint = _IDLE[key.kind](value, text_of(name) or "", not applied)
            if message:
                yield Finding(key.scope, "resolver", key, message, hint)


def _on_ports(objects: Objects, beside: Objects) -> Iterator[Finding]:
    """Addresses on ports of bridges: packets that arrive at a port go to the bridge, so these addresses are dead."""
    masters: dict[tuple[str, str], str] = {}
    for key, value in objects.items():
        ports = _PORTS.get(key.kind)
        if ports is not None:
            masters.update(ports(value))
    for key, value in {**beside, **objects}.items() if masters else ():
        holds = _HOLDS.get(key.kind)
        link, address = holds(value) if holds is not None else ("", "")
        bridge = masters.get((key.scope, link))
        if bridge is not None and not address.startswith("fe80:"):
            message = f"{link} is a port of {bridge}, so what is sent from this address gets no answer"
            off = f"foreign_addresses: remove on {link} takes it off, unless it is a lease"
            hint = f"give it to {bridge}" if key in objects else off
            yield Finding(key.scope, "dead", key, message, hint)


def _loop(key: Key, ring: list[str]) -> Finding:
    names = ", ".join(ring[:_LISTED]) + (", ..." if len(ring) > _LISTED else "")
    message = f"it closes a ring of bridges ({names}) and none of them runs STP: a broadcast circles there for ever"
    return Finding(key.scope, "loop", key, message, "declare stp: true for one of them, or take an end off its bridge")


# ------------------------------------------------------------------------------------------------ forwarding


def _forwarding(objects: Objects, around: Surroundings, families: set[int], applied: bool) -> Iterator[Finding]:
    on = {4: around.forwarding4, 6: around.forwarding6}
    for family in sorted(families):
        setting = FORWARDING[family]
        declared = objects.get(sysctl.key_of(around.scope, setting))
        coming = declared is not None and declared.value != "0"
        if on[family] or (coming and applied):
            continue
        message = f"{setting} is 0: this scope passes no IPv{family} packet on from one link to another"
        advice = "it is declared, so apply sets it" if coming else f"declare it: sysctls: {{{setting}: 1}}"
        yield Finding(around.scope, "forwarding", None, message, advice)


# ------------------------------------------------------------------------------------------------ chains of others


def _stops(barrier: Barrier, families: set[int]) -> bool:
    return bool({"ip": {4}, "ip6": {6}, "inet": {4, 6}}[barrier.family] & families)


def _barrier(scope: str, barrier: Barrier, sending: list[tuple[Key, Any]]) -> Finding:
    name = f"chain {barrier.chain} of table {barrier.family} {barrier.table}"
    message = f"{name} (hook {barrier.hook}, policy drop) is not netrecon's and drops what no rule of it accepts"
    wanted = list(_legacy_rules(barrier, sending) if barrier.legacy else _nft_rules(barrier, sending))
    hint = f"if it is in the way, add a rule to it (with netrecon in its comment this is not said again): {wanted[0]}"
    return Finding(scope, "barrier", None, message, hint + "".join(f" and {rule}" for rule in wanted[1:]))


def _nft_rules(barrier: Barrier, sending: list[tuple[Key, Any]]) -> Iterator[str]:
    start = f"nft insert rule {barrier.family} {barrier.table} {barrier.chain}"
    if any(BY_NAME[key.kind].publishes for key, _ in sending):
        yield f"{start} ct status dnat accept comment netrecon"
    for family, sources in _sources(barrier, sending):
        yield f"{start} {family} saddr {{ {', '.join(sources)} }} accept comment netrecon"
        yield f"{start} ct state established,related accept comment netrecon"


def _legacy_rules(barrier: Barrier, sending: list[tuple[Key, Any]]) -> Iterator[str]:
    start = f"{'iptables' if barrier.family == 'ip' else 'ip6tables'}-legacy -I {barrier.chain}"
    end = "-m comment --comment netrecon -j ACCEPT"
    if any(BY_NAME[key.kind].publishes for key, _ in sending):
        yield f"{start} -m conntrack --ctstate DNAT {end}"
    for _, sources in _sources(barrier, sending):
        yield f"{start} -s {','.join(sources)} {end}"
        yield f"{start} -m conntrack --ctstate ESTABLISHED,RELATED {end}"


def _sources(barrier: Barrier, sending: list[tuple[Key, Any]]) -> Iterator[tuple[str, list[str]]]:
    """The sources of forwarded packets by the nft word of their family, for the families of the chain."""
    all_sources = [_SENDS[key.kind](value) for key, value in sending if not BY_NAME[key.kind].publishes]
    for word, sign in (("ip", False), ("ip6", True)):
        sources = [source for source in all_sources if (":" in source) == sign]
        if sources and barrier.family in (word, "inet"):
            yield word, sources[:_LISTED]


# ------------------------------------------------------------------------------------------------ listeners


def _listeners(around: Surroundings, sending: Iterable[tuple[Key, Any]]) -> Iterator[Finding]:
    by_port: dict[tuple[str, int], list[Listener]] = {}
    for listener in around.listeners:
        by_port.setdefault((listener.protocol, listener.port), []).append(listener)
    if not by_port:
        return
    for key, mapped in sending:
        if BY_NAME[key.kind].publishes:
            for listener in by_port.get((mapped.protocol, mapped.port), ()):
                if _same_place(mapped.listen, listener):
                    yield _listener(key, mapped, listener)


def _same_place(listen: str, listener: Listener) -> bool:
    six = ":" in listener.address
    if ":" not in listen:
        everywhere = listener.address == "0.0.0.0" or (listener.address == "::" and not listener.only6)
        return everywhere or (not six and listen in ("0.0.0.0", listener.address))
    # packets to ::1 are never translated
    return six and listener.address != "::1" and (listener.address == "::" or listen in ("::", listener.address))


def _listener(key: Key, mapped: Any, listener: Listener) -> Finding:
    who = f"{listener.process} (pid {listener.pid})" if listener.pid else "a process"
    at = f"[{listener.address}]" if ":" in listener.address else listener.address
    target = f"[{mapped.target}]" if ":" in mapped.target else mapped.target
    message = f"{who} listens on {at}:{listener.port}, but what comes to the published port goes to "
    message += f"{target}:{mapped.target_port}"
    return Finding(key.scope, "listener", key, message, "stop it, or publish another port")
