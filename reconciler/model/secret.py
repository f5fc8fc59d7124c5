"""A value that is sent to the kernel and never shown: output, files and logs have its digest."""

from __future__ import annotations

from typing import Any


class Secret:
    """Two secrets are equal when their digests are; one that was read from our own files has only a digest."""

    __slots__ = ("_value", "digest")

    def __init__(self, value: Any, digest: str = "") -> None:
        self._value = value
        self.digest = digest or _digest(value)

    @classmethod
    def remembered(cls, digest: str) -> Secret:
        """A secret of which only the digest is known."""
        return cls(None, digest)

    def reveal(self) -> Any:
        """The value, for the message to the kernel; LookupError where only the digest is known."""
        if self._value is None:
            raise LookupError("the value of a secret is not kept on disk")
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"secret sha256:{self.digest[:12]}"


def _digest(value: Any) -> str:
    import hashlib  # few topologies have a secret

    return hashlib.sha256(str(value).encode("utf-8", "surrogateescape")).hexdigest()


def is_lost(value: Any) -> bool:
    """Whether a value is, or holds, a secret of which only the digest is known."""
    if isinstance(value, Secret):
        return value._value is None
    return isinstance(value, tuple) and any(map(is_lost, value))
