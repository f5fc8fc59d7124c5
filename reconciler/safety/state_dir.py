"""The files under /run/netrecon: what the kernel has no place for.

One JSON file per topology: ``{"format": 2, "records": {key: record}}``; what a record means is known to its kind.
They help, but no apply is wrong without them: what is not on record is left alone.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Iterable
from typing import Any

from reconciler.kinds import BY_NAME
from reconciler.kinds.kind import Noted
from reconciler.model import port_ranges
from reconciler.model.errors import Failure, KernelError
from reconciler.model.keys import Key
from reconciler.planning.state import Memory

FOLDER = "/run/netrecon"

Record = dict[Key, Any]  # one topology's file


def load() -> dict[str, Record]:
    """The records of all topologies; a file that cannot be understood counts as lost."""
    records: dict[str, Record] = {}
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for name in sorted(os.listdir(FOLDER)):
            if name.endswith(".json"):
                with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
                    records[name.removesuffix(".json")] = from_plain(read_file(name))
    return records


def read_file(name: str) -> dict[str, Any]:
    """A JSON file of the folder; OSError or ValueError where it cannot be read, or is somebody else's."""
    handle = os.open(os.path.join(FOLDER, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, encoding="utf-8") as file:
        if os.fstat(handle).st_uid not in (0, os.geteuid()):
            raise PermissionError(errno.EPERM, f"{name} was put there by somebody else")
        return dict(json.load(file))


def from_plain(data: dict[str, Any]) -> Record:
    """The record that ``to_plain`` was given; ValueError, KeyError or TypeError for anything else."""
    plain = data["records"] if "records" in data else _of_format_1(data)
    records = ((_key(text), record) for text, record in plain.items())
    return {key: BY_NAME[key.kind].recall(record) for key, record in records}


def _of_format_1(data: dict[str, Any]) -> dict[str, Any]:
    """The records of a version that had three sorts of them."""
    ports = {text: port_ranges.parse(held) for text, held in data.get("reserved", {}).items()}
    return {**dict.fromkeys(data["shared"], True), **data["sysctls"], **ports}


def _key(text: str) -> Key:
    kind, scope, name = text.split("/", 2)
    return Key(kind, scope, name)


def memory(records: dict[str, Record], topologies: Iterable[str]) -> Memory:
    """The records as ``read`` wants them.

    Of several topologies that have an object on record, one that is not part of this run comes first: as
    long as it holds a sysctl, nobody puts the old value back.  Some kinds tell what of a record is not the other's too.
    """
    found: dict[str, dict[Key, Noted]] = {}
    mine = set(topologies)
    for name, record in sorted(records.items(), key=lambda item: item[0] not in mine):
        for key, one in record.items():
            scope, kind = found.setdefault(key.scope, {}), BY_NAME[key.kind]
            first = scope.get(key)
            if kind.without_others is None or first is None or first.topology not in mine:
                scope[key] = Noted(name, one)
            else:
                both = kind.either if name in mine else kind.without_others
                scope[key] = first._replace(record=both(first.record, one))
    return found


def save(topology: str, record: Record) -> None:
    """Write one topology's record atomically; an empty one is removed.  Raises KernelError."""
    path = os.path.join(FOLDER, f"{topology}.json")
    try:
        if not record:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            return
        write_file(f"{topology}.json", json.dumps(to_plain(record), indent=1))
    except OSError as error:
        raise KernelError(f"write {path}", Failure(error.errno or 0)) from error


def to_plain(record: Record) -> dict[str, Any]:
    """A record as what json.dumps takes."""
    return {"format": 2, "records": {str(key): one for key, one in sorted(record.items())}}


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
