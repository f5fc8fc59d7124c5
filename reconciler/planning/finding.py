"""``Finding``: one obstacle to a topology's packets, and what removes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from reconciler.kinds import having
from reconciler.model.data import dataclass
from reconciler.model.keys import HOST, Key

SENDS, ADMITS = having(lambda kind: kind.sends), having(lambda kind: kind.admits)
LISTED = 4  # names in a message before "..."

Objects = Mapping[Key, Any]
Topic = Literal[
    "forwarding",
    "barrier",
    "unjudged",
    "notrack",
    "taken",
    "routing",
    "listener",
    "loop",
    "dead",
    "overlap",
    "resolver",
    "module",
    "traced",
]


@dataclass(frozen=True, slots=True)
class Finding:
    """One obstacle and what to do about it; ``key`` is the object that it concerns, None for the whole scope.

    ``commands`` are shell lines that remove it, in their order; none where a person must decide, as ``hint`` says.
    ``shut`` are the published ports that nobody outside reaches because of it.
    """

    scope: str
    topic: Topic
    key: Key | None
    message: str
    hint: str
    commands: tuple[str, ...] = ()
    shut: tuple[Key, ...] = ()

    def __str__(self) -> str:
        return f"{self.key or self.scope}: {self.message}; {self.hint}"


def inside(scope: str, command: str) -> str:
    """A shell line that runs the command in the scope."""
    return command if scope == HOST else f"ip netns exec {scope} {command}"
