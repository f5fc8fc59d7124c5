"""Deletes many links with one message, by their group (IFLA_GROUP), so that the kernel waits once for all of them."""

from __future__ import annotations

import struct
from collections.abc import Collection

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import decode, reader, transport
from reconciler.model import data as dataclasses
from reconciler.model.requests import Netlink

RTM_DELLINK = 17
_FIRST, _LAST = 0x6E720000, 0x6E72FFFF  # "nr"


def groups(kernel: Kernel, scope: str) -> dict[str, int]:
    """Link name -> its group; KernelError where the scope cannot be read."""
    return {row.name: row.group for row in reader.read_links(kernel, scope)}


def spare(taken: Collection[int]) -> int:
    """A group number that is not in ``taken``."""
    return next(group for group in range(_FIRST, _LAST) if group not in taken)


def to_group(request: Netlink, group: int) -> Netlink:
    """The request that sets the link's group, made from the one that deletes the link."""
    return dataclasses.replace(request, command="setlink", attributes=(("IFLA_GROUP", group),))


def delete_group(group: int) -> bytes:
    """The message that deletes all links of the group; where one cannot be deleted, the kernel deletes none."""
    body = bytes(16) + transport.attribute(decode.IFLA_GROUP, struct.pack("=I", group))
    return transport.message(RTM_DELLINK, body)
