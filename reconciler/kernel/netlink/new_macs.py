"""Draws the MAC addresses of new links."""

from __future__ import annotations

import os

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import reader
from reconciler.model.names import HIGH_MAC
from reconciler.model.requests import NewMac

_RANGE = 1 << 32  # of the four bytes that are drawn


class NewMacs:
    """Addresses by request, the same for the same request.

    A high one is above those that are there: a bridge that takes the lowest MAC address of its ports keeps that of the
    port that joined first.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._highest: dict[str, int] = {}
        self._drawn: dict[NewMac, str] = {}

    def of(self, wanted: NewMac) -> str:
        """The address; raises KernelError where the links of the scope cannot be read."""
        if wanted not in self._drawn:
            value = self._next(wanted.scope) if wanted.begins == HIGH_MAC else _random(4)
            self._drawn[wanted] = f"{wanted.begins}:{value.to_bytes(4).hex(':')}"
        return self._drawn[wanted]

    def _next(self, scope: str) -> int:
        if scope not in self._highest:
            macs = [row.mac for row in reader.read_links(self._kernel, scope)]
            tails = (int(mac[len(HIGH_MAC) :].replace(":", ""), 16) for mac in macs if mac.startswith(HIGH_MAC))
            self._highest[scope] = max(tails, default=_random(4) // 2)
        self._highest[scope] = (self._highest[scope] + 1 + _random(2)) % _RANGE
        return self._highest[scope]


def _random(size: int) -> int:
    return int.from_bytes(os.urandom(size))
