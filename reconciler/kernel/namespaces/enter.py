"""What ``netrecon exec`` does before it becomes the command: enter a namespace for good."""

from __future__ import annotations

import os

from reconciler.kernel.namespaces import libc
from reconciler.kernel.namespaces.netns_files import open_namespace
from reconciler.model.errors import KernelError

ETC = "/etc"


def enter(name: str, dns: bool = True) -> list[str]:
    """Move this process into the namespace, with its /sys and, where ``dns``, its resolv.conf and hosts.

    To be followed by os.execvp: only the calling thread moves.  The files of /etc/netns/<name>/
    are bind mounted over those in /etc, in a mount namespace of our own, as ip-netns(8) does.  Returns one
    line for each thing that could not be done and does no harm.
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
    # sysfs shows the network of whoever mounted it: without a new one /sys/class/net is the host's
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
