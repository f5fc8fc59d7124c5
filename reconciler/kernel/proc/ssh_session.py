"""Finds the SSH session in which netrecon runs, and the bridge port behind which its client is."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import reader, transport
from reconciler.model.data import NamedTuple
from reconciler.model.errors import KernelError

RTM_NEWNEIGH, RTM_GETNEIGH = 28, 30
AF_BRIDGE = 7
NDA_DST, NDA_LLADDR, NDA_MASTER = 1, 2, 9
_NDMSG = struct.Struct("=B3xiHBB")  # ndmsg: family, ifindex, state, flags, type


class Session(NamedTuple):
    """SSH_CONNECTION (ssh(1)): the client's address, address and port of the server's end, and the client's port."""

    peer: str
    local: str
    port: int
    peer_port: int = 0


def ssh_session() -> Session | None:
    """The session, from SSH_CONNECTION of this process or of its next ancestor that has it: sudo removes it."""
    for environment in _environments():
        words = environment.get("SSH_CONNECTION", "").split()
        if len(words) == 4 and words[1].isdigit() and words[3].isdigit():
            return Session(words[0], words[2], int(words[3]), int(words[1]))
    return None


def _environments() -> Iterator[dict[str, str]]:
    yield dict(os.environ)
    pid = os.getppid()
    while pid > 1:
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                pairs = (entry.decode("utf-8", "replace").partition("=") for entry in file.read().split(b"\0"))
                yield {name: value for name, _, value in pairs}
            with open(f"/proc/{pid}/stat", "rb") as file:
                pid = int(file.read().rpartition(b")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            return


def port_towards(kernel: Kernel, scope: str, bridge: str, neighbour: str, near: tuple[str, str] | None = None) -> str:
    """The port of a scope's bridge behind which the address ``neighbour`` is, "" if unknown.

    The neighbour table gives the MAC address, and the forwarding database of the bridge gives its port.  ``near``:
    the scope and the link that speak to the neighbour, where the bridge only passes their frames.
    """
    with contextlib.suppress(KernelError, OSError):
        rows = {row.index: row for row in reader.read_links(kernel, scope)}
        index = next((row.index for row in rows.values() if row.name == bridge and row.kind == "bridge"), 0)
        mac = _mac_of(kernel, *(near or (scope, bridge)), neighbour) if index else None
        for link, row in _neighbours(kernel, scope, AF_BRIDGE) if mac else ():
            if row.get(NDA_LLADDR) == mac and link in rows and rows[link].master == index:
                return rows[link].name
    return ""


def _mac_of(kernel: Kernel, scope: str, link: str, neighbour: str) -> bytes | None:
    family = socket.AF_INET6 if ":" in neighbour else socket.AF_INET
    wanted = socket.inet_pton(family, neighbour)
    index = next((row.index for row in reader.read_links(kernel, scope) if row.name == link), 0)
    known = _neighbours(kernel, scope, family)
    return next((row.get(NDA_LLADDR) for at, row in known if at == index and row.get(NDA_DST) == wanted), None)


def _neighbours(kernel: Kernel, scope: str, family: int) -> Iterator[tuple[int, dict[int, bytes]]]:
    """(ifindex, attributes) of the neighbours of one family; AF_BRIDGE gives the forwarding database."""
    for kind, body in transport.dump(kernel.socket(scope), RTM_GETNEIGH, _NDMSG.pack(family, 0, 0, 0, 0)):
        if kind == RTM_NEWNEIGH:
            yield _NDMSG.unpack_from(body)[1], dict(transport.attributes(body, _NDMSG.size))
