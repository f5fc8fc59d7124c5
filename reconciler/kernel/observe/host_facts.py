"""What decides, beside our own objects, whether a packet gets through."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.observe import foreign_drops, sock_diag
from reconciler.kernel.proc import sysctl
from reconciler.model.keys import HOST
from reconciler.model.rows import Surroundings

_FORWARDING = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")


def read(kernel: Kernel, published: Mapping[str, Collection[tuple[str, int]]]) -> dict[str, Surroundings]:
    """By scope; ``published`` names the scopes, and of each the (protocol, port) that it publishes.

    A namespace that does not exist yet is left out.  Raises KernelError.
    """
    there = {HOST, *kernel.namespaces()}
    return {scope: _of(kernel, scope, ports) for scope, ports in published.items() if scope in there}


def _of(kernel: Kernel, scope: str, ports: Collection[tuple[str, int]]) -> Surroundings:
    values = sysctl.read_sysctls(kernel, scope, _FORWARDING)
    four, six = (values.get(key) not in (None, "0") for key in _FORWARDING)
    found = tuple(sock_diag.listeners(kernel, scope, ports)) if ports else ()
    return Surroundings(scope, four, six, foreign_drops.barriers(kernel, scope), found)
