"""The container network model as plain data: networks, sandboxes, and the endpoints that join them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from reconciler.language.networks.ipam import Pool, written
from reconciler.model.data import NamedTuple, dataclass, field
from reconciler.model.quoting import Path

Note = Callable[[Path, str], None]  # records a problem: the path in the file, and the message
EMPTY: Mapping[Any, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Network:
    """A set of endpoints that reach each other; ``pools`` has one for each family, in the order of the file.

    ``bridge`` is the name of its link on the host; ``mtu`` is None where it is not managed.  ``filtered``: netfilter
    sees the frames that the bridge forwards between its ports (bridge-nf-call-iptables).  ``external`` is the topology
    that has the network, and ``theirs`` its name there; "" for a network of this file.
    """

    name: str
    path: Path
    driver: str
    bridge: str
    pools: tuple[Pool, ...] = ()
    internal: bool = False
    icc: bool = True
    masquerade: bool = True
    mtu: int | None = None
    allow: tuple[str, ...] = ()
    routes: tuple[Mapping[str, Any], ...] = ()
    hosts: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    filtered: bool = False
    external: str = ""
    theirs: str = ""

    @property
    def unknown(self) -> bool:
        """Whether it is another topology's, and neither in this run nor read from the host."""
        return bool(self.external) and not self.pools

    def gateway(self, version: int) -> str:
        """The host's address on the network, "" where the network has no subnet of that IP version."""
        return next((written(version, pool.gateway) for pool in self.pools if pool.subnet.version == version), "")


class Address(NamedTuple):
    """One address of an endpoint, with the length of its subnet's prefix."""

    version: int
    number: int
    length: int

    @property
    def ip(self) -> str:
        return written(self.version, self.number)


class Held(NamedTuple):
    """An address on a bridge that an endpoint of another topology has or gets; ``whose`` names that endpoint.

    ``firm``: it has the address already, or this run has given it; else its file names it.
    """

    bridge: str
    version: int
    number: int
    whose: str
    firm: bool = True


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A link between a sandbox and a network; ``link`` is its end on the host, ``name`` the one in the sandbox."""

    sandbox: str
    network: str
    path: Path
    link: str
    name: str
    wanted: Mapping[int, int]  # IP version -> the address in the file, as a number
    mac: str = ""
    aliases: tuple[str, ...] = ()
    default_route: bool | None = None
    published: bool = False  # whether the sandbox has published ports
    addresses: tuple[Address, ...] = ()

    def of(self, version: int) -> Address | None:
        """Its address of an IP version, None for none."""
        return next((address for address in self.addresses if address.version == version), None)


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A namespace with its links, routes and DNS files; ``network`` is "host", "none", or "" for its own endpoints."""

    name: str
    path: Path
    network: str
    endpoints: tuple[Endpoint, ...]
    data: Mapping[str, Any]  # as written: publish, dns, hosts, routes, sysctls


# ------------------------------------------------------------------ level one


class Part(NamedTuple):
    """A part of level one: ``value`` at ``path``; with ``item``, it is appended to the list at ``path``.

    ``source`` is the path in the file that it was made from; ``inner`` maps paths within the value to theirs.
    """

    path: Path
    value: Any
    source: Path
    item: bool = False
    inner: Mapping[Path, Path] = EMPTY


Parts = Iterable[Part]
