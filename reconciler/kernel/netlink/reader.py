"""Reads a namespace with a few dumps: links, addresses, routes, rules, neighbours."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Container, Iterable, Mapping
from functools import cache, partial
from socket import socket as Socket  # noqa: N812
from types import MappingProxyType
from typing import Any, TypeVar

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import decode, transport
from reconciler.kernel.netlink.decode_rule import rule
from reconciler.kernel.netlink.peers import resolve_peers
from reconciler.model.attributes import Tables
from reconciler.model.data import NamedTuple
from reconciler.model.keys import stamped
from reconciler.model.rows import AddressRow, LinkRow, NeighbourRow, RouteRow, ScopeState

RTM_NEWLINK, RTM_GETLINK = 16, 18
RTM_NEWADDR, RTM_GETADDR = 20, 22
RTM_NEWROUTE, RTM_GETROUTE = 24, 26
RTM_NEWRULE, RTM_GETRULE = 32, 34
RTM_NEWNEIGH, RTM_GETNEIGH = 28, 30

# Without RTEXT_FILTER_SKIP_STATS half of a link dump is counters.
_NO_STATISTICS = transport.attribute(decode.IFLA_EXT_MASK, struct.pack("=I", 8))
_ALL_LINKS = bytes(16) + _NO_STATISTICS

_Row = TypeVar("_Row")


class Dump(NamedTuple):
    """One dump: type and body of the request, type of the answers, and what decodes an answer into a row."""

    request: int
    body: bytes
    answer: int
    decoder: Callable[[bytes], Any]


# Field of ScopeState -> the dump that fills it.  The links are not listed: they are always read.
DUMPS: Mapping[str, Dump] = MappingProxyType(
    {
        "addresses": Dump(RTM_GETADDR, bytes(8), RTM_NEWADDR, decode.address),
        "routes": Dump(RTM_GETROUTE, bytes(12), RTM_NEWROUTE, decode.route),
        "rules": Dump(RTM_GETRULE, bytes(12), RTM_NEWRULE, rule),
    }
)


def read(kernel: Kernel, scopes: Iterable[str], tables: Tables = decode.NO_TABLES) -> dict[str, ScopeState]:
    """The state of each scope: links with their peers, and the dumps and link attributes that ``tables`` names.

    Raises KernelError when a namespace is missing.
    """
    states = {scope: read_scope(kernel, scope, tables) for scope in kernel.with_sockets(scopes)}
    resolve_peers(kernel, states)
    return states


def read_scope(kernel: Kernel, scope: str, tables: Tables = decode.NO_TABLES) -> ScopeState:
    """The state of one namespace.  ``peers`` stays empty: all namespaces are needed to find them."""
    sock = kernel.socket(scope)
    links = {row.index: row for row in read_links(kernel, scope, tables)}
    wanted = DUMPS.keys() if tables.dumps is None else tables.dumps
    rows: dict[str, Any] = {name: _rows(sock, *dump) for name, dump in DUMPS.items() if name in wanted}
    return ScopeState(scope, links, **rows)


def keeps_protocol(states: Iterable[ScopeState]) -> bool:
    """Whether the kernel stores IFA_PROTO: since Linux 5.18, or where an address that was read has one (a backport)."""
    return _release() >= (5, 18) or any(row.protocol for state in states for row in state.addresses)


def changes_protocol() -> bool:
    """Whether a request with NLM_F_REPLACE changes the IFA_PROTO of an IPv4 address: Linux 6.1 does not, 6.12 does."""
    return _release() >= (6, 12)


@cache
def _release() -> tuple[int, int]:
    major, minor, *_ = [*re.findall(r"\d+", os.uname().release), "0", "0"]
    return int(major), int(minor)


def read_links(kernel: Kernel, scope: str, tables: Tables = decode.NO_TABLES) -> list[LinkRow]:
    """The links of a scope, by one dump; raises KernelError."""
    return read_links_as(kernel, scope, partial(decode.link, tables=tables))


def read_links_as(kernel: Kernel, scope: str, decoder: Callable[[bytes], _Row | None]) -> list[_Row]:
    """The links of a scope, each message (without its nlmsghdr) decoded by ``decoder``; None is left out."""
    return _rows(kernel.socket(scope), RTM_GETLINK, _ALL_LINKS, RTM_NEWLINK, decoder)


def read_neighbours(kernel: Kernel, scope: str) -> list[NeighbourRow]:
    """The permanent neighbours and the proxy entries of a scope; the kernel has a dump for each."""
    sock = kernel.socket(scope)
    return [
        row
        for flags in (0, decode.NTF_PROXY)
        for row in _rows(
            sock, RTM_GETNEIGH, struct.pack("=BxxxiHBB", 0, 0, 0, flags, 0), RTM_NEWNEIGH, decode.neighbour
        )
    ]


def read_rows_of(kernel: Kernel, scope: str, links: Container[int]) -> tuple[list[AddressRow], list[RouteRow]]:
    """The addresses of links, given by ifindex, and the routes over them."""
    sock = kernel.socket(scope)
    addresses = [row for row in _rows(sock, *DUMPS["addresses"]) if row.index in links]
    routes = [row for row in _rows(sock, *DUMPS["routes"]) if any(hop.oif in links for hop in row.hops)]
    return addresses, routes


def read_local_addresses(kernel: Kernel, scope: str) -> frozenset[str]:
    """The addresses of the scope's links, without their prefix lengths."""
    rows = _rows(kernel.socket(scope), *DUMPS["addresses"])
    return frozenset(row.address.partition("/")[0] for row in rows)


def _rows(sock: Socket, request: int, body: bytes, answer: int, decoder: Callable[[bytes], _Row | None]) -> list[_Row]:
    rows = (decoder(data) for kind, data in transport.dump(sock, request, body) if kind == answer)
    return [row for row in rows if row is not None]


def read_owners(kernel: Kernel, scopes: Iterable[str]) -> dict[str, str]:
    """As read_owner for many namespaces, several times faster per namespace."""
    return {scope: read_owner(kernel, scope) for scope in kernel.with_sockets(scopes)}


def read_owner(kernel: Kernel, scope: str) -> str:
    """The topology stamped on the namespace's ``lo``, "" for none.

    It dumps the links and decodes only ``lo``: a request for lo alone takes three times as long.
    """
    for kind, body in transport.dump(kernel.socket(scope), RTM_GETLINK, _ALL_LINKS):
        if kind == RTM_NEWLINK and decode.is_loopback(body):
            return stamped(decode.link(body).alias)
    return ""
