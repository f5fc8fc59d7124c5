"""Moves this process into a namespace for good, as ``netrecon exec`` does before it becomes the command."""

from __future__ import annotations

import os

from reconciler.kernel.namespaces import libc
from reconciler.kernel.namespaces.netns_files import open_namespace
from reconciler.model.errors import KernelError

ETC = "/etc"


def enter(name: str, dns: bool = True) -> list[str]:
    """Move the calling thread into the namespace, with its /sys and, with ``dns``, its resolv.conf and hosts.

    The caller runs os.execvp next.  The files in /etc/netns/<name>/ are bind mounted over those in /etc, in a mount
    namespace of its own, as ip-netns(8) does.  Returns a warning for each mount that failed; KernelError where the
    namespace is missing or must not be entered.
    """
    fd = open_namespace(name)
    try:
        libc.setns(fd, libc.CLONE_NEWNET, f"enter namespace {name}")
    finally:
        os.close(fd)
    libc.unshare(libc.CLONE_NEWNS, "make a private mount namespace")
    libc.mount("", "/", "none", libc.MS_SLAVE | libc.MS_REC)
    warnings = _mount_sysfs(name)
    return warnings + (_bind_files(name) if dns else [])


def _mount_sysfs(name: str) -> list[str]:
    # A sysfs mount shows the links of the namespace in which it was mounted: the old one still shows the host's.
    try:
        libc.mount(name, "/sys", "sysfs", 0)
    except KernelError as error:
        return [f"/sys still shows the host's links ({error})"]
    return []


def _bind_files(name: str) -> list[str]:
    folder = f"{ETC}/netns/{name}"
    try:
        files = sorted(os.listdir(folder))
    except OSError:
        return []
    warnings = (_bind_file(f"{folder}/{file}", f"{ETC}/{file}") for file in files)
    return [warning for warning in warnings if warning]


def _bind_file(source: str, target: str) -> str:
    if not os.path.exists(target):
        return f"{source} is not used: there is no {target} to put it over"
    try:
        libc.mount(source, target, "none", libc.MS_BIND)
    except KernelError as error:
        return f"{source} is not used: {error}"
    return ""
