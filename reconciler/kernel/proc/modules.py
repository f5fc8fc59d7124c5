"""Loads the kernel modules that objects of a plan need and that netlink does not load by itself."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.proc import sysctl
from reconciler.model.errors import MissingDependency
from reconciler.model.keys import HOST

# Module -> a setting that exists once it is loaded, and where it is built in.
_SIGNS: Mapping[str, str] = MappingProxyType(
    {
        "br_netfilter": "net/bridge/bridge-nf-call-iptables",
        "nf_conntrack": "net/netfilter/nf_conntrack_max",
        "mpls_router": "net/mpls/platform_labels",
        "sctp": "net/sctp/rto_initial",
    }
)
# br_netfilter is born with 1: at once the chains of others would see what goes over any bridge, and could drop it.
_AT_REST: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"br_netfilter": tuple(f"net.bridge.bridge-nf-call-{name}" for name in ("iptables", "ip6tables", "arptables"))}
)
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"  # cron's PATH lacks them


def absent(names: Iterable[str]) -> list[str]:
    """Those of the modules that are neither loaded nor built in."""
    return [name for name in sorted(names) if not os.path.exists(f"{sysctl.ROOT}/{_SIGNS[name]}")]


def load(kernel: Kernel, name: str) -> None:
    """Load a module so that no packet takes another way because of it.  Raises MissingDependency."""
    import shutil
    import subprocess

    program = shutil.which("modprobe", path=_PATH)
    if program is None:
        raise MissingDependency(f"the kernel module {name} is not loaded, and there is no modprobe: apt install kmod")
    done = subprocess.run([program, name], capture_output=True, text=True, check=False)
    if absent([name]):
        why = done.stderr.strip().splitlines()[-1:] or [f"modprobe exits {done.returncode}"]
        raise MissingDependency(f"the kernel module {name} cannot be loaded: {why[0]}")
    for scope in (HOST, *kernel.namespaces()) if name in _AT_REST else ():
        for key in _AT_REST[name]:
            sysctl.write_sysctl(kernel, scope, key, "0")
