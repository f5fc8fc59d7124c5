"""Permanent neighbours and proxy entries: no file declares them, but they are restored where a change deletes them."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.kinds.context import Reading
from reconciler.kinds.grounds import After, Ground
from reconciler.kinds.kind import Kind
from reconciler.model.changes import NOBODY, Live
from reconciler.model.data import dataclass
from reconciler.model.keys import STAMP, Key, stamped
from reconciler.model.requests import NLM_F_CREATE, NLM_F_REPLACE, LinkRef, Netlink, Request

AF_INET, AF_INET6 = 2, 10
NUD_PERMANENT = 0x80
NTF_PROXY = 0x08


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A neighbour entry; ``mac`` is "" for a proxy entry; ``flags`` are NTF_* (linux/neighbour.h)."""

    scope: str
    link: str
    address: str
    mac: str
    flags: int


def read(reading: Reading) -> Iterator[tuple[Key, Live]]:
    """The owner of a neighbour is that of its link: the entry itself shows none."""
    scope = reading.state.scope
    for row in reading.state.neighbours:
        link = reading.state.links.get(row.index)
        if link is not None:
            proxy = "proxy " if row.proxy else ""
            owner = stamped(link.alias) if link.alias.startswith(STAMP) and not link.loopback else NOBODY
            neighbour = Neighbour(scope, link.name, row.address, row.mac, row.flags)
            yield Key("neighbour", scope, f"{link.name}/{proxy}{row.address}"), Live(neighbour, owner)


def lies_on(neighbour: Neighbour) -> tuple[tuple[str, str]]:
    return ((neighbour.scope, neighbour.link),)


def stands_on(neighbour: Neighbour) -> tuple[Ground, ...]:
    """A neighbour needs the link up and its MAC address; a proxy entry stays when the MAC address changes.

    One of IPv6 goes with IPv6 on the link too (addrconf_ifdown in net/ipv6/addrconf.c).
    """
    proxy = bool(neighbour.flags & NTF_PROXY)
    own = Ground("proxies" if proxy else "neighbours", neighbour.scope, neighbour.link)
    return (own, *_ipv6(neighbour))


def _ipv6(neighbour: Neighbour) -> tuple[Ground, ...]:
    return (Ground("ipv6", neighbour.scope, neighbour.link),) if ":" in neighbour.address else ()


def returns(neighbour: Neighbour, after: After) -> bool:
    there = (neighbour.scope, neighbour.link) in after.links
    return there and not any(ground in after.lasting for ground in _ipv6(neighbour))


def put_back(neighbour: Neighbour, _anew: bool) -> Iterator[Request]:
    fields = {
        "family": AF_INET6 if ":" in neighbour.address else AF_INET,
        "ifindex": LinkRef(neighbour.scope, neighbour.link),
        "state": NUD_PERMANENT,
        "flags": neighbour.flags,
    }
    mac = (("NDA_LLADDR", neighbour.mac),) if neighbour.mac else ()
    attributes = (("NDA_DST", neighbour.address), *mac)
    yield Netlink(neighbour.scope, "newneigh", fields, attributes, NLM_F_CREATE | NLM_F_REPLACE)


def create(neighbour: Neighbour, _owner: str) -> Iterator[Request]:
    yield from put_back(neighbour, True)


KIND = Kind(
    name="neighbour",
    form=Neighbour,
    read=read,
    create=create,
    lies_on=lies_on,
    stands_on=stands_on,
    returns=returns,
    put_back=put_back,
    existing=True,
    harmless=True,
    aside=True,
)
