"""The time that each stage of a run takes: ``--debug timings`` and the benchmark print it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

# Stages: load, validate, lower and build work on the topology, read and compare on the live state, send and verify
# are those of an apply.  Stage -> (wall seconds, processor seconds of all threads, user and system).
_spent: dict[str, tuple[float, float]] = {}
_running: list[str] = []


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Count the time of a with block; a stage inside another one counts for the outer one."""
    if _running:
        yield
        return
    _running.append(name)
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        yield
    finally:
        _running.pop()
        before = _spent.get(name, (0.0, 0.0))
        _spent[name] = before[0] + time.perf_counter() - wall, before[1] + time.process_time() - cpu


def started() -> None:
    """Count the time since the process was born as stage "start": Python's own start and the imports."""
    _spent.clear()
    with open("/proc/self/stat", "rb") as file:  # field 22 is the start in ticks since boot
        ticks = int(file.read().rpartition(b")")[2].split()[19])
    born = ticks / os.sysconf("SC_CLK_TCK")
    _spent["start"] = time.clock_gettime(time.CLOCK_BOOTTIME) - born, time.process_time()


def lines() -> Iterable[str]:
    """A table: a line for each stage in the order in which they ran; "rest" is processor time outside of all stages."""
    yield f"{'stage':<10}{'wall ms':>10}{'cpu ms':>10}"
    for name, (wall, cpu) in _spent.items():
        yield f"{name:<10}{wall * 1000:>10.1f}{cpu * 1000:>10.1f}"
    rest = time.process_time() - sum(cpu for _, cpu in _spent.values())
    yield f"{'rest':<10}{'':>10}{rest * 1000:>10.1f}"
