"""``Course``: the way of a session's packets through the host, by which a kind tells what of a plan would cut it."""

from __future__ import annotations

from reconciler.model.data import dataclass
from reconciler.model.keys import HOST


@dataclass(frozen=True, slots=True)
class Passage:
    """One scope that the packets of a session pass.

    ``out`` is the link by which they leave for the peer, ``neighbour`` the gateway or the peer on it, "" where unknown.
    ``into`` is the link by which they come from the server, "" in the server's own scope.
    ``links`` are all links that carry them: these two, the ports of bridges, and the links below.
    ``bridged``: a bridge of the scope passes the frames on, and the scope routes nothing.  ``ends``: the peer is here.
    """

    scope: str
    out: str = ""
    neighbour: str = ""
    into: str = ""
    links: frozenset[str] = frozenset()
    bridged: bool = False
    ends: bool = False

    @property
    def forwards(self) -> bool:
        return bool(self.into) and not (self.bridged or self.ends)


@dataclass(frozen=True, slots=True)
class Course:
    """A TCP session from ``peer`` to the address ``local`` and ``port`` of a server, with the scopes on its way.

    ``local`` and ``port`` are "" and 0 for an address that is only to stay reachable.  ``passages`` begin with the
    server's scope.  ``holder`` is the link there that has the address ``local``; ``arrival`` the link by which the
    packets of the peer most likely come in.  ``published``: a port map leads to the server.
    ``opened`` are the address and port that the client opened, ("", 0) where conntrack does not know the session, None
    where it cannot be asked.
    ``loose`` are those of ``arrival`` and "all" whose rp_filter is 2.
    ``learned``: router advertisements gave the host the address or the route.
    """

    peer: str
    local: str = ""
    port: int = 0
    passages: tuple[Passage, ...] = (Passage(HOST),)
    holder: str = ""
    arrival: str = ""
    published: bool = False
    opened: tuple[str, int] | None = None
    learned: bool = False
    loose: frozenset[str] = frozenset()

    @property
    def family(self) -> str:
        return "ipv6" if ":" in self.peer else "ipv4"

    @property
    def home(self) -> Passage:
        """The passage of the server's own scope."""
        return self.passages[0]

    def through(self, scope: str) -> Passage | None:
        """The passage of a scope, None where the session does not pass it."""
        return next((passage for passage in self.passages if passage.scope == scope), None)

    def carried_by(self, scope: str, link: str) -> bool:
        passage = self.through(scope)
        return passage is not None and link in passage.links
