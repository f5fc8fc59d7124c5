"""Links deleted by the group that they are in: one message, and one wait of the kernel, for all of them."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Collection

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import decode, reader, transport
from reconciler.model.requests import Netlink

RTM_DELLINK = 17
_FIRST, _LAST = 0x6E720000, 0x6E72FFFF  # "nr"


def groups(kernel: Kernel, scope: str) -> dict[str, int]:
    """Link name -> the group that it is in; KernelError where the scope cannot be read."""
    return {row.name: row.group for row in reader.read_links(kernel, scope)}


def spare(taken: Collection[int]) -> int:
    """A group that no link is in."""
    return next(group for group in range(_FIRST, _LAST) if group not in taken)


def to_group(request: Netlink, group: int) -> Netlink:
    """The request that puts a link into the group in place of deleting it."""
    return dataclasses.replace(request, command="setlink", attributes=(("IFLA_GROUP", group),))


def delete_group(group: int) -> bytes:
    """The message that deletes all links of the group; the kernel refuses it whole where one cannot be deleted."""
    body = bytes(16) + transport.attribute(decode.IFLA_GROUP, struct.pack("=I", group))
    return transport.message(RTM_DELLINK, body)
