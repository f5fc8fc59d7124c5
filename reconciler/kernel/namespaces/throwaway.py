"""Moves this process into an empty network with mounts of its own, where no change touches the machine."""

from __future__ import annotations

import contextlib
import os
import shutil

from reconciler.kernel.namespaces import libc
from reconciler.kernel.namespaces.stamping import stamp_loopback
from reconciler.kernel.netlink import transport
from reconciler.model.errors import KernelError, NetreconError

CLONE_NEWUSER = 0x10000000
MS_PRIVATE = 0x40000
# The files of /etc that the process needs; ld.so.* are for the dynamic loader.
_KEPT = ("hosts", "resolv.conf", "ld.so.cache", "ld.so.conf", "protocols", "services", "localtime")


def enter() -> None:
    """Move this process, which must have one thread only, into a throwaway host with an empty network.

    A process without root becomes root of a user namespace first; NetreconError where the machine forbids that.
    """
    if os.geteuid() != 0:
        _become_root()
    libc.unshare(libc.CLONE_NEWNET | libc.CLONE_NEWNS, "make a throwaway host")
    libc.mount("", "/", "none", libc.MS_REC | MS_PRIVATE)
    _furnish_etc()
    libc.mount("none", "/run", "tmpfs", 0)
    for folder in ("/run/netns", "/run/netrecon"):
        os.mkdir(folder, 0o755)
    with contextlib.suppress(KernelError):  # only commands that people run in here read /sys
        libc.mount("none", "/sys", "sysfs", 0)
    with contextlib.closing(transport.open_socket(transport.ROUTE)) as sock:
        stamp_loopback(sock, "")


def _become_root() -> None:
    uid, gid = os.getuid(), os.getgid()
    try:
        libc.unshare(CLONE_NEWUSER, "make a user namespace")
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
    except (KernelError, OSError) as error:
        text = "this machine forbids unprivileged user namespaces, in which a rehearsal would run; run it as root"
        raise NetreconError(f"{text} ({error})") from None


def _furnish_etc() -> None:
    """Mount a tmpfs on /etc with copies of _KEPT: netrecon writes /etc/hosts and /etc/netns."""
    copy = "/run"  # the tmpfs is filled here and then bound to /etc; the caller mounts another one on /run
    libc.mount("none", copy, "tmpfs", 0)
    for name in _KEPT:
        with contextlib.suppress(OSError):
            shutil.copy2(f"/etc/{name}", f"{copy}/{name}", follow_symlinks=False)
    os.mkdir(f"{copy}/netns", 0o755)
    libc.mount(copy, "/etc", "none", libc.MS_BIND)
