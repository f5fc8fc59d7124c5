"""The names of processes, as /proc has them."""

from __future__ import annotations


def name_of(pid: int) -> str:
    """The name of a process, "" where it has ended."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""
