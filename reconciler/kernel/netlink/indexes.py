"""Names of links into ifindexes, at the moment of sending."""

from __future__ import annotations

import errno
from collections.abc import Mapping

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import reader
from reconciler.model.errors import Failure, KernelError
from reconciler.model.requests import LinkRef
from reconciler.model.rows import ScopeState


class Missing(Exception):
    """Something that a request refers to is not there; ``failure`` says what."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


class LinkIndexes:
    """The ifindex of every name, per scope: from the last read, and by a new dump when that cannot be right.

    Never a query per link; a scope is dumped at most once per stage unless its names changed within the stage.
    """

    def __init__(self, kernel: Kernel, live: Mapping[str, ScopeState]) -> None:
        self._kernel = kernel
        self._known = {scope: {row.name: index for index, row in state.links.items()} for scope, state in live.items()}
        self._fresh: set[str] = set()

    def begin_stage(self) -> None:
        """From here on a name that is not known is worth one more look."""
        self._fresh.clear()

    def forget(self, scope: str) -> None:
        """The scope's names may stand for other links now."""
        self._known.pop(scope, None)
        self._fresh.discard(scope)

    def forget_all(self) -> None:
        self._known.clear()
        self._fresh.clear()

    def index(self, link: LinkRef) -> int:
        """The ifindex; raises Missing with ENODEV."""
        found = self._known.get(link.scope, {}).get(link.name)
        if found is None and link.scope not in self._fresh:
            self._known[link.scope] = self._dump(link.scope)
            self._fresh.add(link.scope)
            found = self._known[link.scope].get(link.name)
        if found is None:
            raise Missing(Failure(errno.ENODEV, f"link {link.name} is missing in {link.scope}"))
        return found

    def _dump(self, scope: str) -> dict[str, int]:
        try:
            return {row.name: row.index for row in reader.read_links(self._kernel, scope)}
        except KernelError as error:
            raise Missing(error.failure) from None
