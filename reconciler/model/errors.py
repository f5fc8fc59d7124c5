"""The errors that a user sees, as one small tree.

NetreconError                the user sees one line and exit code 1
├── InputError               problems in the topology: a list of Problem
│   └── Refused              the live state forbids the plan: a list of Problem
├── MissingDependency        a shared library or a kernel feature is missing
├── LockHeld                 another run has the lock (exit code 5)
└── KernelError              the kernel refused: errno and its text
"""

from __future__ import annotations

import os

from reconciler.model.data import NamedTuple, dataclass, field
from reconciler.model.keys import Key, Origin


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake and its place; NO_ORIGIN for a problem of the live state.

    ``message`` is "what is wrong; what would be right".  ``key`` is the object that it concerns, where there is one.
    """

    origin: Origin
    message: str
    key: Key | None = field(default=None, compare=False)

    def __lt__(self, other: Problem) -> bool:
        """By place in the file; paths as text, because Python cannot order a name and an index."""
        mine, its = self.origin[:3], other.origin[:3]
        if mine != its:
            return mine < its
        return (self.origin.dotted, self.message) < (other.origin.dotted, other.message)

    def __str__(self) -> str:
        place = f"{self.origin}:{self.origin.column}" if self.origin.line else self.origin.file
        return ": ".join(part for part in (place, self.origin.dotted, self.message) if part)


class NetreconError(Exception):
    """An error that the user sees as one line, without a traceback."""


class InputError(NetreconError):
    """The topology is wrong; ``problems`` holds every reason, not only the first."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__()
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class Refused(InputError):
    """The live state forbids the plan (for example, a link of that name exists and is not ours)."""


class MissingDependency(NetreconError):
    """A shared library, a Python module or a kernel feature is missing."""


class LockHeld(NetreconError):
    """Another run has the lock; ``pid`` is 0 when it could not be read."""

    def __init__(self, message: str, pid: int) -> None:
        super().__init__(message)
        self.pid = pid


class Failure(NamedTuple):
    """Why the kernel refused one request, as data.

    ``errno`` is positive; ``text`` is the extended-ack text where the kernel gave one, else
    the C library's words for the errno.
    """

    errno: int
    text: str = ""

    def __str__(self) -> str:
        return self.text or os.strerror(self.errno)


class KernelError(NetreconError):
    """A read or a set-up step that the kernel refused."""

    def __init__(self, what: str, failure: Failure) -> None:
        super().__init__(f"{what}: {failure}")
        self.failure = failure
