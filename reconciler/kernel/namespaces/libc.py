"""System calls that Python 3.11 does not wrap (setns, unshare, mount, umount2), or in a module that takes time."""

from __future__ import annotations

import ctypes
import errno
import os

from reconciler.model.errors import Failure, KernelError

CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
MS_BIND = 0x1000
MS_REC = 0x4000
MS_SLAVE = 0x80000
MS_SHARED = 0x100000
MNT_DETACH = 2
_RLIMIT_NOFILE = 7

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)


def refused(what: str, number: int) -> KernelError:
    """The error for a call that failed with errno ``number``; for EPERM it names the missing capability."""
    text = os.strerror(number)
    if number == errno.EPERM:
        text += " (this needs root: CAP_SYS_ADMIN)"
    return KernelError(what, Failure(number, text))


def _check(result: int, what: str) -> None:
    if result != 0:
        raise refused(what, ctypes.get_errno())


def setns(fd: int, kind: int, what: str) -> None:
    """setns(2): move the calling thread into the namespace of ``fd``; ``kind`` is CLONE_NEW*; raises KernelError."""
    _check(_libc.setns(fd, kind), what)


def unshare(flags: int, what: str) -> None:
    """unshare(2): give the calling thread new namespaces; raises KernelError."""
    _check(_libc.unshare(flags), what)


def mount(source: str, target: str, kind: str, flags: int) -> None:
    """mount(2) without data; raises KernelError."""
    result = _libc.mount(os.fsencode(source), os.fsencode(target), os.fsencode(kind), flags, None)
    _check(result, f"mount {target}")


def umount(target: str) -> None:
    """umount2(2) with MNT_DETACH; raises KernelError (EINVAL: not a mount point)."""
    _check(_libc.umount2(os.fsencode(target), MNT_DETACH), f"unmount {target}")


def allow_descriptors(wanted: int) -> int:
    """Let the process open descriptors up to ``wanted``, as far as the hard limit goes; returns the limit."""
    limits = (ctypes.c_ulong * 2)()  # soft, hard
    _libc.getrlimit(_RLIMIT_NOFILE, limits)
    if limits[0] < wanted:
        limits[0] = min(wanted, limits[1])
        _libc.setrlimit(_RLIMIT_NOFILE, limits)
        _libc.getrlimit(_RLIMIT_NOFILE, limits)
    return int(limits[0])
