"""Finds the SSH session in which netrecon runs, and the bridge port behind which its client is."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import reader, transport
from reconciler.model.errors import KernelError
from reconciler.model.keys import HOST

RTM_NEWNEIGH, RTM_GETNEIGH = 28, 30
AF_BRIDGE = 7
NDA_DST, NDA_LLADDR, NDA_MASTER = 1, 2, 9
_NDMSG = struct.Struct("=B3xiHBB")  # ndmsg: family, ifindex, state, flags, type


class Session(NamedTuple):
    """SSH_CONNECTION (ssh(1)): the client's address, and address and port of this host's end."""

    peer: str
    local: str
    port: int


def ssh_session() -> Session | None:
    """The session, from SSH_CONNECTION of this process or of its next ancestor that has it: sudo removes it."""
    for environment in _environments():
        words = environment.get("SSH_CONNECTION", "").split()
        if len(words) == 4 and words[3].isdigit():
            return Session(words[0], words[2], int(words[3]))
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


def port_towards(kernel: Kernel, bridge: str, neighbour: str) -> str:
    """The bridge port behind which the address ``neighbour`` is, "" if unknown.

    The neighbour table gives the MAC address, and the forwarding database of the bridge gives its port.
    """
    with contextlib.suppress(KernelError, OSError):
        rows = {row.index: row for row in reader.read_links(kernel, HOST)}
        index = next((row.index for row in rows.values() if row.name == bridge and row.kind == "bridge"), 0)
        family = socket.AF_INET6 if ":" in neighbour else socket.AF_INET
        wanted = socket.inet_pton(family, neighbour)
        known = _neighbours(kernel, family) if index else ()
        mac = next((row.get(NDA_LLADDR) for link, row in known if link == index and row.get(NDA_DST) == wanted), None)
        for link, row in _neighbours(kernel, AF_BRIDGE) if mac else ():
            if row.get(NDA_LLADDR) == mac and link in rows and rows[link].master == index:
                return rows[link].name
    return ""


def _neighbours(kernel: Kernel, family: int) -> Iterator[tuple[int, dict[int, bytes]]]:
    """(ifindex, attributes) of the neighbours of one family; AF_BRIDGE gives the forwarding database."""
    for kind, body in transport.dump(kernel.socket(HOST), RTM_GETNEIGH, _NDMSG.pack(family, 0, 0, 0, 0)):
        if kind == RTM_NEWNEIGH:
            yield _NDMSG.unpack_from(body)[1], dict(transport.attributes(body, _NDMSG.size))
