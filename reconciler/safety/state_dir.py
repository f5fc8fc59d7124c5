"""Reads and writes the files of /run/netrecon so that no other user can plant a file there."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Callable
from typing import Any, TypeVar

from reconciler.model import notes

_T = TypeVar("_T")
FOLDER = "/run/netrecon"
SPARE = "spare.tmp"  # room for the files of the run when the disk fills up; the run's end deletes it
_SPARE_BYTES = 1 << 15
_MOST_BYTES = 1 << 28  # the snapshot of 60,000 ports takes a tenth of it


def understood(name: str, understand: Callable[[dict[str, Any]], _T]) -> _T | None:
    """What ``understand`` makes of a JSON file in the folder; None without the file.

    A file that cannot be read, belongs to another user or is not understood counts as lost, which is noted.
    """
    try:
        return understand(_read_file(name))
    except FileNotFoundError:
        return None
    except Exception as error:  # whatever the file has in it must not stop a command
        why = error.strerror if isinstance(error, OSError) else f"it is not what netrecon writes ({_words(error)})"
        notes.note(f"{os.path.join(FOLDER, name)} cannot be read and counts as lost: {why}")
        return None


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _read_file(name: str) -> dict[str, Any]:
    """The data of a JSON file.  Raises OSError; and whatever json raises, RecursionError among others."""
    handle = os.open(os.path.join(FOLDER, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, encoding="utf-8") as file:
        status = os.fstat(handle)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        if status.st_size > _MOST_BYTES:
            raise OSError(errno.EFBIG, "it is larger than any that netrecon writes")
        if status.st_uid not in (0, os.geteuid()):
            raise PermissionError(errno.EPERM, "it was put there by somebody else")
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
    """Write a file in the folder atomically and with fsync; no symbolic link is followed.  Raises OSError.

    On a full disk the room of ``keep_spare`` is used, and then the file's own.
    """
    make_folder()
    try:
        _replace(name, text, mode)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _give_up_spare()
        try:
            _replace(name, text, mode)
        except OSError:
            if not _overwrite(name, text):
                raise


def keep_spare() -> None:
    """Reserve room for the files that a run writes later, where there is any."""
    with contextlib.suppress(OSError):
        _reserve()


def _reserve() -> None:
    make_folder()
    handle = os.open(os.path.join(FOLDER, SPARE), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(handle, 0, _SPARE_BYTES)
    finally:
        os.close(handle)


def _give_up_spare() -> None:
    with contextlib.suppress(OSError):
        os.unlink(os.path.join(FOLDER, SPARE))


def _overwrite(name: str, text: str) -> bool:
    """Write over the file that is there, which needs no room if it is as long; False where it is too short."""
    data = text.encode()
    with contextlib.suppress(OSError):
        handle = os.open(os.path.join(FOLDER, name), os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            room = os.fstat(handle).st_blocks * 512
            if len(data) <= room and os.pwrite(handle, data, 0) == len(data):
                os.ftruncate(handle, len(data))
                return True
        finally:
            os.close(handle)
    return False


def _replace(name: str, text: str, mode: int) -> None:
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
