"""Looks up the ifindex of a link by its name, when a request is sent, and learns those of links that are made."""

from __future__ import annotations

import errno
import struct
from collections.abc import Mapping
from typing import Any

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import decode, reader, transport
from reconciler.model.errors import Failure, KernelError
from reconciler.model.requests import LinkRef, NamespaceRef, Netlink
from reconciler.model.rows import ScopeState

_INDEX = struct.Struct("=I")


class Missing(Exception):
    """A link or namespace that a request refers to does not exist; ``failure`` names it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


class LinkIndexes:
    """The ifindex of links by scope and name: from the last read, from the answer to their creation, or from a dump.

    There is no query per link.  A scope is dumped where a name is unknown, at most once per stage, unless its names
    changed within the stage.
    """

    def __init__(self, kernel: Kernel, live: Mapping[str, ScopeState]) -> None:
        self._kernel = kernel
        self._known = {scope: {row.name: index for index, row in state.links.items()} for scope, state in live.items()}
        self._fresh: set[str] = set()

    def begin_stage(self) -> None:
        """Allow each scope to be dumped once more for unknown names."""
        self._fresh.clear()

    def forget(self, scope: str) -> None:
        """Forget the scope's indexes: its names may mean other links now."""
        self._known.pop(scope, None)
        self._fresh.discard(scope)

    def learn(self, request: Netlink, echo: bytes) -> bool:
        """Learn the indexes of the links that a request made, from the answer to NLM_F_ECHO; False where it has none.

        The kernel gives one since Linux 6.2.
        """
        attributes = dict(request.attributes)
        name = attributes.get("IFLA_IFNAME")
        if not echo or "IFLA_NET_NS_FD" in attributes:
            return False
        index, told, far_index = _made(echo)
        far = _far_end(request.scope, attributes)
        if told != name or (far is not None and not far_index):
            return False
        self._learn(request.scope, told, index)
        if far is not None:
            self._learn(far.scope, far.name, far_index)
        return True

    def _learn(self, scope: str, name: str, index: int) -> None:
        self._known.setdefault(scope, {})[name] = index

    def forget_all(self) -> None:
        self._known.clear()
        self._fresh.clear()

    def index(self, link: LinkRef) -> int:
        """The link's ifindex; raises Missing, with ENODEV where the scope has no such link."""
        index = self._known.get(link.scope, {}).get(link.name)
        if index is None and link.scope not in self._fresh:
            self._known[link.scope] = self._dump(link.scope)
            self._fresh.add(link.scope)
            index = self._known[link.scope].get(link.name)
        if index is None:
            raise Missing(Failure(errno.ENODEV, f"link {link.name} is missing in {link.scope}"))
        return index

    def _dump(self, scope: str) -> dict[str, int]:
        try:
            return {row.name: row.index for row in reader.read_links(self._kernel, scope)}
        except KernelError as error:
            raise Missing(error.failure) from None


def _made(echo: bytes) -> tuple[int, str, int]:
    """Of an RTM_NEWLINK's body: ifindex, name, and the ifindex of the other end of a veth, 0 for none."""
    (index,) = _INDEX.unpack_from(echo, 4)
    name = ""
    for kind, value in transport.attributes(echo, 16):
        if kind == decode.IFLA_IFNAME:
            name = decode.text(value)
        elif kind == decode.IFLA_LINK:
            return index, name, _INDEX.unpack(value)[0]
    return index, name, 0


def _far_end(scope: str, attributes: Mapping[Any, Any]) -> LinkRef | None:
    """The other end of the veth that a request with these attributes makes; None where it makes no veth."""
    data = _nested(_nested(attributes, "IFLA_LINKINFO"), "IFLA_INFO_DATA")
    peer = _nested(data, "VETH_INFO_PEER")
    if not peer:
        return None
    elsewhere = peer.get("IFLA_NET_NS_FD")
    return LinkRef(elsewhere.scope if isinstance(elsewhere, NamespaceRef) else scope, peer["IFLA_IFNAME"])


def _nested(attributes: Mapping[Any, Any], name: str) -> Mapping[Any, Any]:
    return dict(attributes[name]["attrs"]) if name in attributes else {}
