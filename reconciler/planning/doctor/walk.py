"""Follows a packet and its answer through the hooks of netfilter, in the order of their priorities."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from reconciler.model.data import NamedTuple
from reconciler.model.firewall import Chain, Chains
from reconciler.planning.doctor import rules
from reconciler.planning.doctor.flows import Flow
from reconciler.planning.doctor.packet import (
    CONFIRMED,
    DNAT,
    DNAT_DONE,
    ESTABLISHED,
    NAT_DONE,
    NEW,
    SEEN_REPLY,
    SNAT,
    UNTRACKED,
    Link,
    Packet,
    answer_to,
    first,
)
from reconciler.planning.doctor.rules import Place

TRACKING, TRANSLATION = -200, {"prerouting": -100, "output": -100, "input": 100, "postrouting": 100}
BELOW_IP = frozenset(("bridge", "netdev"))  # their chains see what a bridge passes between its ports
_LO = Link("lo", 1, "", 0)
_Change = Callable[[Packet], Packet]


class Obstacle(NamedTuple):
    """What stops or may stop the packets of a flow: drop, doubt, notrack or taken (by NAT of others), ``at`` a rule.

    ``back`` tells an answer from the first packet.
    """

    what: str
    flow: Flow
    base: Chain
    at: Place
    hook: str
    packet: Packet
    back: bool


class Routes(NamedTuple):
    """The links that the kernel chose: of the packet (``out``), of its answer (``back``); and the way to its source.

    None where it was not asked.  ``returns``: whether the way to the source leaves by the link of the packet.
    ``bridged``: a bridge passes the packets from one of its ports to another; ``unseen``: only bridges' rules see them.
    """

    out: Link | None = None
    back: Link | None = None
    returns: bool | None = None
    bridged: bool = False
    unseen: bool = False

    def through_bridges(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The hooks of bridges before and behind those of the IP versions."""
        between, host = (
            (("prerouting",), ("forward", "postrouting")),
            (("prerouting", "input"), ("output", "postrouting")),
        )
        return between if self.bridged else host


def walk(flow: Flow, routes: Routes, chains: Chains) -> Iterator[Obstacle]:
    """The obstacles of a flow, up to the first that surely stops it."""
    marks: dict[str, Any] = {"ctmark": bytes(4)}
    for back, legs in ((False, _there(flow, routes)), (True, _back(flow, routes))):
        marks = {"ctmark": marks["ctmark"], "mark": bytes(4)}
        for leg in legs:
            if routes.unseen and leg.hook in TRANSLATION.keys() | {"forward"}:
                continue
            for obstacle in _through(flow, leg, chains, back, marks):
                yield obstacle
                if obstacle.what != "doubt":
                    return


class Marks(NamedTuple):
    """The firewall marks of a packet and of its answer when they are routed; 0 where netrecon does not know."""

    out: int = 0
    back: int = 0


def marked(flow: Flow, chains: Chains) -> Marks:
    """The marks that rules set before the kernel chooses the ways."""
    marks: dict[str, Any] = {"ctmark": bytes(4)}
    found = []
    for back, legs in ((False, _there(flow, Routes())), (True, _back(flow, Routes()))):
        marks["mark"] = bytes(4)
        for leg in legs:
            if leg.hook in ("prerouting", "output"):
                for _ in _through(flow, leg, chains, back, marks):
                    pass
        found.append(int.from_bytes(marks["mark"] or b"", sys.byteorder))
    return Marks(*found)


class _Leg(NamedTuple):
    """A hook, the packet as it comes there, and what netrecon's NAT makes of it there."""

    hook: str
    packet: Packet
    translated: Packet | None = None
    links: tuple[str, ...] = ()  # for chains of devices


def _of_neighbours(flow: Flow) -> Iterator[_Leg]:
    """Neighbour discovery, in and out; the kernel does not track it."""
    packet = first(flow.protocol, flow.source, flow.to, flow.port).but(state=UNTRACKED)
    arriving = packet.but(iif=flow.iif, to_local=True, back=True)
    leaving = packet.but(source=flow.to, to=flow.source, oif=flow.oif, from_local=True)
    yield from (_Leg(hook, arriving) for hook in ("ingress", "prerouting", "input"))
    yield from (_Leg(hook, leaving) for hook in ("output", "postrouting", "egress"))


def _there(flow: Flow, routes: Routes) -> Iterator[_Leg]:
    if flow.kind == "discovery":
        yield from _of_neighbours(flow)
        return
    packet = first(flow.protocol, flow.source, flow.to, flow.port, flow.iif)
    oif = routes.out or flow.oif
    out = flow.target is None
    packet = packet.but(to_local=not out, back=routes.returns, from_local=flow.kind == "host")
    sent, (before, behind) = packet, routes.through_bridges()
    if flow.target:
        sent = packet.but(to=flow.target[0], port=flow.target[1], to_local=False, status=DNAT | DNAT_DONE)
    if flow.kind == "host":
        # NAT here changes the route, but the rest of this hook still sees the link of before
        yield _Leg("output", packet.but(oif=_LO), sent.but(oif=_LO, state=NEW))
    else:
        yield _Leg("ingress", packet)
        yield from (_Leg(f"bridge {hook}", packet) for hook in before)
        yield _Leg("prerouting", packet, None if out else sent)
        yield _Leg("forward", _tracked(sent, NEW).but(oif=oif, bridged=routes.bridged))
    leaving = _tracked(sent, NEW).but(oif=oif, bridged=routes.bridged)
    hidden = leaving.but(source=flow.back, status=(leaving.status or 0) | SNAT) if flow.back else None
    yield _Leg("postrouting", leaving, hidden)
    yield from (_Leg(f"bridge {hook}", hidden or leaving) for hook in behind)
    yield _Leg("egress", hidden or leaving)


def _back(flow: Flow, routes: Routes) -> Iterator[_Leg]:
    if flow.kind == "discovery":
        return
    there = first(flow.protocol, flow.source, flow.to, flow.port, flow.iif)
    if flow.target:
        there = there.but(to=flow.target[0], port=flow.target[1])
    oif = routes.out or flow.oif
    answer = answer_to(there.but(oif=oif))
    status = CONFIRMED | SEEN_REPLY | NAT_DONE | (DNAT if flow.target else 0) | (SNAT if flow.back else 0)
    answer = answer.but(status=status, state=ESTABLISHED, back=True)
    arriving = answer.but(to=flow.back, to_local=True) if flow.back else answer
    before, behind = routes.through_bridges()
    yield _Leg("ingress", arriving)
    yield from (_Leg(f"bridge {hook}", arriving) for hook in before)
    yield _Leg("prerouting", arriving, answer.but(to_local=flow.kind == "host"))
    if flow.kind == "host":
        yield _Leg("input", answer.but(to_local=True))
        return
    leaving = answer.but(oif=routes.back or flow.iif, bridged=routes.bridged)
    yield _Leg("forward", leaving)
    seen = leaving.but(source=flow.to, source_port=flow.port) if flow.target else leaving
    yield _Leg("postrouting", leaving, seen)
    yield from (_Leg(f"bridge {hook}", seen) for hook in behind)
    yield _Leg("egress", seen)


def _tracked(packet: Packet, state: int) -> Packet:
    return packet.but(state=state, status=packet.status or 0)


def _untracked(packet: Packet) -> Packet:
    """The packet before connection tracking has seen it."""
    return packet.but(state=1, status=None)


def _through(flow: Flow, leg: _Leg, chains: Chains, back: bool, marks: dict[str, Any]) -> Iterator[Obstacle]:
    """The obstacles at one hook; the packet changes where connections are tracked, and where NAT is done.

    ``marks`` of the packet and of its connection are what the rules so far made of them.
    """
    before = _untracked(leg.packet) if leg.hook in ("prerouting", "output", "ingress") else leg.packet
    untracked = flow.kind == "discovery"
    tracked = leg.packet if back or untracked else _tracked(leg.packet, NEW)
    point = TRANSLATION.get(leg.hook, 0)
    for chain in _at(leg.hook, leg.packet, chains):
        nat = chain.kind == "nat"
        if nat and (back or untracked or not _asked(chain, point, flow)):
            continue
        packet = _stage(chain, leg, before, tracked, point).but(**marks)
        outcome = rules.run(chain, packet, chains)
        marks.update(mark=outcome.packet.mark, ctmark=outcome.packet.ctmark)
        seen = Obstacle("", flow, chain, outcome.at, leg.hook, packet, back)
        yield from (seen._replace(what="doubt", at=at) for at in outcome.doubts)
        if outcome.untracked and flow.kind == "within":  # nothing is translated here
            marks.update(state=UNTRACKED, status=None)
        elif outcome.untracked and packet.status is None and not untracked:
            yield seen._replace(what="notrack", at=outcome.untracked)
        elif outcome.what == "drop":
            yield seen._replace(what="drop")
        elif outcome.what == "dnat" and flow.target:
            yield seen._replace(what="taken")


def _stage(chain: Chain, leg: _Leg, before: Packet, tracked: Packet, point: int) -> Packet:
    """The packet as a chain of this priority sees it."""
    if leg.hook.startswith("bridge"):  # there the links are ports
        return leg.packet.but(iif=Link(None), oif=Link(None))
    if chain.kind == "nat":
        return tracked
    early = leg.hook in ("prerouting", "output") and chain.priority < TRACKING
    if early or leg.hook in ("ingress",):
        return before
    # of two chains of one priority the newest is asked first
    if leg.translated is not None and (chain.priority, chain.newer is False) >= (point, True):
        done = leg.translated
        return done if done.reply else _tracked(done, NEW)
    return tracked


def _asked(chain: Chain, point: int, flow: Flow) -> bool:
    """Whether a NAT chain is asked before ours has translated the packet: NAT is done once, by the first that does."""
    if not flow.target or chain.hook not in ("prerouting", "output"):
        return True
    return chain.priority < point or (chain.priority == point and chain.newer is not False)


def _is_on(chain: Chain, link: Link) -> bool:
    """Whether the chain sees what passes the link, or a port of it."""
    return not chain.devices or link.name in chain.devices or any(port in chain.devices for port in link.ports)


def _at(hook: str, packet: Packet, chains: Chains) -> list[Chain]:
    """The base chains at the hook, in the order in which the kernel asks them."""
    bridged, _, name = hook.rpartition(" ")
    families = ("ip" if packet.family == 4 else "ip6", "inet", "netdev") if not bridged else ("bridge",)
    link = packet.iif if name in ("ingress", "prerouting", "input") else packet.oif
    if bridged and not link.ports:
        return []
    found = [
        chain for chain in chains.values() if chain.hook == name and chain.family in families and _is_on(chain, link)
    ]
    # NAT is done at one place, whatever the priority of the chain: it only orders NAT chains among themselves
    return sorted(
        found, key=lambda chain: (TRANSLATION.get(hook, 0) if chain.kind == "nat" else chain.priority, chain.priority)
    )
