"""Looks up the ifindex of a link by its name, when a request is sent."""

from __future__ import annotations

import errno
from collections.abc import Mapping

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import reader
from reconciler.model.errors import Failure, KernelError
from reconciler.model.requests import LinkRef
from reconciler.model.rows import ScopeState


class Missing(Exception):
    """A link or namespace that a request refers to does not exist; ``failure`` names it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


class LinkIndexes:
    """The ifindex of every link by scope and name: from the last read, or from a new dump where a name is unknown.

    There is no query per link.  A scope is dumped at most once per stage, unless its names changed within the stage.
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
