"""Sends netlink requests in windows and gives the result of each."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain, groupby

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import blame, transport
from reconciler.kernel.netlink.delete_groups import delete_group, groups, spare, to_group
from reconciler.kernel.netlink.encode import Reference, encode, references
from reconciler.kernel.netlink.indexes import LinkIndexes, Missing
from reconciler.kernel.netlink.new_macs import NewMacs
from reconciler.model.errors import Failure, KernelError
from reconciler.model.requests import NLM_F_CREATE, LinkRef, NamespaceRef, Netlink, NewMac
from reconciler.model.rows import ScopeState

_OF_LINKS = frozenset({"newlink", "setlink", "dellink"})
_RENAMING = frozenset({"IFLA_IFNAME", "IFLA_NET_NS_FD", "IFLA_NET_NS_PID", "IFLA_TARGET_NETNSID"})


class Sender:
    """Sends to any scope.  ``links`` are the known ifindexes.

    ``grouped`` counts the messages sent beside those of the requests: one for each deletion by group.
    """

    def __init__(self, kernel: Kernel, live: Mapping[str, ScopeState]) -> None:
        self._kernel = kernel
        self.links = LinkIndexes(kernel, live)
        self._macs = NewMacs(kernel)
        self.grouped = 0

    def send(self, scope: str, requests: Sequence[Netlink]) -> list[Failure | None]:
        """Send the requests in order; a result for each, None where it succeeded."""
        results: list[Failure | None] = []
        for deleting, stretch in groupby(requests, lambda request: request.command == "dellink"):
            listed = list(stretch)
            results += (
                self._delete_links(scope, listed) if deleting and len(listed) > 1 else self._send_all(scope, listed)
            )
        for request in requests:
            if not _creates(request):
                self._forget_renamed(request)
        return results

    def _send_all(self, scope: str, requests: Sequence[Netlink]) -> list[Failure | None]:
        results: list[Failure | None] = []
        for at in range(0, len(requests), transport.WINDOW):
            results += self._send_window(scope, requests[at : at + transport.WINDOW])
        return results

    def _delete_links(self, scope: str, requests: Sequence[Netlink]) -> list[Failure | None]:
        """Delete many links with one message: the kernel waits 16 ms (an RCU grace period) for each message.

        The links are put into an unused group, and the group is deleted.  If the kernel refuses that, because
        one of them cannot be deleted, they get their groups back and are deleted one by one.
        """
        try:
            before = groups(self._kernel, scope)
        except KernelError as error:
            return [error.failure] * len(requests)
        group = spare({*before.values()})
        moved = self._send_all(scope, [to_group(request, group) for request in requests])
        (refused,) = transport.send_window(self._kernel.socket(scope), [delete_group(group)])
        if refused is None:
            self.grouped += 1
            return moved
        back = [to_group(request, before.get(request.fields["index"].name, 0)) for request in requests]
        self._send_all(scope, back)
        return self._send_all(scope, requests)

    def _send_window(self, scope: str, requests: Sequence[Netlink]) -> list[Failure | None]:
        """Send one window; the namespaces that it refers to are open only while it is sent."""
        fds: dict[str, int] = {}
        results: list[Failure | None] = [None] * len(requests)
        messages: list[bytes] = []
        places: list[int] = []
        answers: list[transport.Answer] = []
        resolve = partial(self._resolve, fds)
        try:
            for place, request in enumerate(requests):
                try:
                    message = encode(request, resolve)
                    messages.append(transport.echoed(message) if _creates(request) else message)
                    places.append(place)
                except Missing as missing:
                    results[place] = missing.failure
            answers = transport.exchange(self._kernel.socket(scope), messages) if messages else []
        except KernelError as error:
            self.links.forget_all()
            return [result or error.failure for result in results]
        finally:
            for fd in fds.values():
                os.close(fd)
        for place, (failure, answer), message in zip(places, answers, messages, strict=True):
            if _creates(requests[place]) and not self.links.learn(requests[place], answer):
                self._forget_renamed(requests[place])
            if failure is not None and not requests[place].optional:
                results[place] = blame.named(failure, requests[place], message)
        return results

    def _resolve(self, fds: dict[str, int], reference: Reference | NewMac) -> int | str:
        if isinstance(reference, NewMac):
            return self._macs.of(reference)
        if isinstance(reference, LinkRef):
            return self.links.index(reference)
        if reference.scope not in fds:
            try:
                fds[reference.scope] = self._kernel.open(reference.scope)
            except KernelError as error:
                text = f"namespace {reference.scope} is missing"
                raise Missing(Failure(error.failure.errno or errno.ENOENT, text)) from None
        return fds[reference.scope]

    def _forget_renamed(self, request: Netlink) -> None:
        """Forget the indexes of the scopes in which names may mean other links after the request."""
        if request.command == "dellink":
            self.links.forget_all()  # the peer of a veth is gone too, in any scope
        elif renames(request):
            self.links.forget(request.scope)
            for reference in references(request.attributes):
                if isinstance(reference, NamespaceRef):
                    self.links.forget(reference.scope)


def _creates(request: Netlink) -> bool:
    return request.command == "newlink" and bool(request.flags & NLM_F_CREATE)


def renames(request: Netlink) -> bool:
    """Whether a link's name may mean another link after the request."""
    if request.command not in _OF_LINKS:
        return False
    if request.command == "dellink" or _creates(request):
        return True
    return any(name in _RENAMING for name, _ in request.attributes)


def names_links(request: Netlink) -> bool:
    """Whether a link's ifindex must be looked up for the request."""
    named = chain(references(request.fields), references(request.attributes))
    return any(isinstance(reference, LinkRef) for reference in named)
