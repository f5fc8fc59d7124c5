"""The rules of others that stop the topology's packets, each with the rules that let them through."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from reconciler.model.firewall import LEGACY, Chain, Chains, Do, Doubt, Rule, Step
from reconciler.model.keys import Key
from reconciler.planning.doctor import words
from reconciler.planning.doctor.advice import USER, advised, is_managed
from reconciler.planning.doctor.flows import Flow
from reconciler.planning.doctor.rules import Place
from reconciler.planning.doctor.walk import Obstacle, Routes, walk
from reconciler.planning.finding import LISTED, Finding, Topic, inside

OURS = -100  # the priority of netrecon's chains that translate published ports
_ROUNDS = 30  # obstacles in a row that one flow is followed through
_TOPICS: dict[str, Topic] = {"drop": "barrier", "notrack": "notrack", "taken": "taken", "doubt": "unjudged"}


class _Seen:
    """One rule that stops packets: the flows that it stops, and the rules that let them through."""

    def __init__(self, obstacle: Obstacle) -> None:
        self.first = obstacle
        self.flows: dict[Flow, None] = {}
        self.added: dict[tuple[Chain, Rule], None] = {}
        self.mended = True
        self.spared: dict[Flow, None] = {}  # of a port that is taken: what comes to netrecon's target all the same
        self.shut: dict[Key, None] = {}  # the published ports that it stops for somebody outside

    def keys(self) -> set[Key]:
        """The objects whose packets it stops."""
        return {key for flow in self.flows for key in flow.keys}


def in_the_way(scope: str, followed: Iterable[tuple[Flow, Routes]], chains: Sequence[Chain]) -> list[Finding]:
    """The findings for the flows of one scope.

    A rule that is advised is taken as added for what comes after it, so that the advice of all findings together
    leaves no obstacle.
    """
    before: Chains = {chain.place: chain for chain in chains}
    by_place, listed = before, list(followed)
    seen: dict[tuple[object, ...], _Seen] = {}
    for flow, routes in listed:
        by_place = _mended(flow, routes, by_place, seen)
    for flow, routes in listed:
        _without_advice(flow, list(walk(flow, routes, before)), seen)
    return [_finding(scope, one) for one in seen.values()]


def _without_advice(flow: Flow, found: Iterable[Obstacle], seen: Mapping[tuple[object, ...], _Seen]) -> None:
    """Note what the flow meets as the rules are: what stops it, who gets a port that others take, what is shut."""
    stops = next((one for one in found if one.what != "doubt"), None)
    met = seen.get(_place_of(stops)) if stops is not None else None
    if met is not None and flow.kind == "outside":
        met.shut.update(dict.fromkeys(flow.keys))
    if met is not None:  # the advice for another flow may let this one through
        met.flows[flow] = None
    for one in seen.values():
        if stops is None and one.first.what == "taken" and not one.keys().isdisjoint(flow.keys):
            one.spared[flow] = None


def _mended(flow: Flow, routes: Routes, chains: Chains, seen: dict[tuple[object, ...], _Seen]) -> Chains:
    """The chains with rules that let the flow through; its obstacles are noted in ``seen``."""
    for _ in range(_ROUNDS):
        found = list(walk(flow, routes, chains))
        stops = next((one for one in found if one.what != "doubt"), None)
        rules = advised(stops, chains) if stops is not None else []
        if stops is None or not rules:
            for obstacle in found:
                _note(seen, obstacle, [])
            return chains
        _note(seen, stops, rules)
        for chain, rule in rules:
            chains = _with(chains, chain, rule)
    return chains


def _note(seen: dict[tuple[object, ...], _Seen], obstacle: Obstacle, rules: list[tuple[Chain, Rule]]) -> None:
    one = seen.setdefault(_place_of(obstacle), _Seen(obstacle))
    one.flows[obstacle.flow] = None
    one.added.update(dict.fromkeys((_bare(chain), rule) for chain, rule in rules))
    one.mended = one.mended and bool(rules)


def _place_of(obstacle: Obstacle) -> tuple[object, ...]:
    """Where it is, and which packets it stops there: what is told in one finding."""
    at = obstacle.at
    apart = () if obstacle.what == "doubt" else (obstacle.back, obstacle.flow.target is None)
    return (obstacle.what, *apart, at.chain.place, at.rule.number if at.rule else 0)


def _bare(chain: Chain) -> Chain:
    """The chain without its rules: to name it is enough."""
    return chain._replace(rules=())


def _with(chains: Chains, chain: Chain, rule: Rule) -> Chains:
    chain = chains[chain.place]
    return {**chains, chain.place: chain._replace(rules=(rule, *chain.rules))}


# ------------------------------------------------------------------ in words


def _finding(scope: str, one: _Seen) -> Finding:
    first = one.first
    keys = {key: None for flow in one.flows for key in flow.keys}
    key = next(iter(keys)) if len(keys) == 1 else None
    commands = tuple(dict.fromkeys(inside(scope, words.insertion(chain, rule)) for chain, rule in one.added))
    commands = commands if one.mended else ()
    shut = () if first.what == "doubt" or _may_be_late(first) else tuple(one.shut)
    message = f"{_place(first.at)} {_effect(first)} {_packets(one)}{_left(one)}"
    return Finding(scope, _TOPICS[first.what], key, message, _hint(one, bool(commands)), commands, shut)


def _may_be_late(first: Obstacle) -> bool:
    """Whether netrecon's chain may be asked before the one that takes the port."""
    return first.what == "taken" and first.base.priority == OURS and first.base.newer is None


def _place(at: Place) -> str:
    chain, rule = at
    name = words.place_text(chain)
    if rule is None:
        return name
    number = f" (handle {rule.number})" if chain.maker == "nft" else f" {rule.number}" if chain.maker == LEGACY else ""
    text = words.rule_text(chain, rule)
    return f"{name}: the rule{number} `{text}`"


def _effect(first: Obstacle) -> str:
    if first.what == "doubt":
        return "cannot be judged by netrecon; it may stop"
    if first.what == "notrack":
        return "turns connection tracking off, and with it address translation, for"
    if first.what == "taken":
        if _may_be_late(first):
            return "is asked before or after netrecon (of two chains of one priority, the newest first), and may take"
        return "is asked before netrecon, and takes"
    return "drops" if first.at.rule is not None else "is not netrecon's and drops what no rule of it accepts:"


def _packets(one: _Seen) -> str:
    flows = list(one.flows)
    names = list(dict.fromkeys(flow.name for flow in flows))
    ways = ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")
    first = flows[0]
    protocols = " and ".join(dict.fromkeys(flow.protocol.upper() for flow in flows))
    which = f"{protocols} to port {_ports(flows)} {ways}" if first.target else f"what goes {ways}"
    return f"answers to {which}" if one.first.back and one.first.what != "doubt" else which


def _left(one: _Seen) -> str:
    """Of a port that others take: what still goes to netrecon's target."""
    names = list(dict.fromkeys(flow.name for flow in one.spared))
    return f"; netrecon's target gets it only {', '.join(names)}" if names else ""


def _ports(flows: list[Flow]) -> str:
    ports = sorted({port for flow in flows for port in flow.ports})
    return ", ".join(map(str, ports[:4])) + (f" and {len(ports) - 4} more" if len(ports) > 4 else "")


def _hint(one: _Seen, mends: bool) -> str:
    base, what = one.first.base, one.first.what
    if what == "doubt":
        return "look at it yourself; a rule before it that accepts these packets decides"
    if mends:
        user = any(chain.name == USER for chain, _ in one.added)
        place = f"in {USER}, where Docker keeps rules of others," if user else "in front of it"
        return f"a rule {place} that accepts them lets them through"
    if is_managed(base):
        links = sorted(
            {link.name for flow in one.flows for link in (flow.oif if flow.target else flow.iif,) if link.name}
        )
        zones = " && ".join(f"firewall-cmd --permanent --zone=trusted --add-interface={link}" for link in links)
        decide = f"decide which zone may pass, such as {zones} && firewall-cmd --reload"
        return f"firewalld makes this table anew at each reload; {decide}"
    if base.locked:
        return "the table belongs to a running program, which alone can change it: see its configuration"
    return "a person must decide what this chain may let through"


def unread(scope: str, programs: Iterable[str], chains: Iterable[Chain]) -> Iterator[Finding]:
    """What netrecon does not follow packets through: programs on links, and chains that drop ARP."""
    for chain in chains:
        drop = next((rule for rule in chain.rules if any(map(_may_drop, rule.steps))), None)
        if chain.family == "arp" and (drop or (chain.hook and chain.policy == "drop")):
            message = f"{_place(Place(chain, drop))} may drop ARP, without which no neighbour is found"
            yield Finding(scope, "unjudged", None, message, "look at it yourself")
    for program in programs:
        message = f"{program} cannot be judged by netrecon: it may drop packets or send them elsewhere"
        yield Finding(scope, "unjudged", None, message, "look at it yourself")


def _may_drop(step: Step) -> bool:
    if isinstance(step, Do):
        return step.verdict is not None and step.verdict.code == "drop"
    return isinstance(step, Doubt) and step.verdict
