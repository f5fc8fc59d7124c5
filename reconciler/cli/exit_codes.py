"""The exit codes of the commands."""

from __future__ import annotations

OK = 0
ERROR = 1  # wrong usage, wrong input, or refused before any change
CHANGES = 2  # the plan has changes, doctor has findings, or an expectation does not hold
ROLLED_BACK = 3  # a change failed, and all changes were undone
NOT_WHOLE = 4  # some changes were not applied, or could not be undone
LOCKED = 5  # another run has the lock
NOT_RUN = 126  # exec: the command cannot be run, as shells say it
NO_COMMAND = 127  # exec: there is no such command
INTERRUPTED = 130  # by SIGINT, before the first change
