"""Reads and writes values under /proc/sys of a namespace."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterable, Mapping

from reconciler.kernel.namespaces import libc
from reconciler.kernel.namespaces.worker import Kernel
from reconciler.model import port_ranges
from reconciler.model.errors import Failure, KernelError
from reconciler.model.port_ranges import PortRanges

ROOT = "/proc/sys"
_SWAPPED = str.maketrans("./", "/.")
RESERVED = "net.ipv4.ip_local_reserved_ports"
# The kernel gives a list of numbers only to the first read, cut to the size of the buffer.
_USUAL = 8192
_LONGEST = 1 << 18  # enough for every second port with its comma


def path_of(key: str) -> str:
    """The file of a key in sysctl(8) spelling, relative to /proc/sys.

    If the first separator is a dot, dots separate and a slash stands for a dot in a part, as in
    ``net.ipv4.conf.eth0/1.mtu``; if it is a slash, the key is a path.  Raises KernelError for a path that leads outside
    of /proc/sys.
    """
    first = next((character for character in key if character in "./"), "")
    path = key.translate(_SWAPPED) if first == "." else key
    if "\0" in key or any(part in ("", ".", "..") for part in path.split("/")):
        raise KernelError(f"sysctl {key!r}", Failure(errno.EINVAL, "this is no sysctl's name"))
    return path


def read_sysctls(kernel: Kernel, scope: str, keys: Iterable[str]) -> dict[str, str | None]:
    """Key -> value, each run of blanks as one; None for a key that does not exist or cannot be read; KernelError."""
    return kernel.run(scope, _read_all, {key: path_of(key) for key in keys})


def read_many(kernel: Kernel, keys: Mapping[str, Iterable[str]]) -> dict[tuple[str, str], str]:
    """(scope, key) -> value for the keys of many scopes; a key that does not exist is left out; KernelError."""
    asked = [(scope, {key: path_of(key) for key in names}) for scope, names in keys.items()]
    answers = kernel.run_each([(scope, _read_all, (paths,)) for scope, paths in asked])
    return {
        (scope, key): value
        for (scope, _), values in zip(asked, answers, strict=True)
        for key, value in values.items()
        if value is not None
    }


def read_at_birth(keys: Iterable[str]) -> dict[str, str]:
    """The values in a new network namespace, which is made for this and deleted again.  Raises KernelError."""
    paths = {key: path_of(key) for key in keys}
    values: dict[str, str | None] = {}
    failures: list[KernelError] = []

    def look() -> None:
        try:
            libc.unshare(libc.CLONE_NEWNET, "make a network namespace")
            values.update(_read_all(paths))
        except KernelError as error:
            failures.append(error)

    thread = threading.Thread(target=look)  # the kernel deletes the namespace when its only thread ends
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return {key: value for key, value in values.items() if value is not None}


def _read_all(paths: dict[str, str]) -> dict[str, str | None]:
    return {key: _read(key, path) for key, path in paths.items()}


def _read(key: str, path: str) -> str | None:
    try:
        with open(f"{ROOT}/{path}", "rb", buffering=0) as file:
            value = file.read(_LONGEST if key == RESERVED else _USUAL)
            return " ".join(value.decode("utf-8", "surrogateescape").split())
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        if not os.access(f"{ROOT}/{path}", os.R_OK) or error.errno in (errno.EACCES, errno.EPERM, errno.EIO):
            return None  # write-only, such as net.ipv4.route.flush; some give EIO until they are written
        raise KernelError(f"read sysctl {key}", Failure(error.errno or errno.EIO)) from None


def write_sysctl(kernel: Kernel, scope: str, key: str, value: str) -> Failure | None:
    """Write one value; None when it is done, else a Failure that names the key or the value that was refused."""
    return kernel.run(scope, _write, path_of(key), key, value)


def _write(path: str, key: str, value: str) -> Failure | None:
    try:
        # open() would add O_CREAT and O_TRUNC; the kernel takes the value from one write
        fd = os.open(f"{ROOT}/{path}", os.O_WRONLY | os.O_CLOEXEC)
    except OSError as error:
        return Failure(error.errno or errno.EIO, _why(error, key, value))
    try:
        os.write(fd, f"{value}\n".encode())
    except OSError as error:
        return Failure(error.errno or errno.EIO, _why(error, key, value))
    finally:
        os.close(fd)
    return None


# ------------------------------------------------------------------ reserved ports

_CHUNK = 2048  # bytes; the kernel takes less than a page of the list at once (proc_do_large_bitmap)


def reserve_ports(kernel: Kernel, scope: str, add: PortRanges, drop: PortRanges) -> Failure | None:
    """Add ports to the scope's net.ipv4.ip_local_reserved_ports and remove others; all other ports stay in it."""
    return kernel.run(scope, _reserve, add, drop)


def _reserve(add: PortRanges, drop: PortRanges) -> Failure | None:
    present = port_ranges.ports_of(port_ranges.parse(_read(RESERVED, path_of(RESERVED)) or ""))
    gone = port_ranges.ports_of(drop) & present
    if not gone:
        return _write_list(port_ranges.written(port_ranges.ranges_of(port_ranges.ports_of(add) - present)), at=1)
    return _write_list(port_ranges.written(port_ranges.ranges_of(present - gone | port_ranges.ports_of(add))), at=0)


def _write_list(parts: list[str], at: int) -> Failure | None:
    """Write the list in pieces from offset ``at``: a write at 0 replaces the list, one at another offset adds to it."""
    chunks: list[list[str]] = [[]]
    size = 0
    for part in parts:
        if size + len(part) >= _CHUNK:
            chunks.append([])
            size = 0
        chunks[-1].append(part)
        size += len(part) + 1
    try:
        fd = os.open(f"{ROOT}/{path_of(RESERVED)}", os.O_WRONLY | os.O_CLOEXEC)
    except OSError as error:
        return Failure(error.errno or errno.EIO, _why(error, RESERVED, ""))
    try:
        for place, chunk in enumerate(chunks, start=at):
            os.pwrite(fd, f"{','.join(chunk)}\n".encode(), place)
    except OSError as error:
        return Failure(error.errno or errno.EIO, _why(error, RESERVED, ",".join(parts)))
    finally:
        os.close(fd)
    return None


def _why(error: OSError, key: str, value: str) -> str:
    if error.errno == errno.ENOENT and os.path.exists(f"{ROOT}/{path_of(key)}"):
        return f"the kernel knows no {value!r} for {key}"  # of congestion controls: no such module
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR):
        return f"the kernel has no sysctl {key} here"
    if error.errno in (errno.EINVAL, errno.ERANGE):
        return f"{key} does not take the value {value!r}"
    return os.strerror(error.errno or errno.EIO)
