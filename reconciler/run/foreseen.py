"""Reads what a plan's changes depend on beyond the objects, and tells what this host will refuse of them."""

from __future__ import annotations

from reconciler.kernel.namespaces import limit
from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import path
from reconciler.kernel.proc import sysctl
from reconciler.model.errors import KernelError, Problem
from reconciler.planning import ahead
from reconciler.planning.intent import Planned


def problems(kernel: Kernel, planned: Planned) -> list[Problem]:
    """A problem for each change that the kernel will refuse on this host.  Raises KernelError."""
    names = ahead.asked(planned)
    settings = sysctl.read_many(kernel, names) if names else {}
    found = list(ahead.refusals(planned, settings, lambda scope, address: _is_local(kernel, scope, address)))
    return found + _too_many_namespaces(kernel, planned)


def _is_local(kernel: Kernel, scope: str, address: str) -> bool:
    try:
        return path.way(kernel, scope, path.Packet(address)).type == "local"
    except KernelError:  # the namespace does not exist yet
        return False


def _too_many_namespaces(kernel: Kernel, planned: Planned) -> list[Problem]:
    made = [change for change in planned.changes if change.key.kind == "namespace" and change.action == "create"]
    text = limit.exceeded(len(made), len(kernel.namespaces())) if made else ""
    return [Problem(made[0].origin, text)] if text else []
