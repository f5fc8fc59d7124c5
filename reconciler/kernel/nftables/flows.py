"""Deletes the conntrack entries of flows that a changed port map must not serve any more."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Iterator

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import reader
from reconciler.kernel.nftables import conntrack, nft_tables
from reconciler.kernel.nftables.conntrack import NESTED, TUPLE_IP, TUPLE_ORIG, Flow
from reconciler.model.errors import Failure
from reconciler.model.names import PUBLISHED_ADDRESS, PUBLISHED_ANY
from reconciler.model.requests import ForgetFlows, ForgetUntranslated

# The start of an entry: nfgenmsg, then the original tuple with its addresses -> the offsets of protocol and port.
# An entry that starts like this is compared without decoding it, so that the many others cost next to nothing.
_BEGINNINGS = {
    struct.pack("=HHHH", 52, TUPLE_ORIG | NESTED, 20, TUPLE_IP | NESTED): (36, 52),
    struct.pack("=HHHH", 76, TUPLE_ORIG | NESTED, 44, TUPLE_IP | NESTED): (60, 76),
}
_PORT = struct.Struct(">H")
_PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58, "sctp": 132}  # somebody may have added elements with icmp
_ANY = ("0.0.0.0", "::")

Service = tuple[int, int]  # protocol number, port


def forget(kernel: Kernel, scope: str, requests: Iterable[ForgetFlows | ForgetUntranslated]) -> Failure | None:
    """Delete the entries of one scope that the requests name; None when it is done.

    It takes one dump for any number of requests.  Raises KernelError.
    """
    wanted: dict[Service, list[ForgetFlows]] = {}
    for request in _spelled_out(kernel, scope, requests):
        wanted.setdefault((_protocol(request.protocol), request.port), []).append(request)
    if not wanted:
        return None
    bodies = conntrack.entries(kernel, scope, lambda body: _may_match(body, wanted))
    if not bodies:
        return None
    local = reader.read_local_addresses(kernel, scope)
    return conntrack.delete(kernel, scope, [body for body in bodies if _matches(body, wanted, local)])


def forget_sent(kernel: Kernel, scope: str, ports: Collection[int], to: Collection[str]) -> None:
    """Delete the entries of connections from these source ports to these addresses.  Raises KernelError."""
    bodies = conntrack.entries(kernel, scope, lambda body: _is_sent(conntrack.flow(body), ports, to))
    conntrack.delete(kernel, scope, bodies)


def _is_sent(entry: Flow | None, ports: Collection[int], to: Collection[str]) -> bool:
    return entry is not None and entry.asked.destination in to and entry.asked.source_port in ports


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
    flow = conntrack.flow(body)
    if flow is None:
        return False
    service = (flow.asked.protocol, flow.asked.port)
    return any(_concerns(request, flow, local) for request in wanted.get(service, ()))


def _concerns(request: ForgetFlows, flow: Flow, local: frozenset[str]) -> bool:
    destination, answer = flow.asked.destination, flow.answer
    same_family = (":" in request.listen) == (":" in destination)
    if not same_family or request.listen not in (*_ANY, destination):
        return False
    to_target = flow.sent_on and (answer.source, answer.source_port) == (request.target, request.target_port)
    if not request.others:
        return to_target
    to_scope = destination in local or destination.startswith("127.")
    return to_scope and (not to_target or (request.unanswered and not flow.answered))
