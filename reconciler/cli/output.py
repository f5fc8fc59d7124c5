"""A stream whose reader may go away, or whose disk may be full: what is done and how it ends does not depend on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TextIO


class Output:
    """Writes to ``stream`` until that fails; ``error`` is then the reason, and the rest of the text is dropped."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        self._tried(lambda: self._stream.write(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        self.write("".join(lines))

    def flush(self) -> None:
        self._tried(self._stream.flush)

    def _tried(self, act: Callable[[], object]) -> None:
        if self.error is None:
            try:
                act()
            except OSError as error:
                self.error = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
