"""What an object depends on in the kernel, and what a change takes from it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from reconciler.model.keys import Key

Place = tuple[str, str]  # scope, name of a link in it


class Ground(NamedTuple):
    """What an object stands on in the kernel, and vanishes with; ``name`` is a link's, or an address.

    device, scope   the link, the namespace exists
    ipv4, ipv6    it has addresses of that family: with the last IPv4 address, or when it goes down, its routes go
    neighbours    its permanent neighbours: they go when it goes down or gets another MAC address
    proxies    its proxy entries: they go when it goes down
    source        the scope has this address: routes that prefer it as their source go with it
    learned       it takes the advertisements of routers: IPv6 routes learned from them go when the scope forwards
    down, narrow  it is set down; its MTU falls below what IPv6 needs.  Nothing stands on these: links that lie on it
                  may follow
    """

    what: str
    scope: str
    name: str


class Taking(NamedTuple):
    """A ground that a change takes away, for good (``lasting``) or for a moment.

    ``only``: it does so only where a setting, as (scope, sysctl, value), has that value.
    """

    ground: Ground
    cause: Key
    lasting: bool = False
    only: tuple[str, str, str] | None = None


class After(Protocol):
    """What a plan leaves: the objects, and the grounds that it took for good."""

    @property
    def links(self) -> Mapping[tuple[str, str], Any]:
        """By (scope, name), the object that is the link or one end of it."""

    @property
    def lasting(self) -> Collection[Ground]: ...

    def of(self, scope: str, kind: str) -> Iterable[Any]:
        """The objects of one kind in one scope."""
