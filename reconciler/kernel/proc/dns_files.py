"""Reads and writes resolv.conf and hosts: whole files in /etc/netns/<name>, a marked block in the host's own."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Mapping

from reconciler.kernel.namespaces import libc
from reconciler.kernel.namespaces.netns_files import refuse_odd_name
from reconciler.model.errors import Failure, KernelError
from reconciler.model.keys import HOST
from reconciler.model.names import BLOCK_BEGIN, BLOCK_END

ETC = "/etc"
NAMES = ("resolv.conf", "hosts")
UPSTREAM = "/run/systemd/resolve/resolv.conf"  # the servers that systemd-resolved asks; it listens on loopback only
_MODE = 0o644
_NO_FILE = (errno.EISDIR, errno.ENXIO, errno.ELOOP)  # open's answers for a folder, a socket, a ring of symlinks
_SYMLINK_OWNERS = {
    "systemd/resolve": "systemd-resolved",
    "resolvconf": "resolvconf",
    "NetworkManager": "NetworkManager",
}


def scopes() -> list[str]:
    """The names of the folders in /etc/netns, sorted; a namespace of that name need not exist."""
    try:
        with os.scandir(f"{ETC}/netns") as entries:
            return sorted(entry.name for entry in entries if entry.name != HOST and os.path.isdir(entry.path))
    except (FileNotFoundError, NotADirectoryError):
        return []


def read_file(scope: str, name: str) -> str | None:
    """The text of a scope's file, None where there is none; ``name`` is one of NAMES.

    What is not a regular file is "".  A file that cannot be read is "" in a namespace's folder (it may belong to a
    namespace that is not ours) and a KernelError in the host scope.
    """
    path = f"{_folder(scope)}/{_checked(name)}"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # O_NONBLOCK: opening a FIFO would block
        with open(fd, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read() if stat.S_ISREG(os.fstat(fd).st_mode) else ""
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if scope != HOST or error.errno in _NO_FILE:
            return ""
        raise libc.refused(f"read {path}", error.errno or errno.EIO) from None


def upstream_resolver() -> str:
    """The resolv.conf with the servers that systemd-resolved asks; "" where the file cannot be read."""
    try:
        with open(UPSTREAM, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def write_file(scope: str, name: str, text: str | None, owner: str) -> None:
    """Write the whole file of a namespace, or the block of ``owner`` in the host's file; None removes it.

    Atomic: a reader sees the old file or the new one.  In a namespace's folder no symlink is followed; the folder
    is made when needed and removed when empty.  The ``text`` of a block includes its two marker lines.  Raises
    KernelError, also where the host's file is a symlink (see managed_elsewhere).
    """
    path = f"{_folder(scope)}/{_checked(name)}"
    try:
        if scope == HOST:
            _write_block(path, text, owner)
        elif text is None:
            _remove(scope, name)
        else:
            _write_whole(scope, name, text)
    except OSError as error:
        raise libc.refused(f"write {path}", error.errno or errno.EIO) from None


def rename_block(name: str, owner: str, to: str) -> None:
    """Write the owner ``to`` into the marker lines of the owner's block in the host's file, and change nothing else.

    Raises KernelError, also where the file is a symlink (see managed_elsewhere).
    """
    path = f"{_folder(HOST)}/{_checked(name)}"
    markers = {first + owner: first + to for first in (BLOCK_BEGIN, BLOCK_END)}
    try:
        _refuse_symlink(path)
        before = read_file(HOST, name) or ""
        lines = (_with_marker(line, markers) for line in before.splitlines(keepends=True))
        _write_host(path, before, "".join(lines))
    except OSError as error:
        raise libc.refused(f"write {path}", error.errno or errno.EIO) from None


def _with_marker(line: str, markers: Mapping[str, str]) -> str:
    text = line.rstrip("\r\n")
    return markers.get(text, text) + line[len(text) :]


def _folder(scope: str) -> str:
    if scope == HOST:
        return ETC
    refuse_odd_name(scope)
    return f"{ETC}/netns/{scope}"


def _checked(name: str) -> str:
    if name not in NAMES:
        raise KernelError(name, Failure(errno.EINVAL, f"not one of {', '.join(NAMES)}"))
    return name


# ------------------------------------------------------------------ a namespace's files


def _write_whole(scope: str, name: str, text: str) -> None:
    os.makedirs(f"{ETC}/netns", 0o755, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.mkdir(f"{ETC}/netns/{scope}", 0o755)
    with _directory(_folder(scope)) as folder:
        _replace(folder, name, text, _MODE, None)


def _remove(scope: str, name: str) -> None:
    with contextlib.suppress(FileNotFoundError), _directory(_folder(scope)) as folder:
        os.unlink(name, dir_fd=folder)
    for path in (_folder(scope), f"{ETC}/netns"):
        try:
            os.rmdir(path)
        except OSError:  # not empty, or gone
            return


@contextlib.contextmanager
def _directory(path: str) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _replace(folder: int, name: str, text: str, mode: int, owner: tuple[int, int] | None) -> None:
    """Rename a new file to ``name``: a symlink of that name is replaced, not followed."""
    temporary = f".{name}.netrecon"
    with contextlib.suppress(FileNotFoundError):  # of a run that was killed
        os.unlink(temporary, dir_fd=folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(temporary, flags, 0o600, dir_fd=folder)
    try:
        with open(fd, "wb") as file:
            if owner is not None:
                os.fchown(fd, *owner)
            os.fchmod(fd, mode)  # os.open applied the umask
            file.write(_encoded(text))
            file.flush()
            os.fsync(fd)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)
        raise


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


# ------------------------------------------------------------------ the host's files


def _write_block(path: str, block: str | None, owner: str) -> None:
    _refuse_symlink(path)
    before = read_file(HOST, path.rpartition("/")[2])
    after = with_block(before or "", block, owner)
    if before is not None or block is not None:
        _write_host(path, before, after)


def _write_host(path: str, before: str | None, after: str) -> None:
    """Write a file of the host; ``before`` is its text, None where there is none."""
    if before == after:
        return
    folder, _, name = path.rpartition("/")
    if os.path.ismount(path):  # in a container the file is a bind mount, over which nothing can be renamed
        _rewrite(path, after)
        return
    status = os.stat(path) if before is not None else None
    mode = stat.S_IMODE(status.st_mode) if status else _MODE
    try:
        with _directory(os.path.realpath(folder)) as directory:
            _replace(directory, name, after, mode, (status.st_uid, status.st_gid) if status else None)
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.EXDEV):
            raise
        _rewrite(path, after)


def _refuse_symlink(path: str) -> None:
    text = managed_elsewhere(path.rpartition("/")[2])
    if text:
        raise KernelError(f"write {path}", Failure(errno.ELOOP, text))


def managed_elsewhere(name: str) -> str:
    """Why netrecon does not write the host's file: a symlink to a file that a program manages, no file, or read-only.

    The text names the program; "" where nothing speaks against it.
    """
    path = f"{ETC}/{name}"
    if os.path.islink(path):
        target = os.readlink(path)
        manager = next((who for part, who in _SYMLINK_OWNERS.items() if part in target), "something else")
        return f"it is a symlink to {target}: {manager} manages it; set names there instead"
    if os.path.lexists(path) and not os.path.isfile(path):
        return f"{path} is no regular file; remove it"
    return "" if os.geteuid() else _read_only(path)


def _read_only(path: str) -> str:
    """What root cannot write of a file and its folder; a new file is renamed over the old one, but for a mount."""
    needed = [path] if os.path.ismount(path) else [os.path.dirname(path), path]
    closed = next((one for one in needed if os.path.exists(one) and not os.access(one, os.W_OK)), "")
    return f"{closed} is read-only or immutable; make it writable (mount -o remount,rw; chattr -i)" if closed else ""


def _rewrite(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(fd, "wb") as file:
        file.write(_encoded(text))
        file.flush()
        os.fsync(fd)


def with_block(text: str, block: str | None, owner: str) -> str:
    """``text`` with the owner's marked block inserted, replaced where it is, or (None) removed.

    Of a block without its begin or end marker only the other marker is removed: the lines may not be ours.
    """
    first, last = BLOCK_BEGIN + owner, BLOCK_END + owner
    kept: list[str] = []
    start = place = None
    for line in text.splitlines(keepends=True):
        if line.rstrip("\r\n") == first:
            start = len(kept)
            place = start if place is None else place
        elif line.rstrip("\r\n") == last:
            if start is not None:
                del kept[start:]
            start = None
        else:
            kept.append(line)
    if block is not None:
        _insert(kept, place, block)
    return "".join(kept)


def _insert(lines: list[str], place: int | None, block: str) -> None:
    at = len(lines) if place is None else min(place, len(lines))
    if at and not lines[at - 1].endswith("\n"):
        lines[at - 1] += "\n"
    lines.insert(at, block if block.endswith("\n") else block + "\n")
