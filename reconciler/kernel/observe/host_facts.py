"""Reads what else decides whether a packet gets through: forwarding, ways, programs on links, listening sockets."""

from __future__ import annotations

from collections.abc import Collection

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import path
from reconciler.kernel.observe import link_programs, sock_diag
from reconciler.kernel.proc import sysctl
from reconciler.model.rows import Ask, Surroundings

_BRIDGE_NF = {"net.bridge.bridge-nf-call-iptables": 4, "net.bridge.bridge-nf-call-ip6tables": 6}
_FORWARDING = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")


def read(
    kernel: Kernel, scope: str, ports: Collection[tuple[str, int]], asks: Collection[Ask], links: Collection[str]
) -> Surroundings:
    """The facts of one scope: of the (protocol, port) that it publishes, the ways asked for, and these links.

    Raises KernelError.
    """
    places = [(link, name) for link in ("all", *links) for name in ("forwarding", "rp_filter")] if links else []
    keys = {place: "net/ipv4/conf/{}/{}".format(*place) for place in places}
    values = sysctl.read_sysctls(kernel, scope, [*_FORWARDING, *_BRIDGE_NF, *keys.values()])
    four, six = (values.get(key) not in (None, "0") for key in _FORWARDING)
    return Surroundings(
        scope,
        four,
        six,
        tuple(sock_diag.listeners(kernel, scope, ports)) if ports else (),
        dict(zip(asks, path.ways(kernel, scope, [*asks]), strict=True)) if asks else {},
        tuple(link_programs.read(kernel, scope, links)) if links else (),
        {place: int(value) for place, key in keys.items() if (value := values.get(key))},
        frozenset(family for key, family in _BRIDGE_NF.items() if values.get(key) == "1"),
    )
