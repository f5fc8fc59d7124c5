"""Keeps the sockets into namespaces open: to open one again costs as much as the request that is sent through it."""

from __future__ import annotations

import fcntl
import socket

from reconciler.kernel.namespaces import libc

# libnftables waits with select(), which aborts the process on a descriptor of 1,024 or more.  So that it gets a lower
# one, only so many sockets stay among the low descriptors, and the others are moved up.
_SELECTABLE = 1024
_LOW = 400
_MOST = 4096

Identity = tuple[int, int]  # device and inode of a namespace


class KeptSockets:
    """Sockets by scope and protocol; those of the oldest scope are closed where no more may be open."""

    def __init__(self) -> None:
        self._sockets: dict[str, dict[int, tuple[socket.socket, Identity]]] = {}
        self._count = 0
        self._most = 0  # unknown yet: few runs have as many as _LOW

    def has(self, scope: str, protocol: int) -> bool:
        return protocol in self._sockets.get(scope, ())

    def get(self, scope: str, protocol: int, identity: Identity) -> socket.socket | None:
        """The socket; None where there is none into the namespace of this identity."""
        kept = self._sockets.get(scope, {}).get(protocol)
        if kept is None:
            return None
        if kept[1] != identity:  # the name means another namespace now
            self.close(scope)
            return None
        return kept[0]

    def keep(self, scope: str, protocol: int, opened: socket.socket, identity: Identity) -> socket.socket:
        """Keep a socket that is not kept yet; returns it, with another descriptor perhaps."""
        if self._count >= _LOW:
            opened = self._make_room(opened)
        self._sockets.setdefault(scope, {})[protocol] = (opened, identity)
        self._count += 1
        return opened

    def _make_room(self, opened: socket.socket) -> socket.socket:
        self._most = self._most or _most_sockets()
        while self._count >= self._most:
            self.close(next(iter(self._sockets)))
        return opened if self._most == _LOW else _moved_up(opened)

    def close(self, scope: str) -> None:
        """Close the sockets into one scope."""
        for kept, _ in self._sockets.pop(scope, {}).values():
            kept.close()
            self._count -= 1

    def close_all(self) -> None:
        for scope in [*self._sockets]:
            self.close(scope)


def _most_sockets() -> int:
    """How many may be kept: half of the descriptors, since a rehearsal's process has those of its parent too."""
    high = libc.allow_descriptors(_SELECTABLE + 2 * _MOST) - _SELECTABLE
    return min(_MOST, max(_LOW, high // 2))


def _moved_up(opened: socket.socket) -> socket.socket:
    with opened:
        high = fcntl.fcntl(opened.fileno(), fcntl.F_DUPFD_CLOEXEC, _SELECTABLE)
        return socket.socket(opened.family, opened.type, opened.proto, high)
