"""What decides, beside our own objects, whether a packet gets through."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from reconciler.kernel import barriers, sock_diag, sysctl
from reconciler.kernel.namespaces import Kernel
from reconciler.model import HOST, Surroundings

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
    return Surroundings(scope, four, six, barriers.barriers(kernel, scope), found)
