"""Reads what else decides whether a packet gets through: forwarding, foreign chains, listening sockets."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.observe import foreign_drops, sock_diag
from reconciler.kernel.proc import sysctl
from reconciler.model.keys import HOST
from reconciler.model.rows import Surroundings

_FORWARDING = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")


def read(kernel: Kernel, published: Mapping[str, Collection[tuple[str, int]]]) -> dict[str, Surroundings]:
    """Scope -> its facts, for the scopes in ``published``: scope -> the (protocol, port) that it publishes.

    A namespace that does not exist is left out.  Raises KernelError.
    """
    existing = {HOST, *kernel.namespaces()}
    return {scope: _of(kernel, scope, ports) for scope, ports in published.items() if scope in existing}


def _of(kernel: Kernel, scope: str, ports: Collection[tuple[str, int]]) -> Surroundings:
    values = sysctl.read_sysctls(kernel, scope, _FORWARDING)
    four, six = (values.get(key) not in (None, "0") for key in _FORWARDING)
    listeners = tuple(sock_diag.listeners(kernel, scope, ports)) if ports else ()
    return Surroundings(scope, four, six, foreign_drops.barriers(kernel, scope), listeners)
