"""What a network driver is: a record of functions from the model to parts of level one."""

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
    predefined   the network of Docker's that it stands for: a sandbox names it in place of endpoints
    namespace    whether a sandbox on that network has a namespace of its own
    check        (sandbox) -> what it may not say on that network, as (subpath, message)
    network      (network, all networks) -> what the network is made of
    endpoint     (endpoint, its network) -> what the endpoint is made of
    """

    name: str
    refusal: str = ""
    predefined: str = ""
    namespace: bool = True
    check: Callable[[Sandbox], Iterable[tuple[Path, str]]] = _nothing
    network: Callable[[Network, Networks], Parts] = _nothing
    endpoint: Callable[[Endpoint, Network], Parts] = _nothing
