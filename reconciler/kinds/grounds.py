"""Grounds: what objects depend on in the kernel and are deleted with, and the changes that take grounds away."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Protocol

from reconciler.model.data import NamedTuple
from reconciler.model.keys import Key

Place = tuple[str, str]  # scope, name of a link in it


class Ground(NamedTuple):
    """A condition that objects need: when it ends, the kernel deletes them.  ``name`` is a link's or an address.

    device      the link exists
    scope       the namespace exists
    ipv4        the link is up and has an IPv4 address: its IPv4 routes are deleted when this ends
    ipv6        the link is up and has IPv6: its IPv6 addresses and routes are deleted when this ends
    neighbours  the link is up and keeps its MAC address: else its permanent neighbours are deleted
    proxies     the link is up: else its proxy entries are deleted
    source      the scope has this address: else IPv4 routes that prefer it as source are deleted, IPv6 ones lose it
    prefix      the link has an IPv6 address of it: else its first route to it is deleted; ``name`` is "link prefix"
    learned     the link accepts router advertisements: the IPv6 routes learned are deleted when the scope forwards
    down        the link is set down (an event: no object needs it, but links that lie on it may follow)
    narrow      the link's MTU falls below what IPv6 needs (an event, as ``down``)

    In the kernel: ipv4 fib_disable_ip (net/ipv4/fib_frontend.c); ipv6 and narrow addrconf_ifdown, prefix
    cleanup_prefix_route (net/ipv6/addrconf.c); neighbours and proxies neigh_ifdown and neigh_changeaddr
    (net/core/neighbour.c); source fib_sync_down_addr (net/ipv4/fib_semantics.c) and rt6_remove_prefsrc, learned
    rt6_purge_dflt_routers (net/ipv6/route.c).
    """

    what: str
    scope: str
    name: str


class Taking(NamedTuple):
    """A ground that the change ``cause`` takes away, for good (``lasting``) or for a moment.

    ``only``, as (scope, sysctl, value): the change does so only if the sysctl has this value.
    """

    ground: Ground
    cause: Key
    lasting: bool = False
    only: tuple[str, str, str] | None = None


class After(Protocol):
    """The objects after a plan, and the grounds that it takes away for good."""

    @property
    def links(self) -> Mapping[tuple[str, str], Any]:
        """The object that is the link, or that has it as one end, by (scope, name)."""

    @property
    def lasting(self) -> Collection[Ground]: ...

    def of(self, scope: str, kind: str) -> Iterable[Any]:
        """The objects of one kind in one scope."""
