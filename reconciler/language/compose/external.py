"""Finds the network of another topology that a Compose project calls external."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from reconciler.language.compose import names
from reconciler.language.networks import naming
from reconciler.model.data import NamedTuple, dataclass, field


class Offer(NamedTuple):
    """A network of another topology; ``bridge`` is the name of its bridge in the kernel, "" where that is not known."""

    topology: str
    network: str
    bridge: str = ""

    def written(self, key: str) -> dict[str, str]:
        """It in the words of a topology that calls it ``key``."""
        name = {} if self.network == key else {"name": self.network}
        bridge = {} if self.bridge in ("", naming.bridge(self.network)) else {"bridge": self.bridge}
        return {"external": self.topology, **name, **bridge}


@dataclass(frozen=True, slots=True)
class Others:
    """What there is outside of the project.

    ``held`` is link -> topology of the links in the kernel; ``chosen`` is what the command line says: name ->
    (topology, network).
    """

    held: Mapping[str, str] = field(default_factory=dict)
    chosen: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def called(self, key: str, docker_name: str, own: Offer | None, topology: str) -> list[Offer]:
        """The networks that an external one may be; one if it is clear which.

        ``own`` is the project's own network of that name in Docker.  What the kernel holds of the project's
        ``topology`` is of an earlier apply, and does not count.
        """
        for name in (docker_name, key):
            if name in self.chosen:
                topology, network = self.chosen[name]
                return [Offer(topology, network, self._bridge(topology, network))]
        parts = docker_name.split("_")
        splits = (("_".join(parts[:end]), "_".join(parts[end:])) for end in range(1, len(parts)))
        offers = (
            Offer(topology, network, self._bridge(topology, network)) for topology, network in self._named(splits)
        )
        held = [offer for offer in dict.fromkeys(offers) if offer.bridge and offer.topology != topology]
        return [own, *held] if own else held

    def _named(self, splits: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
        """PROJECT_NETWORK at each ``_``: the topology of the project, and the network."""
        return ((names.topology(project), network) for project, network in splits if project and network)

    def _bridge(self, topology: str, network: str) -> str:
        """The bridge of the network in the kernel, as this program and as a file by hand may call it; "" for none."""
        bridges = (naming.bridge_of(topology, network), naming.bridge(network))
        return next((bridge for bridge in bridges if self.held.get(bridge) == topology), "")


NOBODY_ELSE = Others()


def doubt(docker_name: str, fitting: Sequence[Offer]) -> str:
    """Why it is not clear which network is meant, and what to do."""
    ask = f"name it with --external {docker_name}=TOPOLOGY/NETWORK"
    if len(fitting) == 1:
        why = f"{docker_name} is to be {fitting[0].network} of this project, which has no such network"
        return f"{why}; taken as one of its own: {ask}"
    if not fitting:
        return f"no topology has the external network {docker_name}; taken as one of this topology: {ask}"
    listed = ", ".join(f"{offer.topology}/{offer.network}" for offer in fitting)
    return f"the external network {docker_name} may be any of {listed}; taken as one of this topology: {ask}"
