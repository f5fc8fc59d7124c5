"""Which packets ``doctor --trace`` sends, and what the trace of nftables tells of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from reconciler.model.data import NamedTuple
from reconciler.model.firewall import LEGACY, Chain
from reconciler.model.keys import Key
from reconciler.model.tracing import Traced
from reconciler.planning.doctor import words
from reconciler.planning.doctor.flows import Flow
from reconciler.planning.expectations import Ends
from reconciler.planning.finding import Finding

MOST = 200  # probes; the others are of ports and networks that differ from these in addresses only


class Ask(NamedTuple):
    """A packet to send from ``sender``; ``leaves``: to an address beyond the default route of ``scope``."""

    scope: str
    sender: str
    to: str
    port: int
    protocol: str
    listen: tuple[str, str, int]
    leaves: bool
    key: Key | None
    name: str

    @property
    def words(self) -> str:
        """The probe as people read it."""
        to = f"[{self.to}]" if ":" in self.to else self.to
        where = (
            f"an address beyond the default route (IPv{6 if ':' in self.to else 4})"
            if self.leaves
            else f"{to}:{self.port}"
        )
        return f"{self.protocol.upper()} from {self.sender} to {where}"


class Untraced(NamedTuple):
    """Packets that doctor follows and that no probe of this host can be, and why."""

    scope: str
    why: str
    what: str


class Trail(NamedTuple):
    """A probe with its outcome and the lines of its trace, those of the answer with ``back``."""

    ask: Ask
    arrived: bool
    shows: str
    steps: tuple[tuple[bool, Traced, str], ...]  # back, line, the rule in words

    @property
    def dropped(self) -> tuple[bool, Traced, str] | None:
        """The step that dropped the probe or its answer."""
        found = (step for step in self.steps if step[1].verdict == "drop")
        return None if self.arrived else next(found, None)


# ------------------------------------------------------------------ which packets


def asks(scope: str, flows: Iterable[Flow], ends: Ends) -> tuple[list[Ask], list[Untraced]]:
    """The probes for the flows of one scope, one for each class, and the flows that cannot be probed."""
    found: dict[tuple[object, ...], Ask] = {}
    left: dict[Untraced, None] = {}
    for flow in flows:
        one = _ask(scope, flow, ends)
        if isinstance(one, Untraced):
            left[one] = None
        elif one is not None:
            found.setdefault((one.sender, "" if one.leaves else one.to, one.port, one.protocol, ":" in one.to), one)
    listed = list(found.values())
    if len(listed) > MOST:
        left[Untraced(scope, f"at most {MOST} are sent", f"{len(listed) - MOST} more classes of packets")] = None
    return listed[:MOST], list(left)


def _ask(scope: str, flow: Flow, ends: Ends) -> Ask | Untraced | None:
    if flow.kind == "outside":
        return Untraced(scope, "no packet of this host comes in by a link from outside", f"packets {flow.name}")
    if flow.kind == "within":
        return None
    if flow.protocol not in ("tcp", "udp"):
        return Untraced(scope, "only TCP and UDP are sent", f"{flow.protocol.upper()} {flow.name}")
    sender = scope if flow.kind == "host" else ends.holder(flow.source)
    if not sender or (sender == scope and flow.kind != "host"):
        return Untraced(scope, f"nobody of the topology has {flow.source}", f"packets {flow.name}")
    key = flow.keys[0] if flow.keys else None
    if flow.target:
        listen = (ends.holder(flow.target[0], scope), *flow.target)
        return Ask(scope, sender, flow.to, flow.port, flow.protocol, listen, False, key, flow.name)
    if flow.keys:
        beyond = flow.name.partition(" to ")[2]
        if not beyond.startswith("beyond"):
            return Untraced(scope, "only what leaves by the default route is sent", f"packets {flow.name}")
        return Ask(scope, sender, flow.to, flow.port, flow.protocol, ("", flow.to, flow.port), True, key, flow.name)
    listen = (ends.holder(flow.to), flow.to, flow.port)
    return Ask(scope, sender, flow.to, flow.port, flow.protocol, listen, False, key, flow.name)


def scopes(ask: Ask) -> set[str]:
    """The scopes through which the packet goes."""
    return {ask.scope, ask.sender, ask.listen[0]} - {""}


# ------------------------------------------------------------------ what the trace tells


def trails(
    sent: Mapping[int, tuple[Ask, tuple[bool, str]]], lines: Iterable[Traced], rule: Mapping[Traced, str]
) -> list[Trail]:
    """The trail of each probe by its source port; ``rule`` are the rules in words."""
    steps: dict[int, dict[tuple[bool, Traced], None]] = {port: {} for port in sent}
    current: dict[tuple[str, int], tuple[int, bool]] = {}
    for line in lines:
        place = (line.scope, line.packet)
        if line.sent is not None:
            back = line.sent.port in sent and line.sent.source_port not in sent
            current[place] = (line.sent.port if back else line.sent.source_port, back)
        port, back = current.get(place, (0, False))
        if port in steps and line.what != "end":
            steps[port].setdefault((back, line._replace(packet=0, sent=None)))
    return [
        _trail(ask, *result, tuple((back, line, rule.get(line, "")) for back, line in steps[port]))
        for port, (ask, result) in sent.items()
    ]


def _trail(ask: Ask, arrived: bool, shows: str, steps: tuple[tuple[bool, Traced, str], ...]) -> Trail:
    """What leaves by TCP has no payload to be seen by: there the trace alone tells."""
    passed = bool(steps) and not any(line.verdict == "drop" for _, line, _ in steps)
    if ask.leaves and ask.protocol == "tcp" and passed:
        return Trail(ask, True, "passed every rule", steps)
    return Trail(ask, arrived, shows, steps)


def told(trail: Traced, chains: Sequence[Chain]) -> str:
    """The rule of a line in the words of its tool, "" where it is of no chain that was read."""
    for chain in chains:
        if chain.maker != LEGACY and chain.place[1:] == (trail.family, trail.table, trail.chain):
            found = (rule for rule in chain.rules if rule.number == trail.handle)
            return next((words.rule_text(chain, rule) for rule in found), "")
    return ""


def findings(listed: Iterable[Trail]) -> Iterator[Finding]:
    """A finding for each rule that dropped probes, and for each probe that got lost elsewhere."""
    by_rule: dict[tuple[bool, Traced, str], list[Ask]] = {}
    lost = [trail for trail in listed if not trail.arrived]
    for trail in lost:
        if trail.dropped is not None:
            by_rule.setdefault(trail.dropped, []).append(trail.ask)
    yield from (_dropped(asks, *step) for step, asks in by_rule.items())
    yield from (_lost(trail) for trail in lost if trail.dropped is None)


def _dropped(asks: Sequence[Ask], back: bool, line: Traced, rule: str) -> Finding:
    probes = "the answer to the probe" if back else "the probe"
    by = f"the rule (handle {line.handle}) `{rule}`" if line.by_rule else "its policy"
    place = f"chain {line.chain} of table {line.family} {line.table}"
    more = f" and {len(asks) - 1} more" if len(asks) > 1 else ""
    keys = {ask.key for ask in asks}
    key = asks[0].key if len(keys) == 1 else None
    hint = "a rule that accepts such packets must be asked before this one"
    return Finding(line.scope, "traced", key, f"{place}: {by} dropped {probes} {asks[0].words}{more}", hint)


def _lost(trail: Trail) -> Finding:
    last = trail.steps[-1][1] if trail.steps else None
    seen = (
        f"the last chain to see it was {last.chain} of table {last.family} {last.table}" if last else "no chain saw it"
    )
    message = f"the probe {trail.ask.words} did not arrive ({trail.shows}), and no rule of nftables dropped it"
    hint = f"{seen}; look at routes, at rules of iptables-legacy and at who listens"
    return Finding(trail.ask.scope, "traced", trail.ask.key, message, hint)
