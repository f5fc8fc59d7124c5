"""``Ahead``: the host as a plan will leave it, by which a kind tells what the kernel will refuse there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Protocol

from reconciler.model.changes import Change
from reconciler.model.rows import ScopeState


class Ahead(Protocol):
    """The live rows, the changes of the plan, and what follows from both.

    ``files`` are the texts of resolv.conf and hosts by (scope, name).  ``near`` is a cache for the kinds.
    """

    @property
    def rows(self) -> Mapping[str, ScopeState]: ...

    @property
    def files(self) -> Mapping[tuple[str, str], str]: ...

    @property
    def near(self) -> dict[Any, Any]: ...

    @property
    def changes(self) -> Iterable[Change]: ...

    def setting(self, scope: str, sysctl: str) -> str | None:
        """The live value of a sysctl that the kind asks for (``Kind.asks``), None where it does not exist."""

    def written(self, scope: str, sysctl: str) -> str | None:
        """The value that the plan writes to a sysctl, None where it does not."""

    def makes(self, scope: str, link: str) -> bool:
        """Whether the plan creates the link, also where it replaces one."""

    def addresses(self, scope: str) -> Collection[str]:
        """The IP addresses of the scope after the plan."""

    def deletes(self, scope: str, address: str) -> bool:
        """Whether the scope has the IP address now, and not after the plan."""

    def is_local(self, scope: str, address: str) -> bool:
        """Whether the kernel takes the IP address for one of the scope: by a route of type local, for example."""
