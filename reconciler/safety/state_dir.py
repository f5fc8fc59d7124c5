"""The folder /run/netrecon and its files, which nobody else can plant."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from typing import Any

FOLDER = "/run/netrecon"


def read_file(name: str) -> dict[str, Any]:
    """A JSON file of the folder; OSError or ValueError where it cannot be read, or is somebody else's."""
    handle = os.open(os.path.join(FOLDER, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, encoding="utf-8") as file:
        if os.fstat(handle).st_uid not in (0, os.geteuid()):
            raise PermissionError(errno.EPERM, f"{name} was put there by somebody else")
        return dict(json.load(file))


def make_folder() -> None:
    """Make the folder one in which nobody else can plant files.

    Raises OSError, EPERM where it is somebody else's.  A tmpfs that was mounted here is open to all at first: it is
    closed, and what others put there meanwhile is thrown out.
    """
    os.makedirs(FOLDER, mode=0o755, exist_ok=True)
    found = os.lstat(FOLDER)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (0, os.geteuid()):
        raise PermissionError(errno.EPERM, f"{FOLDER} is not a folder of root's")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        os.chmod(FOLDER, 0o755)
        for entry in list(os.scandir(FOLDER)):
            if entry.stat(follow_symlinks=False).st_uid not in (0, os.geteuid()):
                os.rmdir(entry.path) if entry.is_dir(follow_symlinks=False) else os.unlink(entry.path)


def write_file(name: str, text: str, mode: int = 0o644) -> None:
    """Write a file of the folder atomically and onto the disk; no link is followed.  Raises OSError."""
    make_folder()
    path = os.path.join(FOLDER, name)
    temporary = f"{path}.{os.getpid()}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with contextlib.suppress(FileNotFoundError):  # of a run with our pid that was killed
        os.unlink(temporary)
    try:
        with os.fdopen(os.open(temporary, flags, mode), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
