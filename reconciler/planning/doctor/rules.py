"""Runs a packet through a chain, as the kernel does, and tells where it cannot know."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.model.data import NamedTuple
from reconciler.model.firewall import Chain, Chains, Do, Doubt, Load, Match, Members, Rule, Step, Verdict
from reconciler.planning.doctor.packet import Packet

_DEPTH = 16  # NFT_JUMP_STACK_SIZE


class Place(NamedTuple):
    """A rule in its chain; ``rule`` None stands for the chain's policy."""

    chain: Chain
    rule: Rule | None


class Outcome(NamedTuple):
    """What becomes of a packet: accept, drop, dnat or snat, decided at ``at``.

    ``doubts`` are the rules that netrecon cannot judge and that would decide otherwise if they matched.
    ``untracked`` is the rule that takes the packet from connection tracking.
    """

    what: str
    at: Place
    packet: Packet
    doubts: tuple[Place, ...] = ()
    untracked: Place | None = None


class _End(NamedTuple):
    what: str
    at: Place


def run(chain: Chain, packet: Packet, chains: Chains) -> Outcome:
    """The outcome of a base chain."""
    course = _Course(packet, chains)
    end = course.through(chain, 0) or _End(chain.policy, Place(chain, None))
    others = (at for what, at in course.possible if what != end.what)
    return Outcome(end.what, end.at, course.packet, tuple(dict.fromkeys(others)), course.untracked)


class _Course:
    """One packet's way through one base chain; ``possible`` are the ends by rules that only might match."""

    def __init__(self, packet: Packet, chains: Chains) -> None:
        self.packet = packet
        self.possible: list[_End] = []
        self.untracked: Place | None = None
        self._changed: set[str] = set()  # the sets to which these packets were added
        self._known: tuple[Packet, dict[Load, bytes | None]] = (packet, {})
        self._chains = chains

    def through(self, chain: Chain, depth: int) -> _End | None:
        """The end of the packet in this chain; None where it returns from it."""
        for rule in chain.rules:
            at = Place(chain, rule)
            verdict, sure = self._apply(rule, at)
            if verdict is None or verdict.code == "continue":
                continue
            if not sure:
                self._perhaps(verdict, at, depth)
                continue
            end, goes_on = self._follow(verdict, at, depth)
            if not goes_on:
                return end
        # a rule that might have returned from here changes nothing: the packet returns anyway
        self.possible = [one for one in self.possible if one.what != "return" or one.at.chain != chain]
        return None

    def _follow(self, verdict: Verdict, at: Place, depth: int) -> tuple[_End | None, bool]:
        """(end, whether the packet goes on with the next rule)."""
        if verdict.code in ("jump", "goto"):
            target = self._chains.get((*at.chain.place[:3], verdict.chain))
            end = self.through(target, depth + 1) if target is not None and depth < _DEPTH else None
            return end, end is None and verdict.code == "jump"
        if verdict.code == "return":
            return None, False
        if verdict.code == "queue":  # a program decides
            self.possible.append(_End("a program", at))
            return None, True
        return _End(verdict.code, at), False

    def _perhaps(self, verdict: Verdict, at: Place, depth: int) -> None:
        """Note the ends that the packet would have if the rule matched."""
        if verdict.code in ("jump", "goto"):
            before = len(self.possible)
            packet = self.packet
            end, goes_on = self._follow(verdict, at, depth)
            self.packet = packet
            # the reason is the rule that may lead there, not the one that then decides
            self.possible[before:] = [_End(one.what, at) for one in self.possible[before:]]
            if end is not None:
                self.possible.append(_End(end.what, at))
            elif not goes_on:
                self.possible.append(_End("return", at))
        elif verdict.code == "return":
            self.possible.append(_End("return", at))
        else:
            self.possible.append(_End("a program" if verdict.code == "queue" else verdict.code, at))

    def _apply(self, rule: Rule, at: Place) -> tuple[Verdict | None, bool]:
        """The verdict of a rule, None where it does not match or gives none; and whether that is sure."""
        sure = True
        for step in rule.steps:
            if isinstance(step, Doubt):
                sure = False
                if step.verdict:
                    return Verdict("queue"), sure
            elif isinstance(step, Do):
                if step.what == "never":
                    return None, sure
                if verdict := self._do(step, at, sure):
                    return verdict, sure
            else:
                found, verdict = self._compare(step)
                if found is False:
                    return None, sure
                sure = sure and found is True
                if verdict is not None:
                    return verdict, sure
        return None, sure

    def _value(self, load: Load) -> bytes | None:
        """The value of a field of the packet; a chain can have thousands of rules that look at the same one."""
        packet, known = self._known
        if packet is not self.packet:
            known = {}
            self._known = (self.packet, known)
        if load not in known:
            known[load] = self.packet.value(load)
        return known[load]

    def _compare(self, step: Step) -> tuple[bool | None, Verdict | None]:
        """Whether the rule goes on (None: not known), and the verdict of a verdict map."""
        assert not isinstance(step, Do | Doubt)
        members = step.members
        if isinstance(step, Match) and len(step.loads) == 1 and not (step.name or members.spans or members.rest):
            value = self._value(step.loads[0])
            if value:  # most rules compare one field with few values
                return ((value,) in members.exact) != step.negated, None
        if step.name and step.name in self._changed:
            return self._partly(step, (None,) * len(step.loads))
        values = tuple([self._value(load) for load in step.loads])
        if any(value == b"" and load.width for value, load in zip(values, step.loads, strict=True)):
            return False, None  # the field does not exist: the kernel ends the rule
        known = tuple(value for value in values if value is not None)
        if len(known) < len(values):
            return self._partly(step, values)
        found, verdict = step.members.find(known)
        if isinstance(step, Match):
            return found != step.negated, None
        return found, verdict if found else None

    def _partly(self, step: Step, values: tuple[bytes | None, ...]) -> tuple[bool | None, Verdict | None]:
        """As _compare where a field is not known: it may still be impossible that an element matches."""
        assert not isinstance(step, Do | Doubt)
        possible = list(_compatible(step.members, values))
        if isinstance(step, Match):
            return (None if possible or step.name in self._changed else step.negated), None
        verdicts = {verdict for verdict in possible if verdict is not None}
        if not possible:
            return False, None
        # the first one that hurts stands for all
        worst = sorted(verdicts, key=lambda verdict: verdict.code != "drop")
        return None, worst[0] if worst else None

    def _do(self, step: Do, at: Place, sure: bool) -> Verdict | None:
        if step.what == "verdict":
            return step.verdict
        if step.what == "reject":
            return Verdict("drop")
        if step.what in ("dnat", "snat"):
            return Verdict(step.what)
        if step.what == "notrack" and sure:
            self.untracked = at
        elif step.what == "adds":
            self._changed.add(step.words.removeprefix("add @"))
        elif step.what == "notrack":
            self.possible.append(_End("notrack", at))
        elif step.what in ("mark", "ctmark"):
            value = self.packet.value(step.load) if step.load is not None and sure else None
            self.packet = self.packet.but(**{step.what: value})
        return None


def _compatible(members: Members, values: tuple[bytes | None, ...]) -> Iterator[Verdict | None]:
    for key, verdict in members.exact.items():
        if all(value is None or value == part for value, part in zip(values, key, strict=True)):
            yield verdict
    for first, last, verdict in members.spans:
        parts = zip(first, values, last, strict=True)
        if all(value is None or low <= value <= high for low, value, high in parts):
            yield verdict
    if members.rest is not None:
        yield members.rest
