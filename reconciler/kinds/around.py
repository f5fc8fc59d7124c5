"""``Around``: the live host and the other changes of a plan, by which a kind tells what traffic a change disrupts."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Protocol

from reconciler.kinds.grounds import Place


class Around(Protocol):
    """What is live, and what the plan leaves."""

    def link(self, scope: str, name: str) -> Any:
        """The live object that has the link, None where there is none."""

    def idle(self, place: Place) -> bool:
        """Whether a live link has no address, no route and no port, and no link lies on it."""

    def narrows(self, place: Place, mtu: int) -> bool:
        """Whether larger packets can still come to the link: from one that keeps a greater MTU, or from a wire."""

    def value(self, scope: str, sysctl: str) -> str | None:
        """The live value of a sysctl that was read, None for any other."""

    def way(self, scope: str, table: int, to: str, after: bool) -> Any:
        """The route that packets to a prefix take now, or ``after`` the plan; None for none."""

    def is_asked(self, scope: str, table: int) -> bool:
        """Whether a rule of the scope leads to the routing table."""

    def routes_to(self, scope: str, prefix: str) -> bool:
        """Whether a live address or route, other than a default route, leads to a part of the prefix."""

    def holders(self, scope: str, address: str, after: bool = False) -> Collection[Any]:
        """The addresses of the scope that are this IP address."""

    def elsewhere(self, scope: str, address: str) -> Iterable[tuple[str, Any]]:
        """The live addresses of other scopes that are this IP address, each behind its scope."""

    def subnets(self, scope: str, link: str) -> Collection[str]:
        """The prefixes of the addresses that the link has after the plan."""

    def sent(self, scope: str, protocol: str, address: str, port: int) -> tuple[str, int] | None:
        """Where a new or changed object of the plan sends what comes to the address and port, None where none does."""

    def listens(self, scope: str, protocol: str, address: str, port: int) -> bool:
        """Whether a socket of the scope listens there."""
