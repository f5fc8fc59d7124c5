"""A throwaway copy of the machine's network: what the live tests run in, and what they look at it with."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

CLONE_FS, CLONE_NEWNS, CLONE_NEWNET = 0x200, 0x20000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12
NEIGHBOUR_MESSAGES = (28, 29, 68)  # RTM_NEWNEIGH, RTM_DELNEIGH, RTM_NEWNDUSEROPT: traffic, not configuration
_libc = ctypes.CDLL(None, use_errno=True)
_T = TypeVar("_T")


def _call(name: str, *arguments: Any) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def _mount(source: str, target: str, kind: str, flags: int) -> None:
    _call("mount", source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), None)


@contextlib.contextmanager
def host() -> Iterator[None]:
    """Inside, the calling thread has a network and mounts of its own; nothing of the machine's is touched."""
    here = os.getcwd()
    kept = [os.open(f"/proc/thread-self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in ("net", "mnt")]
    os.makedirs("/etc/netns", exist_ok=True)
    _call("unshare", CLONE_NEWNET | CLONE_NEWNS)
    try:
        _furnish()
        yield
    finally:
        # a thread that shares its root and working directory with another may not change mount namespaces
        _call("unshare", CLONE_FS)
        for fd, kind in zip(kept, (CLONE_NEWNET, CLONE_NEWNS), strict=True):
            _call("setns", fd, kind)
            os.close(fd)
        os.chdir(here)


def _furnish() -> None:
    _mount("none", "/", "none", MS_REC | MS_PRIVATE)
    _mount("none", "/run", "tmpfs", 0)
    _mount("none", "/etc/netns", "tmpfs", 0)
    _mount("none", "/sys", "sysfs", 0)
    for folder in ("/run/netns", "/run/netrecon", "/run/private"):
        os.mkdir(folder)
    for name in ("hosts", "resolv.conf"):
        if os.path.exists(f"/etc/{name}"):
            shutil.copy(f"/etc/{name}", f"/run/private/{name}")
            _mount(f"/run/private/{name}", f"/etc/{name}", "none", MS_BIND)
    sh("ip link set lo up")
    sh("sysctl -qew net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0")  # a new namespace has the machine's


def sh(command: str) -> str:
    """Run a shell command; its output, or an AssertionError with what it said when it failed."""
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: exit {done.returncode}: {done.stderr.strip()}"
    return done.stdout


def ip_json(arguments: str) -> Any:
    """``ip -j ARGUMENTS``, parsed."""
    text = sh(f"ip -j {arguments}").strip()
    return [] if text in ("", "[{}]") else json.loads(text)


def inside(scope: str, function: Callable[..., _T], *arguments: Any) -> _T:
    """Call a function with this thread in the named namespace; ``host`` is where it is now."""
    if scope == "host":
        return function(*arguments)
    home, there = (os.open(path, os.O_RDONLY) for path in ("/proc/thread-self/ns/net", f"/run/netns/{scope}"))
    try:
        _call("setns", there, CLONE_NEWNET)
        try:
            return function(*arguments)
        finally:
            _call("setns", home, CLONE_NEWNET)
    finally:
        os.close(home)
        os.close(there)


# ------------------------------------------------------------------ what changed meanwhile


class Events:
    """Hears every change of configuration in the scopes: (scope, "route" or "netfilter", message type).

    It is the kernel that tells, so no sender can hide from it.  ``quiet`` waits for the stragglers of what went
    before, such as the end of duplicate address detection.
    """

    def __init__(self, *scopes: str) -> None:
        self._sockets = [
            (scope, name, inside(scope, _listen, protocol, groups))
            for scope in scopes or ("host",)
            for name, protocol, groups in (
                ("route", NETLINK_ROUTE, range(1, 37)),
                ("netfilter", NETLINK_NETFILTER, (7,)),
            )
        ]

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *_: object) -> None:
        for _scope, _name, sock in self._sockets:
            sock.close()

    def collect(self) -> list[tuple[str, str, int]]:
        """What was heard since the last call."""
        return [
            (scope, name, kind)
            for scope, name, sock in self._sockets
            for kind in _heard(sock)
            if not (name == "route" and kind in NEIGHBOUR_MESSAGES)
        ]

    def quiet(self, seconds: float = 2.0, limit: float = 60.0) -> None:
        """Return once nothing was heard for so many seconds: the end of duplicate address detection is told late."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            time.sleep(seconds)
            if not self.collect():
                return
        raise AssertionError("the namespace does not come to rest")


def _listen(protocol: int, groups: Any) -> socket.socket:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
    sock.bind((0, 0))
    for group in groups:
        with contextlib.suppress(OSError):
            sock.setsockopt(270, 1, group)  # SOL_NETLINK, NETLINK_ADD_MEMBERSHIP
    return sock


def _heard(sock: socket.socket) -> Iterator[int]:
    while True:
        try:
            data = sock.recv(1 << 20)
        except BlockingIOError:
            return
        at = 0
        while at + 16 <= len(data):
            length = int.from_bytes(data[at : at + 4], "little")
            yield int.from_bytes(data[at + 4 : at + 6], "little")
            at += max((length + 3) & ~3, 16)


def changes(function: Callable[[], _T], *scopes: str) -> tuple[_T, list[tuple[str, str, int]]]:
    """What a call returns, and every change of configuration that the kernel announced meanwhile.

    The kernel tells of a carrier or the end of duplicate address detection in its own time, late on a busy
    machine: what was heard counts only if it is heard every time.
    """
    with Events(*scopes) as events:
        for _ in range(3):
            events.quiet()
            result = function()
            time.sleep(0.05)
            if not (heard := events.collect()):
                break
        return result, heard
