"""The files under /run/netns, in the same form as ip-netns(8) makes them."""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from reconciler.kernel.namespaces import libc
from reconciler.model.errors import Failure, KernelError
from reconciler.model.keys import HOST
from reconciler.model.patterns import pattern

RUN_NETNS = "/run/netns"
PARKED = "/run/netrecon/parked"  # deleted namespaces, kept alive until the run has ended well
_OF_PROCESS = pattern(r"/proc/\d+/ns/net")
_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFLNK: "a symbolic link", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
_NS_GET_NSTYPE = 0xB703  # linux/nsfs.h; ENOTTY on anything that is not a namespace


def refuse_odd_name(name: str) -> None:
    """Raise KernelError for a name that cannot be a file name, and for "host", the name of the host's scope."""
    odd = not name or name in (".", "..", HOST) or "/" in name or "\0" in name or len(os.fsencode(name)) > 255
    if odd:
        raise KernelError("namespace", Failure(errno.EINVAL, f"{name!r} cannot be a namespace's name"))


def path_of(name: str) -> str:
    """The file of a namespace: /run/netns/<name>; a namespace without a name is called by its file /proc/PID/ns/net.

    Raises KernelError for a name that cannot be one.
    """
    if name.startswith("/proc/") and _OF_PROCESS.fullmatch(name):
        return name
    refuse_odd_name(name)
    return f"{RUN_NETNS}/{name}"


def open_namespace(name: str) -> int:
    """A descriptor of the namespace, which the caller closes; KernelError ENOENT where there is none.

    A plain file counts as none: it remains when the mount of a namespace is gone.
    """
    try:
        # O_NONBLOCK: opening a FIFO of that name would block
        fd = os.open(path_of(name), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _missing(name, error) from None
    if not _is_network_namespace(fd):
        os.close(fd)
        raise _missing(name, None)
    return fd


def _missing(name: str, error: OSError | None) -> KernelError:
    if error is not None and error.errno not in (None, errno.ENOENT):
        return libc.refused(f"open namespace {name}", error.errno or errno.EIO)
    return KernelError(f"namespace {name}", Failure(errno.ENOENT, "there is no such namespace"))


def _is_network_namespace(fd: int) -> bool:
    try:
        return fcntl.ioctl(fd, _NS_GET_NSTYPE) == libc.CLONE_NEWNET
    except OSError:
        return False


def namespace_names() -> list[str]:
    """The names under /run/netns that are network namespaces, sorted."""
    try:
        names = os.listdir(RUN_NETNS)
    except FileNotFoundError:
        return []
    return sorted(name for name in names if name != HOST and is_namespace(name))


def is_namespace(name: str) -> bool:
    """Whether a namespace has the name, or the process of that path runs."""
    try:
        os.close(open_namespace(name))
    except KernelError:
        return False
    return True


def in_the_way(name: str) -> str:
    """What lies at /run/netns/<name> and is no namespace, "" for nothing.

    An empty file without permissions is nothing: it is the mount point of a namespace that is gone, as ip-netns(8) and
    netrecon make them.
    """
    path = path_of(name)
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return ""
    if is_namespace(name):
        return ""
    if os.path.ismount(path):
        return "something else that is mounted there"
    if not stat.S_ISREG(status.st_mode):
        return _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
    return "" if _is_mount_point(status) else "a file"


def _is_mount_point(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and not status.st_size and not stat.S_IMODE(status.st_mode)


def bind(source: str, name: str, folder: str = RUN_NETNS) -> None:
    """Mount the namespace ``source`` (a path) on /run/netns/<name>, or on <folder>/<name>.

    A mount point that remained is used; KernelError EEXIST where anything else has the name.
    """
    path = f"{folder}/{name}"
    try:
        created = _create_file(path)
    except OSError as error:
        raise libc.refused(f"create {path}", error.errno or errno.EIO) from None
    try:
        libc.mount(source, path, "none", libc.MS_BIND)
    except KernelError:
        if created:
            os.unlink(path)
        raise


def _create_file(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0))
        return True
    except FileExistsError:
        # Never mount on the target of a symlink, nor over a file of somebody else.
        if os.path.ismount(path) or not _is_mount_point(os.lstat(path)):
            raise
        return False


def share_folder() -> None:
    """Make /run/netns a shared mount, so that mounts and unmounts in it reach every mount namespace."""
    try:
        os.makedirs(RUN_NETNS, 0o755, exist_ok=True)
        lock = os.open(RUN_NETNS, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise libc.refused(f"create {RUN_NETNS}", error.errno or errno.EIO) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # ip-netns takes the same lock for the same steps
        _mount_shared()
    finally:
        os.close(lock)


def _mount_shared() -> None:
    try:
        libc.mount("", RUN_NETNS, "none", libc.MS_SHARED | libc.MS_REC)
    except KernelError as error:
        if error.failure.errno != errno.EINVAL:  # EINVAL: not a mount point yet
            raise
        libc.mount(RUN_NETNS, RUN_NETNS, "none", libc.MS_BIND | libc.MS_REC)
        libc.mount("", RUN_NETNS, "none", libc.MS_SHARED | libc.MS_REC)


def parked_names() -> list[str]:
    """The names of the parked namespaces, sorted."""
    try:
        return sorted(os.listdir(PARKED))
    except (FileNotFoundError, NotADirectoryError):
        return []


def park(name: str) -> None:
    """Move the mount /run/netns/<name> to the folder PARKED, where the namespace stays alive, unseen by ip-netns."""
    try:
        os.makedirs(PARKED, 0o700, exist_ok=True)
    except OSError as error:
        raise libc.refused(f"create {PARKED}", error.errno or errno.EIO) from None
    bind(f"{RUN_NETNS}/{name}", name, PARKED)
    release(name)


def unpark(name: str) -> None:
    """Move a parked namespace back to /run/netns/<name>."""
    bind(f"{PARKED}/{name}", name)
    release(name, PARKED)


def release(name: str, folder: str = RUN_NETNS) -> None:
    """Unmount and unlink /run/netns/<name>, or <folder>/<name>; KernelError ENOENT where there is none.

    A mount point that remained is unlinked; a file of somebody else stays (EEXIST).
    """
    path = f"{folder}/{name}"
    try:
        libc.umount(path)
    except KernelError as error:
        if error.failure.errno != errno.EINVAL:  # EINVAL: nothing is mounted there
            raise
        if not _is_mount_point(os.lstat(path)):
            raise libc.refused(f"remove {path}, which is no namespace", errno.EEXIST) from None
    try:
        os.unlink(path)
    except OSError as error:
        raise libc.refused(f"remove {path}", error.errno or errno.EIO) from None
