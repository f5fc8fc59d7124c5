"""Finds programs on links that see packets before any rule does: XDP, and filters of tc(8)."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import transport
from reconciler.model.errors import KernelError

_GETLINK, _GETQDISC, _GETTFILTER = 18, 38, 46  # RTM_*
_IFLA_IFNAME, _IFLA_XDP, _XDP_ATTACHED = 3, 43, 2
_TCA_KIND = 1
_TCMSG = struct.Struct("=BxxxiIII")  # tcmsg: family, ifindex, handle, parent, info
_INGRESS, _EGRESS = 0xFFFFFFF2, 0xFFFFFFF3  # TC_H_MIN_INGRESS and _EGRESS of TC_H_CLSACT
_PARENTS = {"clsact": ((_INGRESS, "ingress"), (_EGRESS, "egress")), "ingress": ((0xFFFF0000, "ingress"),)}


def read(kernel: Kernel, scope: str, links: Collection[str]) -> Iterator[str]:
    """Each program on one of the links, in words; none where the kernel cannot tell."""
    try:
        sock = kernel.socket(scope)
        names = {}
        for _, body in transport.dump(sock, _GETLINK, struct.pack("=BxHiII", 0, 0, 0, 0, 0)):
            index = struct.unpack_from("=i", body, 4)[0]
            attrs = dict(transport.attributes(body, 16))
            name = attrs.get(_IFLA_IFNAME, b"").rstrip(b"\0").decode("utf-8", "replace")
            if name in links:
                names[index] = name
                if dict(transport.attributes(attrs.get(_IFLA_XDP, b""), 0)).get(_XDP_ATTACHED, b"\0") != b"\0":
                    yield f"the XDP program on {name}"
        for _, body in transport.dump(sock, _GETQDISC, _TCMSG.pack(0, 0, 0, 0, 0)):
            index = _TCMSG.unpack_from(body)[1]
            kind = dict(transport.attributes(body, _TCMSG.size)).get(_TCA_KIND, b"").rstrip(b"\0").decode()
            if index in names:
                for parent, where in _PARENTS.get(kind, ()):
                    if transport.dump(sock, _GETTFILTER, _TCMSG.pack(0, index, 0, parent, 0)):
                        yield f"the tc filter at {where} of {names[index]}"
    except KernelError:
        return
