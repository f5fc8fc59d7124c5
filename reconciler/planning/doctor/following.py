"""The packets of one scope that are followed: which ones, what is asked of the kernel about them, what is found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reconciler.kinds import BY_NAME
from reconciler.model.firewall import Chain
from reconciler.model.keys import Key
from reconciler.model.rows import Ask, ScopeState, Surroundings
from reconciler.planning.doctor import obstacles, routes
from reconciler.planning.doctor.classes import Classes
from reconciler.planning.doctor.flows import Flow, Ground, flows
from reconciler.planning.doctor.walk import BELOW_IP, Marks, marked
from reconciler.planning.finding import SENDS, Finding, Objects


class Followed:
    """The packets of one scope that are followed, and the questions about their ways."""

    def __init__(
        self, ground: Ground, sending: list[tuple[Key, Any]], chains: tuple[Chain, ...], known: Classes
    ) -> None:
        self.ground = ground
        self.sending = sending
        self.chains = chains
        by_place = {chain.place: chain for chain in chains}
        self._bridges_have_rules = any(chain.hook and chain.family in BELOW_IP for chain in chains)
        self.flows = {flow: marked(flow, by_place) for flow in flows(ground, sending, known)}
        self.targets = dict.fromkeys(value.target for key, value in sending if BY_NAME[key.kind].publishes)

    def asks(self) -> list[Ask]:
        return routes.asked(self.ground, self._routed(), self.targets)

    def links(self) -> list[str]:
        """The existing links by which the followed packets come and leave."""
        names = {link.name: None for flow in self.flows for link in (flow.iif, flow.oif) if link.index and link.name}
        return list(names)

    def _routed(self) -> dict[Flow, Marks]:
        return {flow: marks for flow, marks in self.flows.items() if flow.kind != "within"}

    def findings(self, around: Surroundings, objects: Objects) -> Iterator[Finding]:
        followed = (
            (flow, routes.chosen(self.ground, flow, marks, around))
            for flow, marks in self.flows.items()
            if flow.kind != "within" or flow.family in around.bridge_nf or self._bridges_have_rules
        )
        yield from routes.wrong(self.ground, around, self._routed(), self.targets, objects)
        yield from obstacles.in_the_way(self.ground.scope, followed, self.chains)
        yield from obstacles.unread(self.ground.scope, around.programs, self.chains)


class Unfollowed(Followed):
    """A scope without rules of others, for who asks only which ports are shut: no packet needs to be followed."""

    def __init__(self, scope: str, objects: Objects) -> None:
        self.sending = _sending(scope, objects)
        self.flows, self.targets = {}, {}

    def findings(self, around: Surroundings, objects: Objects) -> Iterator[Finding]:
        return iter(())

    def asks(self) -> list[Ask]:
        return []


def _sending(scope: str, objects: Objects) -> list[tuple[Key, Any]]:
    return [(key, value) for key, value in objects.items() if key.kind in SENDS and key.scope == scope]


def follow(objects: Objects, state: ScopeState | None, scope: str, chains: tuple[Chain, ...]) -> Followed:
    """The packets of one scope that are followed through these chains."""
    known = Classes(chains)
    return Followed(Ground(scope, objects, state, known), _sending(scope, objects), chains, known)
