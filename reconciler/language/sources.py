"""Finds the topology files that a command line names, and reads their bytes."""

from __future__ import annotations

import os
import stat
import sys
from typing import NoReturn

from reconciler.model.errors import InputError, Problem
from reconciler.model.keys import Origin

MAX_BYTES = 16 * 1024 * 1024
STDIN = "-"
SUFFIXES = (".yaml", ".yml")
_SPECIAL = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def fail(file: str, message: str, line: int = 0, column: int = 0) -> NoReturn:
    """Raise an InputError with one problem of the whole file (``line`` 0), or of one place in it."""
    raise InputError([Problem(Origin(file, line, column), message)])


def too_big(file: str) -> NoReturn:
    """Raise the InputError for a file of more than MAX_BYTES."""
    fail(file, f"larger than {MAX_BYTES // 1024 // 1024} MiB; split the topology into several files")


def expand(arguments: list[str]) -> list[str]:
    """The files that FILE, DIR and ``-`` arguments name, in order, each once.

    A folder stands for its *.yaml and *.yml files, sorted by name, without subfolders and
    hidden files.  Raises InputError with a problem for each folder that cannot be read or
    has no such file.  Whether a file exists is checked by ``read``.
    """
    files: dict[str, str] = {}
    problems: list[Problem] = []
    for argument in arguments:
        try:
            for name in _folder(argument) if os.path.isdir(argument) else [argument]:
                files.setdefault(name if name == STDIN else os.path.realpath(name), name)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return list(files.values())


def _folder(path: str) -> list[str]:
    try:
        names = sorted(os.listdir(path))
    except OSError as error:
        fail(path, _reason(error))
    wanted = [name for name in names if name.endswith(SUFFIXES) and not name.startswith(".")]
    files = [file for name in wanted if not os.path.isdir(file := os.path.join(path, name))]
    if not files:
        fail(path, "this folder holds no topology; put a *.yaml or *.yml file there, or name the files")
    return files


def read(path: str) -> bytes:
    """The bytes of one file, or of standard input for ``-``; at most MAX_BYTES.

    Raises InputError: missing, not readable, not a regular file, too big.
    """
    try:
        data = _read_stdin() if path == STDIN else _read_regular(path)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name, a closed stdin
        fail(path, _reason(error))
    if len(data) > MAX_BYTES:
        too_big(path)
    return data


def _read_stdin() -> bytes:
    if sys.stdin is None:  # started with descriptor 0 closed
        fail(STDIN, "standard input is closed; pipe a file into it")
    return sys.stdin.buffer.read(MAX_BYTES + 1)


def _read_regular(path: str) -> bytes:
    _must_be_regular(path, os.stat(path).st_mode)  # before open(): opening a device or a FIFO has effects
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        _must_be_regular(path, status.st_mode)
        if status.st_size > MAX_BYTES:
            too_big(path)
        return stream.read(MAX_BYTES + 1)  # the size of a file in /proc is 0


def _must_be_regular(path: str, mode: int) -> None:
    if stat.S_ISDIR(mode):
        fail(path, "a folder, not a file; name a file in it")
    if not stat.S_ISREG(mode):
        what = _SPECIAL.get(stat.S_IFMT(mode), "a special file")
        fail(path, f"{what}, not a file; name a regular file, or - to read standard input")


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file; check the name"
    if isinstance(error, PermissionError):
        return "permission denied; make it readable, or run as a user who may read it"
    text = error.strerror if isinstance(error, OSError) else None
    return f"cannot be read: {text or error}"
