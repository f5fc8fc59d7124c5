"""What the exit code of a command says."""

from __future__ import annotations

OK = 0
ERROR = 1  # wrong usage, wrong input, or refused before any change
CHANGES = 2  # there is something to do, or something is not as expected
ROLLED_BACK = 3
NOT_WHOLE = 4  # not all could be applied, or taken back
LOCKED = 5  # another run is at work
INTERRUPTED = 130  # by SIGINT, before the first change
