"""Deletes the conntrack entries of flows that a changed port map must not serve any more."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import reader, transport
from reconciler.kernel.nftables import nft_tables
from reconciler.kernel.nftables.nft_decode import attributes
from reconciler.model.errors import Failure, KernelError
from reconciler.model.names import PUBLISHED_ADDRESS, PUBLISHED_ANY
from reconciler.model.requests import ForgetFlows, ForgetUntranslated

_SUBSYSTEM = 1 << 8  # NFNL_SUBSYS_CTNETLINK
_GET, _DELETE = _SUBSYSTEM | 1, _SUBSYSTEM | 2  # IPCTNL_MSG_CT_*
_NESTED = 0x8000

# linux/netfilter/nfnetlink_conntrack.h
_TUPLE_ORIG, _TUPLE_REPLY, _STATUS, _ID, _ZONE = 1, 2, 3, 12, 18
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_SOURCES, _DESTINATIONS = (1, 3), (2, 4)  # CTA_IP_V4_*, CTA_IP_V6_*
_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_WITH_PORTS = {_NUMBER, _SOURCE_PORT, _DESTINATION_PORT}
_SEEN_REPLY, _DST_NAT = 1 << 1, 1 << 5  # IPS_*

# The start of an entry: nfgenmsg, then the original tuple with its addresses -> the offsets of protocol and port.
# An entry that starts like this is compared without decoding it, so that the many others cost next to nothing.
_BEGINNINGS = {
    struct.pack("=HHHH", 52, _TUPLE_ORIG | _NESTED, 20, _TUPLE_IP | _NESTED): (36, 52),
    struct.pack("=HHHH", 76, _TUPLE_ORIG | _NESTED, 44, _TUPLE_IP | _NESTED): (60, 76),
}
_PORT = struct.Struct(">H")
_PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58, "sctp": 132}  # somebody may have added elements with icmp
_ANY = ("0.0.0.0", "::")
_ABSENT = {errno.EPROTONOSUPPORT, errno.EOPNOTSUPP, errno.EINVAL}  # the kernel has no ctnetlink, and so no entries

Service = tuple[int, int]  # protocol number, port


class _Flow(NamedTuple):
    """One entry.

    ``destination`` is the address that the client opened, ``translated`` whether DNAT changed it (IPS_DST_NAT),
    ``answered`` whether a packet came back (IPS_SEEN_REPLY), ``answerer`` and ``answer_port`` the source of replies.
    """

    destination: str
    translated: bool
    answered: bool
    answerer: str
    answer_port: int


def forget(kernel: Kernel, scope: str, requests: Iterable[ForgetFlows | ForgetUntranslated]) -> Failure | None:
    """Delete the entries of one scope that the requests name; None when it is done.

    It takes one dump for any number of requests.  Raises KernelError.
    """
    wanted: dict[Service, list[ForgetFlows]] = {}
    for request in _spelled_out(kernel, scope, requests):
        wanted.setdefault((_protocol(request.protocol), request.port), []).append(request)
    if not wanted:
        return None
    sock = kernel.socket(scope, transport.NETFILTER)
    try:
        bodies = [body for _, body in transport.dump(sock, _GET, bytes(4)) if _may_match(body, wanted)]
    except KernelError as error:
        return None if error.failure.errno in _ABSENT else error.failure
    if not bodies:
        return None
    local = reader.read_local_addresses(kernel, scope)
    doomed = [_deletion(body) for body in bodies if _matches(body, wanted, local)]
    failures = transport.send_window(sock, doomed)
    return next((failure for failure in failures if failure is not None and failure.errno != errno.ENOENT), None)


def _protocol(name: str) -> int:
    """The number of a protocol, which an element has as a name, or as digits where we have no name."""
    return _PROTOCOLS[name] if name in _PROTOCOLS else int(name)


def _spelled_out(
    kernel: Kernel, scope: str, requests: Iterable[ForgetFlows | ForgetUntranslated]
) -> Iterator[ForgetFlows]:
    tables = {request.table for request in requests if isinstance(request, ForgetUntranslated)}
    yield from (request for request in requests if isinstance(request, ForgetFlows))
    present = nft_tables.read_tables(kernel, scope) if tables else {}
    for elements in (present[name].elements for name in sorted(tables & present.keys())):
        for family, anywhere in ((4, "0.0.0.0"), (6, "::")):
            for (protocol, port), to in elements.get(PUBLISHED_ANY[family], {}).items():
                yield ForgetFlows(scope, protocol, anywhere, port, to[0], to[1], others=True, unanswered=True)
            for (listen, protocol, port), to in elements.get(PUBLISHED_ADDRESS[family], {}).items():
                yield ForgetFlows(scope, protocol, listen, port, to[0], to[1], others=True, unanswered=True)


def _may_match(body: bytes, wanted: dict[Service, list[ForgetFlows]]) -> bool:
    places = _BEGINNINGS.get(body[4:12])
    if places is None or len(body) < places[1] + 2:
        return True
    return (body[places[0]], _PORT.unpack_from(body, places[1])[0]) in wanted


def _matches(body: bytes, wanted: dict[Service, list[ForgetFlows]], local: frozenset[str]) -> bool:
    entry = dict(attributes(body, 4))
    asked = _tuple(entry.get(_TUPLE_ORIG, b""))
    answered = _tuple(entry.get(_TUPLE_REPLY, b""))
    if asked is None or answered is None:
        return False
    service, destination, _ = asked
    status = int.from_bytes(entry.get(_STATUS, b""), "big")
    flow = _Flow(destination, bool(status & _DST_NAT), bool(status & _SEEN_REPLY), answered[2][0], answered[2][1])
    return any(_concerns(request, flow, local) for request in wanted.get(service, ()))


def _concerns(request: ForgetFlows, flow: _Flow, local: frozenset[str]) -> bool:
    same_family = (":" in request.listen) == (":" in flow.destination)
    if not same_family or request.listen not in (*_ANY, flow.destination):
        return False
    to_target = flow.translated and (flow.answerer, flow.answer_port) == (request.target, request.target_port)
    if not request.others:
        return to_target
    to_scope = flow.destination in local or flow.destination.startswith("127.")
    return to_scope and (not to_target or (request.unanswered and not flow.answered))


def _tuple(data: bytes) -> tuple[Service, str, tuple[str, int]] | None:
    """(protocol, destination port), destination, (source, source port) of one direction; None without ports."""
    parts = dict(attributes(data))
    addresses = dict(attributes(parts.get(_TUPLE_IP, b"")))
    ports = dict(attributes(parts.get(_TUPLE_PROTO, b"")))
    source = next((addresses[kind] for kind in _SOURCES if kind in addresses), b"")
    destination = next((addresses[kind] for kind in _DESTINATIONS if kind in addresses), b"")
    if {len(source), len(destination)} not in ({4}, {16}) or not {_NUMBER, _SOURCE_PORT, _DESTINATION_PORT} <= set(
        ports
    ):
        return None
    protocol, port, other = (int.from_bytes(ports[kind], "big") for kind in (_NUMBER, _DESTINATION_PORT, _SOURCE_PORT))
    return (protocol, port), _address(destination), (_address(source), other)


def _address(raw: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)


def _deletion(body: bytes) -> bytes:
    """The message that deletes an entry: by tuple and by id, so that a new entry with the same tuple stays."""
    entry = dict(attributes(body, 4))
    parts = [transport.attribute(_TUPLE_ORIG | _NESTED, entry[_TUPLE_ORIG])]
    parts += [transport.attribute(kind, entry[kind]) for kind in (_ZONE, _ID) if kind in entry]
    return transport.message(_DELETE, body[:4] + b"".join(parts))
