"""doctor --trace: sends the packets that doctor follows, and has nftables trace them."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator, Mapping, Sequence

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.nftables import flows, trace
from reconciler.kernel.observe import foreign_rules, probes
from reconciler.model.data import NamedTuple
from reconciler.model.errors import KernelError
from reconciler.model.firewall import LEGACY, Chain
from reconciler.model.tracing import Traced
from reconciler.planning.doctor import traced
from reconciler.planning.doctor.following import Followed
from reconciler.planning.doctor.traced import Ask, Trail, Untraced
from reconciler.planning.expectations import Ends
from reconciler.planning.finding import Finding, Objects
from reconciler.run import verify
from reconciler.safety import interrupts

_PORTS = range(61000, 65536)  # above the ports that the kernel gives to clients (ip_local_port_range)
_SETTLE = 0.05  # seconds for the last packets of a connection that was reset


class Trace(NamedTuple):
    """The probes with their trails, what was not traced, and the findings."""

    trails: list[Trail]
    untraced: list[Untraced]
    findings: list[Finding]


def trace_all(kernel: Kernel, objects: Objects, followed: Mapping[str, Followed]) -> Trace:
    """Probe what is followed in each scope; the ruleset and the connections of others stay as they are."""
    ends = Ends(objects)
    trails: list[Trail] = []
    untraced: list[Untraced] = []
    for scope, one in followed.items():
        asked, left = traced.asks(scope, one.flows, ends)
        sendable, lost = _sendable(kernel, asked)
        trails += _trace(kernel, sendable) if sendable else []
        untraced += [*left, *lost, *_invisible(scope, one.chains)]
    return Trace(trails, untraced, list(traced.findings(trails)))


def _sendable(kernel: Kernel, asked: Sequence[Ask]) -> tuple[list[Ask], list[Untraced]]:
    """The probes with an address to send to, and those without, or without a namespace."""
    found: list[Ask] = []
    lost: list[Untraced] = []
    for ask in asked:
        missing = [one for one in sorted(traced.scopes(ask)) if one != ask.scope and not kernel.exists(one)]
        to = verify.beyond(kernel, ask.scope, 6 if ":" in ask.to else 4) if ask.leaves else ask.to
        if missing:
            lost.append(Untraced(ask.scope, f"there is no namespace {missing[0]}", ask.words))
        elif not to:
            lost.append(Untraced(ask.scope, "no route leads to a router", ask.words))
        else:
            found.append(ask._replace(to=to))
    return found, lost


def _invisible(scope: str, chains: Sequence[Chain]) -> Iterator[Untraced]:
    if any(chain.maker == LEGACY for chain in chains):
        yield Untraced(scope, "nftables does not see them; doctor itself follows them", "the rules of iptables-legacy")
    if any(chain.family in ("bridge", "netdev") for chain in chains):
        yield Untraced(scope, "a probe is traced from prerouting or output on", "the rules of bridges and devices")


def _trace(kernel: Kernel, asked: Sequence[Ask]) -> list[Trail]:
    start = random.choice(_PORTS[: -len(asked)])
    ports = range(start, start + len(asked))
    packets = [_probe(ask, port) for ask, port in zip(asked, ports, strict=True)]
    scopes = sorted({scope for ask in asked for scope in traced.scopes(ask)})
    chains = {scope: foreign_rules.chains(kernel, scope) for scope in scopes}
    with interrupts.put_off() as interrupt:  # they take two seconds at most
        try:
            with contextlib.ExitStack() as stack:
                tracers = [stack.enter_context(trace.Tracer(kernel, scope, ports)) for scope in scopes]
                answers = probes.run(kernel, packets)
                lines = [line for one in tracers for line in one.lines()]
        finally:
            _forget(kernel, scopes, ports, {packet.address for packet in packets})
    if interrupt.name:
        raise KeyboardInterrupt
    rules = _rules(kernel, lines, chains)
    return traced.trails(dict(zip(ports, zip(asked, answers, strict=True), strict=True)), lines, rules)


def _probe(ask: Ask, port: int) -> probes.Probe:
    leaves, ttl = (ask.scope, verify.HOPS) if ask.leaves else ("", 0)
    return probes.Probe(ask.sender, ask.to, ask.port, ask.protocol, ask.listen, leaves, False, ttl, port, exact=True)


def _forget(kernel: Kernel, scopes: Sequence[str], ports: range, to: set[str]) -> None:
    """Delete the connections of the probes; again, for packets that were under way."""
    for _ in range(2):
        time.sleep(_SETTLE)
        for scope in scopes:
            with contextlib.suppress(KernelError, OSError):
                flows.forget_sent(kernel, scope, ports, to)


def _rules(kernel: Kernel, lines: Sequence[Traced], chains: Mapping[str, Sequence[Chain]]) -> dict[Traced, str]:
    """The rule of each line in words."""
    found: dict[Traced, str] = {}
    for line in dict.fromkeys(one._replace(packet=0, sent=None) for one in lines if one.by_rule):
        found[line] = traced.told(line, chains[line.scope]) or trace.rule_text(kernel, line)
    return found
