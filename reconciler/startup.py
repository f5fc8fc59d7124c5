"""Python's collector of cycles, off while there are many small objects and no cycles."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """No collection inside: to look for cycles took 40% of the time of a large read."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@contextlib.contextmanager
def young_collected() -> Iterator[None]:
    """What is made inside is collected, and what was there before is not looked at.

    Each of pyroute2's messages is a ring of references: uncollected, 8,000 of them hold 40 MiB.
    """
    collecting = gc.isenabled()
    gc.freeze()
    gc.enable()
    try:
        yield
    finally:
        gc.unfreeze()
        if not collecting:
            gc.disable()
