"""The record of functions that a network driver consists of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from reconciler.language.networks.model import Endpoint, Network, Parts, Sandbox
from reconciler.model.data import dataclass
from reconciler.model.quoting import Path

Networks = Mapping[str, Network]


def _nothing(*_: object) -> tuple[()]:
    return ()


@dataclass(frozen=True, slots=True)
class Driver:
    """One driver.

    refusal      why no network can be declared with it, "" when one can
    predefined   its predefined network, as in Docker ("host", "none"): a sandbox names it in place of endpoints
    namespace    whether a sandbox on the predefined network has a namespace of its own
    check        (sandbox on the predefined network) -> problems, as (subpath, message)
    network      (network, all networks) -> the parts of level one for the network
    endpoint     (endpoint, its network) -> the parts of level one for the endpoint
    """

    name: str
    refusal: str = ""
    predefined: str = ""
    namespace: bool = True
    check: Callable[[Sandbox], Iterable[tuple[Path, str]]] = _nothing
    network: Callable[[Network, Networks], Parts] = _nothing
    endpoint: Callable[[Endpoint, Network], Parts] = _nothing
