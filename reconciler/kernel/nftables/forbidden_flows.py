"""Deletes the conntrack entries of flows that an isolation forbids: the rules accept what is established already."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_interface

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import reader
from reconciler.kernel.nftables import conntrack
from reconciler.kernel.nftables.conntrack import Flow
from reconciler.model.data import NamedTuple
from reconciler.model.errors import Failure
from reconciler.model.requests import ForgetForbidden


class Subnets(NamedTuple):
    """The addresses of a scope, and its subnets with their links, the longest prefix first."""

    local: frozenset[str]
    links: tuple[tuple[IPv4Network | IPv6Network, str], ...]

    def link_to(self, address: str) -> str:
        """The link behind which an address is by its subnet, "" for none."""
        wanted = ip_address(address)
        return next((link for subnet, link in self.links if wanted in subnet), "")


def forget(kernel: Kernel, scope: str, requests: Iterable[ForgetForbidden]) -> Failure | None:
    """Delete the entries of one scope that the requests name; None when it is done.  Raises KernelError."""
    subnets = _subnets(kernel, scope)
    links = {link for _, link in subnets.links}
    listed = [request for request in requests if request.link in links]  # a new link has no flows
    if not listed:
        return None
    found = ((body, conntrack.flow(body)) for body in conntrack.entries(kernel, scope, lambda _body: True))
    doomed = [body for body, flow in found if flow and any(forbids(request, flow, subnets) for request in listed)]
    return conntrack.delete(kernel, scope, doomed)


def forbids(request: ForgetForbidden, flow: Flow, subnets: Subnets) -> bool:
    """Whether the rules would stop the first packet of the flow (see kinds/nat/ruleset.py, chain forward)."""
    source, target = flow.asked.source, flow.answer.source
    if {source, target} & subnets.local:
        return False
    out_of, into = subnets.link_to(source), subnets.link_to(target) == request.link
    if into and out_of in request.allow:
        return False
    return (request.internal and out_of == request.link) or (into and not flow.sent_on)


def _subnets(kernel: Kernel, scope: str) -> Subnets:
    names = {row.index: row.name for row in reader.read_links(kernel, scope)}
    rows = reader.read_rows_of(kernel, scope, names)[0]
    pairs = [(ip_interface(row.address).network, names[row.index]) for row in rows]
    local = frozenset(row.address.partition("/")[0] for row in rows)
    return Subnets(local, tuple(sorted(pairs, key=lambda pair: -pair[0].prefixlen)))
