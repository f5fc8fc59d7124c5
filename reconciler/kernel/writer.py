"""Requests carried out: in windows, grouped by where they go, with one result per change."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import transport
from reconciler.kernel.netlink.delete_groups import delete_group, groups, spare, to_group
from reconciler.kernel.netlink.encode import Reference, encode, references
from reconciler.kernel.netlink.indexes import LinkIndexes, Missing
from reconciler.kernel.nftables import flows
from reconciler.kernel.proc import dns_files, sysctl
from reconciler.model.errors import Failure, KernelError
from reconciler.model.requests import (
    CreateNamespace,
    DeleteNamespace,
    ForgetFlows,
    ForgetUntranslated,
    LinkRef,
    NamespaceRef,
    Netlink,
    NftElement,
    NftFrame,
    Request,
    ReservePorts,
    WriteFile,
    WriteSysctl,
)
from reconciler.model.rows import ScopeState
from reconciler.startup import young_collected

Nft = Callable[[str, list[NftFrame | NftElement]], Failure | None]
Destination = tuple[str, str]  # what takes it, and the scope: ("netlink", "host")
_Numbered = list[tuple[int, Request]]  # requests with the numbers of their entries
_NLM_F_CREATE = transport.NLM_F_CREATE
_RENAMING = frozenset({"IFLA_IFNAME", "IFLA_NET_NS_FD", "IFLA_NET_NS_PID", "IFLA_TARGET_NETNSID"})


class Writer:
    """The only sender of requests that change anything; ``sent`` counts them.

    ``live`` gives the first ifindexes; what it does not know is read from the kernel.  ``nft`` executes
    all nft requests of one scope as one transaction.  ``parking``: namespaces are put aside rather than deleted.
    """

    def __init__(self, kernel: Kernel, live: Mapping[str, ScopeState], nft: Nft, parking: bool = False) -> None:
        self._kernel = kernel
        self._links = LinkIndexes(kernel, live)
        self._nft = nft
        self._parking = parking
        self.sent = 0

    def send(self, batch: list[list[Request]]) -> list[Failure | None]:
        """Carry out a batch of entries, independent of each other, each an ordered list of requests.

        An entry is cut into runs that go to one place; all first runs are sent together, then all second
        runs, and so on.  An entry with a failure goes no further.  The result has per entry its
        first Failure, or None.
        """
        with young_collected():
            return self._send(batch)

    def _send(self, batch: list[list[Request]]) -> list[Failure | None]:
        runs = [list(_runs(entry)) for entry in batch]
        results: list[Failure | None] = [None] * len(batch)
        for stage in range(max(map(len, runs), default=0)):
            places: dict[Destination, list[tuple[int, Request]]] = {}
            for number, entry in enumerate(runs):
                if results[number] is None and stage < len(entry):
                    for request in entry[stage]:
                        places.setdefault(_destination(request), []).append((number, request))
            self._send_stage(places, results)
        return results

    def _send_stage(self, places: Mapping[Destination, _Numbered], results: list[Failure | None]) -> None:
        self._links.begin_stage()
        for destination, listed in self._in_turn(places):
            requests = [request for _, request in listed]
            failures = self._deliver(destination, requests)
            for (number, _), failure in zip(listed, failures, strict=True):
                results[number] = results[number] or failure

    def _in_turn(self, places: Mapping[Destination, _Numbered]) -> Iterator[tuple[Destination, _Numbered]]:
        """Each place with what goes there; the sockets for many namespaces are opened in batches."""
        routes = {scope: listed for (kind, scope), listed in places.items() if kind == "netlink"}
        yield from ((place, listed) for place, listed in places.items() if place[0] != "netlink")
        yield from ((("netlink", scope), routes[scope]) for scope in self._kernel.with_sockets(routes))

    def _deliver(self, destination: Destination, requests: list[Request]) -> list[Failure | None]:
        """The one way out: every request that changes state passes here, and is counted."""
        self.sent += len(requests)
        kind, scope = destination
        if kind == "netlink":
            return self._send_netlink(scope, [request for request in requests if isinstance(request, Netlink)])
        if kind == "nft":
            wanted = [request for request in requests if isinstance(request, NftFrame | NftElement)]
            return [_caught(lambda: self._nft(scope, wanted))] * len(requests)
        if kind == "flows":
            stale = [request for request in requests if isinstance(request, ForgetFlows | ForgetUntranslated)]
            return [_caught(lambda: flows.forget(self._kernel, scope, stale))] * len(requests)
        return [_caught(lambda request=request: self._call(request)) for request in requests]  # type: ignore[misc]

    def _call(self, request: Request) -> Failure | None:
        if isinstance(request, CreateNamespace):
            self._links.forget(request.name)
            if request.parked:
                self._kernel.unpark_namespace(request.name)
            else:
                self._kernel.create_namespace(request.name, request.alias, request.group)
        elif isinstance(request, DeleteNamespace):
            self._links.forget_all()  # the peers of its veths go with it
            self._kernel.delete_namespace(request.name, self._parking)
        elif isinstance(request, WriteSysctl):
            return sysctl.write_sysctl(self._kernel, request.scope, request.key, request.value)
        elif isinstance(request, ReservePorts):
            return sysctl.reserve_ports(self._kernel, request.scope, request.add, request.drop)
        elif isinstance(request, WriteFile):
            dns_files.write_file(request.scope, request.name, request.text, request.owner)
        return None

    # -------------------------------------------------------------- netlink

    def _send_netlink(self, scope: str, requests: list[Netlink]) -> list[Failure | None]:
        results: list[Failure | None] = []
        for deleting, stretch in groupby(requests, lambda request: request.command == "dellink"):
            listed = list(stretch)
            results += (
                self._delete_links(scope, listed) if deleting and len(listed) > 1 else self._send_all(scope, listed)
            )
        for request in requests:
            self._forget_renamed(request)
        return results

    def _send_all(self, scope: str, requests: Sequence[Netlink]) -> list[Failure | None]:
        results: list[Failure | None] = []
        for at in range(0, len(requests), transport.WINDOW):
            results += self._send_window(scope, requests[at : at + transport.WINDOW])
        return results

    def _delete_links(self, scope: str, requests: Sequence[Netlink]) -> list[Failure | None]:
        """Many links in one go: the kernel waits for a grace period per message, 16 ms, whatever it deletes.

        They are put into a group that nothing is in, and the group is deleted; where that is refused (one of
        them cannot be deleted), they go one by one.
        """
        try:
            before = groups(self._kernel, scope)
        except KernelError as error:
            return [error.failure] * len(requests)
        group = spare({*before.values()})
        moved = self._send_all(scope, [to_group(request, group) for request in requests])
        (refused,) = transport.send_window(self._kernel.socket(scope), [delete_group(group)])
        if refused is None:
            self.sent += 1
            return moved
        back = [to_group(request, before.get(request.fields["index"].name, 0)) for request in requests]
        self._send_all(scope, back)
        return self._send_all(scope, requests)

    def _send_window(self, scope: str, requests: Sequence[Netlink]) -> list[Failure | None]:
        """One window; the descriptors of the namespaces it names are open only meanwhile."""
        fds: dict[str, int] = {}
        results: list[Failure | None] = [None] * len(requests)
        messages: list[bytes] = []
        places: list[int] = []
        try:
            for place, request in enumerate(requests):
                try:
                    messages.append(encode(request, lambda reference: self._resolve(reference, fds)))
                    places.append(place)
                except Missing as missing:
                    results[place] = missing.failure
            failures = transport.send_window(self._kernel.socket(scope), messages) if messages else []
        except KernelError as error:
            return [result or error.failure for result in results]
        finally:
            for fd in fds.values():
                os.close(fd)
        for place, failure in zip(places, failures, strict=True):
            results[place] = None if requests[place].optional else failure
        return results

    def _resolve(self, reference: Reference, fds: dict[str, int]) -> int:
        if isinstance(reference, LinkRef):
            return self._links.index(reference)
        if reference.scope not in fds:
            try:
                fds[reference.scope] = self._kernel.open(reference.scope)
            except KernelError as error:
                text = f"namespace {reference.scope} is missing"
                raise Missing(Failure(error.failure.errno or errno.ENOENT, text)) from None
        return fds[reference.scope]

    def _forget_renamed(self, request: Netlink) -> None:
        """Names may mean other links now: in the request's scope, and wherever it put or took one."""
        if request.command == "dellink":
            self._links.forget_all()  # a veth's peer is gone too, wherever it was
        elif _renames(request):
            self._links.forget(request.scope)
            for reference in references(request.attributes):
                if isinstance(reference, NamespaceRef):
                    self._links.forget(reference.scope)


def _caught(call: Callable[[], Failure | None]) -> Failure | None:
    try:
        return call()
    except KernelError as error:
        return error.failure


# ------------------------------------------------------------------ how an entry is cut


def _destination(request: Request) -> Destination:
    if isinstance(request, Netlink):
        return "netlink", request.scope
    if isinstance(request, NftFrame | NftElement):
        return "nft", request.scope
    if isinstance(request, ForgetFlows | ForgetUntranslated):
        return "flows", request.scope
    if isinstance(request, WriteSysctl | ReservePorts):
        return "sysctl", request.scope
    return ("file", "") if isinstance(request, WriteFile) else ("namespace", "")


def _runs(entry: list[Request]) -> Iterator[list[Request]]:
    """Consecutive requests with one destination; one that names a link starts anew behind one that made links."""
    run: list[Request] = []
    renamed = False
    for request in entry:
        stale = renamed and isinstance(request, Netlink) and _names_links(request)
        if run and (stale or _destination(request) != _destination(run[0])):
            yield run
            run, renamed = [], False
        run.append(request)
        renamed = renamed or (isinstance(request, Netlink) and _renames(request))
    if run:
        yield run


def _renames(request: Netlink) -> bool:
    if request.command == "dellink" or (request.command == "newlink" and request.flags & _NLM_F_CREATE):
        return True
    return request.command in ("newlink", "setlink") and any(name in _RENAMING for name, _ in request.attributes)


def _names_links(request: Netlink) -> bool:
    named = references(request.fields) + references(request.attributes)
    return any(isinstance(reference, LinkRef) for reference in named)
