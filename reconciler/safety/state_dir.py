"""The files under /run/netrecon: what the kernel has no place for.

One JSON file per topology: ``{"format": 1, "shared": [key, ...], "sysctls": {key: [before, ours]},
"reserved": {key: "1,5-9"}}``; ``before`` is null for the value that a link of ours was born with.
They help, but no apply is wrong without them: what is not on record is left alone.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Iterable
from dataclasses import field
from typing import Any

from reconciler.model import port_ranges
from reconciler.model.data import dataclass
from reconciler.model.errors import Failure, KernelError
from reconciler.model.keys import Key
from reconciler.model.port_ranges import PortRanges
from reconciler.planning.state import Memory

FOLDER = "/run/netrecon"


@dataclass(slots=True)
class Record:
    """One topology's file."""

    shared: set[Key] = field(default_factory=set)
    sysctls: dict[Key, tuple[str | None, str]] = field(default_factory=dict)
    reserved: dict[Key, PortRanges] = field(default_factory=dict)


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
    sysctls = {_key(text): (pair[0] and str(pair[0]), str(pair[1])) for text, pair in data["sysctls"].items()}
    reserved = {_key(text): port_ranges.parse(held) for text, held in data.get("reserved", {}).items()}
    return Record({_key(text) for text in data["shared"]}, sysctls, reserved)


def _key(text: str) -> Key:
    kind, scope, name = text.split("/", 2)
    return Key(kind, scope, name)


def memory(records: dict[str, Record], topologies: Iterable[str]) -> Memory:
    """The records as ``read`` wants them.

    Of several topologies that hold one sysctl, one that is not part of this run comes first: as
    long as it holds it, nobody puts the old value back.
    """
    shared: dict[Key, str] = {}
    sysctls: dict[Key, tuple[str, str | None, str]] = {}
    reserved: dict[Key, PortRanges] = {}
    mine = set(topologies)
    for name, record in sorted(records.items(), key=lambda item: item[0] not in mine):
        shared.update(dict.fromkeys(record.shared, name))
        sysctls.update({key: (name, *pair) for key, pair in record.sysctls.items()})
        reserved.update(record.reserved)
    return Memory(shared, sysctls, reserved)


def save(topology: str, record: Record) -> None:
    """Write one topology's record atomically; an empty one is removed.  Raises KernelError."""
    path = os.path.join(FOLDER, f"{topology}.json")
    try:
        if record == Record():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            return
        write_file(f"{topology}.json", json.dumps(to_plain(record), indent=1))
    except OSError as error:
        raise KernelError(f"write {path}", Failure(error.errno or 0)) from error


def to_plain(record: Record) -> dict[str, Any]:
    """A record as what json.dumps takes."""
    return {
        "format": 1,
        "shared": sorted(map(str, record.shared)),
        "sysctls": {str(key): list(pair) for key, pair in sorted(record.sysctls.items())},
        "reserved": {str(key): ",".join(port_ranges.written(held)) for key, held in sorted(record.reserved.items())},
    }


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
