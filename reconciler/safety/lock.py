"""The lock that allows one run at a time on a host; the kernel releases it when its holder dies (flock(2))."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator

from reconciler.model.errors import Failure, KernelError, LockHeld
from reconciler.safety import state_dir


@contextlib.contextmanager
def held(timeout: float) -> Iterator[None]:
    """Hold the lock inside a with block.

    Raises LockHeld if another process holds it for ``timeout`` seconds, KernelError if the file cannot be opened.
    """
    path = os.path.join(state_dir.FOLDER, "lock")
    try:
        state_dir.make_folder()
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise KernelError(f"open the lock {path}", Failure(error.errno or 0)) from error
    try:
        _wait(handle, timeout)
        yield
    finally:
        os.close(handle)


def _wait(handle: int, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise _busy(handle) from None
            time.sleep(0.05)
        else:
            return


def _busy(handle: int) -> LockHeld:
    pid = _holder(handle)
    if not pid:
        return LockHeld("another process holds the lock of netrecon; wait for it or give --lock-timeout", 0)
    command = ""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        command = file.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    who = f"pid {pid} ({command})" if command else f"pid {pid}"
    return LockHeld(f"another process holds the lock: {who}; wait for it or give --lock-timeout", pid)


def _holder(handle: int) -> int:
    """The pid of the process that holds the lock; 0 where the kernel does not name it (one of another container).

    The lines of /proc/locks are "1: FLOCK ADVISORY WRITE <pid> <major>:<minor>:<inode> ..." (proc_locks(5)); the file
    itself has the pid of the last netrecon, which may not be the holder: flock(1) can be.
    """
    there = os.fstat(handle)
    place = f"{os.major(there.st_dev):02x}:{os.minor(there.st_dev):02x}:{there.st_ino}"
    with contextlib.suppress(OSError), open("/proc/locks", encoding="ascii") as file:
        for words in map(str.split, file):
            if words[1] == "FLOCK" and words[5:6] == [place] and words[4].isdigit():
                return int(words[4])
    return 0
