"""Where the time of a run goes, stage by stage: what ``--debug timings`` and the benchmark print."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

# load, validate, lower, build: the topology; read, compare: the kernel; send, verify: an apply.
# Stage -> seconds on the clock, and of the processor (all threads, user and system).
_spent: dict[str, tuple[float, float]] = {}
_running: list[str] = []


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Count the time of a with block; of stages within a stage only the outer one counts."""
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
    """Note that the program proper begins: until here Python started and imported."""
    _spent.clear()
    with open("/proc/self/stat", "rb") as file:  # field 22 is the start in ticks since boot
        ticks = int(file.read().rpartition(b")")[2].split()[19])
    born = ticks / os.sysconf("SC_CLK_TCK")
    _spent["start"] = time.clock_gettime(time.CLOCK_BOOTTIME) - born, time.process_time()


def lines() -> Iterable[str]:
    """A table: a line per stage in the order in which they ran, and what is left of the processor's time."""
    yield f"{'stage':<10}{'wall ms':>10}{'cpu ms':>10}"
    for name, (wall, cpu) in _spent.items():
        yield f"{name:<10}{wall * 1000:>10.1f}{cpu * 1000:>10.1f}"
    rest = time.process_time() - sum(cpu for _, cpu in _spent.values())
    yield f"{'rest':<10}{'':>10}{rest * 1000:>10.1f}"
