"""What the kernel makes of a time in centiseconds (USER_HZ): it counts in its own ticks, and rounds down twice.

clock_t_to_jiffies() and jiffies_to_clock_t() in the kernel's kernel/time/time.c; ``ip`` and netlink show the latter.
"""

from __future__ import annotations

import time
from functools import cache

_COARSE = 6  # CLOCK_MONOTONIC_COARSE (linux/time.h): its resolution is one tick, and needs no privilege
_SECOND = 1_000_000_000
_CENTISECOND = _SECOND // 100
_DEFAULT = 4_000_000  # of HZ=250, where a sandbox has no such clock


def held(centiseconds: int) -> int:
    """The value that the running kernel shows after it was given this one."""
    return rounded(centiseconds, tick())


def rounded(centiseconds: int, tick: int) -> int:
    """The same for a kernel with ticks of ``tick`` nanoseconds."""
    hz = (_SECOND + tick // 2) // tick
    ticks = centiseconds * hz // 100
    return ticks * tick // _CENTISECOND


@cache
def tick() -> int:
    """The length of a tick of the running kernel, in nanoseconds."""
    try:
        return round(time.clock_getres(_COARSE) * _SECOND) or _DEFAULT
    except OSError:
        return _DEFAULT
