"""Reads and writes the files of /run/netrecon so that no other user can plant a file there."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from typing import Any

FOLDER = "/run/netrecon"


def read_file(name: str) -> dict[str, Any]:
    """The data of a JSON file in the folder.

    Raises OSError if it cannot be read or belongs to another user, ValueError if it is not JSON.
    """
    handle = os.open(os.path.join(FOLDER, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, encoding="utf-8") as file:
        if os.fstat(handle).st_uid not in (0, os.geteuid()):
            raise PermissionError(errno.EPERM, f"{name} was put there by somebody else")
        return dict(json.load(file))


def make_folder() -> None:
    """Create the folder, writable only by its owner, or make it so.

    Raises OSError, with EPERM if it belongs to another user.  A tmpfs mounted there is writable by all at first: its
    mode is changed, and files of other users are deleted.
    """
    os.makedirs(FOLDER, mode=0o755, exist_ok=True)
    status = os.lstat(FOLDER)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in (0, os.geteuid()):
        raise PermissionError(errno.EPERM, f"{FOLDER} is not a folder of root's")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        os.chmod(FOLDER, 0o755)
        for entry in list(os.scandir(FOLDER)):
            if entry.stat(follow_symlinks=False).st_uid not in (0, os.geteuid()):
                os.rmdir(entry.path) if entry.is_dir(follow_symlinks=False) else os.unlink(entry.path)


def write_file(name: str, text: str, mode: int = 0o644) -> None:
    """Write a file in the folder atomically and with fsync; no symbolic link is followed.  Raises OSError."""
    make_folder()
    path = os.path.join(FOLDER, name)
    temporary = f"{path}.{os.getpid()}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with contextlib.suppress(FileNotFoundError):  # left by a killed run with our pid
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
