"""Deletes the conntrack entries of flows that left a masqueraded source without the translation declared now.

A flow keeps its first translation: one that began before the masquerade existed, or while its table was damaged,
would leave with its own source for as long as it lasts, and get no answer.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_network

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import path, reader
from reconciler.kernel.netlink.path import Packet
from reconciler.kernel.nftables import conntrack, nft_tables
from reconciler.kernel.nftables.conntrack import NESTED, TUPLE_IP, TUPLE_ORIG, Flow
from reconciler.model.data import NamedTuple
from reconciler.model.errors import Failure
from reconciler.model.requests import ForgetUnmasqueraded, ForgetUntranslated
from reconciler.model.rows import Way

# The start of an entry: nfgenmsg and the length of the original tuple (6 bytes), then this; its source is at byte 16.
_SOURCE = 16
_BEGINNINGS = {
    struct.pack("=HHH", TUPLE_ORIG | NESTED, 20, TUPLE_IP | NESTED): 4,
    struct.pack("=HHH", TUPLE_ORIG | NESTED, 44, TUPLE_IP | NESTED): 16,
}


class _Prefix(NamedTuple):
    """The bytes of a source's addresses as a range of numbers; ``length`` is 4 or 16."""

    first: int
    last: int
    length: int


def forget(kernel: Kernel, scope: str, requests: Iterable[ForgetUnmasqueraded | ForgetUntranslated]) -> Failure | None:
    """Delete the entries of one scope that the requests name; None when it is done.  Raises KernelError."""
    wanted = {_prefix(request.source): request for request in _spelled_out(kernel, scope, requests)}
    if not wanted:
        return None
    found = [(body, request) for body, request in _of_sources(kernel, scope, wanted) if body]
    if not found:
        return None
    flows = {body: flow for body, _ in found if (flow := conntrack.flow(body)) is not None}
    listed = [(body, flows[body], request) for body, request in found if body in flows]
    wrong = [(body, flow, request) for body, flow, request in listed if _is_wrong(flow, request)]
    leaving = _leaving(kernel, scope, [flow for _, flow, _ in wrong])
    return conntrack.delete(
        kernel, scope, [body for body, flow, request in wrong if leaving.get(flow, "") not in ("", *request.kept)]
    )


def _spelled_out(
    kernel: Kernel, scope: str, requests: Iterable[ForgetUnmasqueraded | ForgetUntranslated]
) -> Iterator[ForgetUnmasqueraded]:
    """The requests; for a whole table, one for each masquerade in it."""
    tables = {request.table for request in requests if isinstance(request, ForgetUntranslated)}
    yield from (request for request in requests if isinstance(request, ForgetUnmasqueraded))
    present = nft_tables.read_tables(kernel, scope) if tables else {}
    for elements in (present[name].elements for name in sorted(tables & present.keys())):
        for family in (4, 6):
            kept: dict[str, list[str]] = {}
            for source, link in elements.get(f"keep{family}", {}):
                kept.setdefault(source, []).append(link)
            for (source,), to in {**elements.get(f"masq{family}", {}), **elements.get(f"snat{family}", {})}.items():
                yield ForgetUnmasqueraded(scope, source, tuple(kept.get(source, ())), to[0] if to else "")


def _prefix(source: str) -> _Prefix:
    network = ip_network(source)
    return _Prefix(int(network.network_address), int(network.broadcast_address), network.max_prefixlen // 8)


def _of_sources(
    kernel: Kernel, scope: str, wanted: Mapping[_Prefix, ForgetUnmasqueraded]
) -> Iterator[tuple[bytes, ForgetUnmasqueraded]]:
    def request_of(body: bytes) -> ForgetUnmasqueraded | None:
        length = _BEGINNINGS.get(body[6:12])
        if length is None:
            return None
        source = int.from_bytes(body[_SOURCE : _SOURCE + length], "big")
        return next((wanted[one] for one in wanted if one.length == length and one.first <= source <= one.last), None)

    for body in conntrack.entries(kernel, scope, lambda body: request_of(body) is not None):
        request = request_of(body)
        if request is not None:
            yield body, request


def _is_wrong(flow: Flow, request: ForgetUnmasqueraded) -> bool:
    """Whether the source that the other end sees is not the declared one; what was published to is left alone."""
    if flow.sent_on:
        return False
    if not flow.masked:
        return not flow.answered  # an answered one works, and another source would end it
    seen = flow.answer.destination
    return (request.to != "" and seen != request.to) or (request.instead_of != "" and seen == request.instead_of)


def _leaving(kernel: Kernel, scope: str, flows: Sequence[Flow]) -> dict[Flow, str]:
    """The link by which the kernel sends each flow's packets elsewhere; those that stay in the scope are left out."""
    if not flows:
        return {}
    names = {row.index: row.name for row in reader.read_links(kernel, scope)}
    sources = list({flow.asked.source for flow in flows})
    back = dict(zip(sources, path.ways(kernel, scope, [Packet(source) for source in sources]), strict=True))
    asked = [_question(flow, back[flow.asked.source]) for flow in flows]
    ways = path.ways(kernel, scope, asked)
    return {flow: names.get(way.oif, "") for flow, way in zip(flows, ways, strict=True) if way.type == "unicast"}


def _question(flow: Flow, back: Way) -> Packet:
    """The flow's next packet: sent by the scope itself, or coming in by the link that leads back to its source."""
    came_by = 0 if back.type == "local" else back.oif
    _protocol, source, destination, source_port, port = flow.asked
    return Packet(destination, source, came_by, protocol=flow.asked.protocol, source_port=source_port, port=port)
