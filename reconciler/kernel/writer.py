"""Carries out requests and gives a result per change; the tables at the end name what sends each type of request."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import neighbours
from reconciler.kernel.netlink.sender import Sender, names_links, renames
from reconciler.kernel.nftables import flows, forbidden_flows, rename_table, unmasqueraded
from reconciler.kernel.proc import dns_files, sysctl
from reconciler.model.errors import Failure, KernelError
from reconciler.model.requests import (
    Announce,
    CreateNamespace,
    DeleteNamespace,
    Forget,
    ForgetFlows,
    ForgetForbidden,
    ForgetUnmasqueraded,
    ForgetUntranslated,
    Netlink,
    NftElement,
    NftFrame,
    NftLateElement,
    RenameBlock,
    RenameTable,
    Request,
    ReservePorts,
    WriteFile,
    WriteSysctl,
)
from reconciler.model.rows import ScopeState
from reconciler.startup import young_collected

Nft = Callable[[str, list[NftFrame | NftElement]], Failure | None]
Results = list[Failure | None]
Destination = tuple[Callable[["Writer", str, list[Any]], Results], str]  # the method that sends it, and the scope
_Numbered = list[tuple[int, Request]]  # requests, each with the index of its entry


class Writer:
    """The only sender of requests that change the kernel or a file; ``sent`` counts them.

    ``live`` gives the ifindexes of known links; others are read from the kernel.  ``nft`` executes all nft requests of
    one scope as one transaction.  With ``parking``, namespaces are parked instead of deleted.
    """

    def __init__(self, kernel: Kernel, live: Mapping[str, ScopeState], nft: Nft, parking: bool = False) -> None:
        self._kernel = kernel
        self._netlink = Sender(kernel, live)
        self._nft = nft
        self._parking = parking
        self._sent = 0

    @property
    def sent(self) -> int:
        return self._sent + self._netlink.grouped

    def send(self, batch: list[list[Request]]) -> list[Failure | None]:
        """Carry out a batch of entries; each is an ordered list of requests, and independent of the others.

        An entry is cut into runs of requests with one destination; all first runs are sent together, then all second
        runs, and so on.  After a failure the rest of that entry is not sent.  The result has the first Failure of
        each entry, or None.
        """
        with young_collected():
            return self._send(batch)

    def _send(self, batch: list[list[Request]]) -> list[Failure | None]:
        runs = [_runs(entry) for entry in batch]
        results: list[Failure | None] = [None] * len(batch)
        for stage in range(max(map(len, runs), default=0)):
            places: dict[Destination, list[tuple[int, Request]]] = {}
            for number, entry in enumerate(runs):
                if results[number] is None and stage < len(entry):
                    destination, requests = entry[stage]
                    places.setdefault(destination, []).extend([(number, request) for request in requests])
            self._send_stage(places, results)
        return results

    def _send_stage(self, places: Mapping[Destination, _Numbered], results: list[Failure | None]) -> None:
        self._netlink.links.begin_stage()
        for destination, listed in self._in_turn(places):
            requests = [request for _, request in listed]
            failures = self._deliver(destination, requests)
            for (number, _), failure in zip(listed, failures, strict=True):
                results[number] = results[number] or failure

    def _in_turn(self, places: Mapping[Destination, _Numbered]) -> Iterator[tuple[Destination, _Numbered]]:
        """Each destination with its requests; netlink last, so that sockets of many namespaces open in batches."""
        routes = {scope: listed for (take, scope), listed in places.items() if take is Writer._netlinks}
        yield from ((place, listed) for place, listed in places.items() if place[0] is not Writer._netlinks)
        yield from (((Writer._netlinks, scope), routes[scope]) for scope in self._kernel.with_sockets(routes))

    def _deliver(self, destination: Destination, requests: list[Request]) -> Results:
        """Send to one destination; every request passes here and is counted."""
        self._sent += len(requests)
        take, scope = destination
        return take(self, scope, requests)

    # -------------------------------------------------------------- all of one scope together

    def _netlinks(self, scope: str, requests: list[Netlink]) -> Results:
        return self._netlink.send(scope, requests)

    def _transaction(self, scope: str, requests: list[NftFrame | NftElement]) -> Results:
        return [_caught(partial(self._nft, scope, requests))] * len(requests)

    def _late_transaction(self, scope: str, requests: list[NftFrame | NftElement]) -> Results:
        return self._transaction(scope, requests)

    def _flows(self, scope: str, requests: list[Forget]) -> Results:
        return [_caught(partial(self._forget, scope, requests))] * len(requests)

    def _forget(self, scope: str, requests: list[Forget]) -> Failure | None:
        of_ports = [request for request in requests if not isinstance(request, ForgetUnmasqueraded)]
        of_sources = [request for request in requests if not isinstance(request, ForgetFlows)]
        failure = flows.forget(self._kernel, scope, of_ports)
        return failure or unmasqueraded.forget(self._kernel, scope, of_sources)

    def _announcements(self, scope: str, requests: list[Announce]) -> Results:
        try:
            return neighbours.announce(self._kernel, scope, requests)
        except KernelError as error:
            return [error.failure] * len(requests)

    def _forbidden(self, scope: str, requests: list[ForgetForbidden]) -> Results:
        return [_caught(partial(forbidden_flows.forget, self._kernel, scope, requests))] * len(requests)

    def _create_namespaces(self, _scope: str, requests: list[CreateNamespace]) -> Results:
        for request in requests:
            self._netlink.links.forget(request.name)
        new = [(request.name, request.alias, request.group) for request in requests if not request.parked]
        try:
            made = iter([error.failure if error else None for error in self._kernel.create_namespaces(new)])
        except KernelError as error:
            return [error.failure] * len(requests)
        return [self._unpark(request.name) if request.parked else next(made) for request in requests]

    def _unpark(self, name: str) -> Failure | None:
        return _caught(partial(self._kernel.unpark_namespace, name))

    # -------------------------------------------------------------- one by one

    def _each(self, _scope: str, requests: list[Request]) -> Results:
        return [_caught(partial(_ALONE[type(request)], self, request)) for request in requests]

    def _delete_namespace(self, request: DeleteNamespace) -> None:
        self._netlink.links.forget_all()  # the peers of its veths are deleted too, in any scope
        self._kernel.delete_namespace(request.name, self._parking)

    def _write_sysctl(self, request: WriteSysctl) -> Failure | None:
        failure = sysctl.write_sysctl(self._kernel, request.scope, request.key, request.value)
        return None if request.optional else failure

    def _reserve_ports(self, request: ReservePorts) -> Failure | None:
        return sysctl.reserve_ports(self._kernel, request.scope, request.add, request.drop)

    def _write_file(self, request: WriteFile) -> None:
        dns_files.write_file(request.scope, request.name, request.text, request.owner)

    def _rename_block(self, request: RenameBlock) -> None:
        dns_files.rename_block(request.name, request.owner, request.to)

    def _rename_table(self, request: RenameTable) -> Failure | None:
        return rename_table.rename(self._kernel, request.scope, request.table, request.to)


def _caught(call: Callable[[], Failure | None]) -> Failure | None:
    try:
        return call()
    except KernelError as error:
        return error.failure


# ------------------------------------------------------------------ what sends each type of request

_ALONE: dict[type[Request], Callable[[Writer, Any], Failure | None]] = {
    DeleteNamespace: Writer._delete_namespace,
    WriteSysctl: Writer._write_sysctl,
    ReservePorts: Writer._reserve_ports,
    WriteFile: Writer._write_file,
    RenameBlock: Writer._rename_block,
    RenameTable: Writer._rename_table,
}
_TOGETHER: dict[type[Request], Callable[[Writer, str, list[Any]], Results]] = {
    Netlink: Writer._netlinks,
    CreateNamespace: Writer._create_namespaces,
    NftFrame: Writer._transaction,
    NftElement: Writer._transaction,
    NftLateElement: Writer._late_transaction,
    ForgetFlows: Writer._flows,
    ForgetUnmasqueraded: Writer._flows,
    ForgetUntranslated: Writer._flows,
    Announce: Writer._announcements,
    ForgetForbidden: Writer._forbidden,
}


def _runs(entry: list[Request]) -> list[tuple[Destination, list[Request]]]:
    """Runs of consecutive requests with one destination, each with it.

    A request that names a link also starts a new run after one that made or renamed links, because its ifindex can
    be looked up only then.
    """
    runs: list[tuple[Destination, list[Request]]] = []
    renamed = False
    for request in entry:
        destination = _TOGETHER.get(type(request), Writer._each), getattr(request, "scope", "")
        stale = renamed and isinstance(request, Netlink) and names_links(request)
        if runs and not stale and runs[-1][0] == destination:
            runs[-1][1].append(request)
        else:
            runs.append((destination, [request]))
            renamed = False
        renamed = renamed or (isinstance(request, Netlink) and renames(request))
    return runs
