"""One worker thread that enters network namespaces and opens sockets in them."""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import socket as sockets
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, TypeVar

from reconciler.kernel.namespaces import libc
from reconciler.kernel.namespaces.kept_sockets import Identity, KeptSockets
from reconciler.kernel.namespaces.netns_files import (
    PARKED,
    bind,
    in_the_way,
    is_namespace,
    namespace_names,
    open_namespace,
    park,
    parked_names,
    path_of,
    refuse_odd_name,
    release,
    share_folder,
    unpark,
)
from reconciler.kernel.namespaces.stamping import stamp_loopback
from reconciler.kernel.netlink import transport
from reconciler.model.errors import Failure, KernelError
from reconciler.model.keys import HOST

_T = TypeVar("_T")
_HERE = "/proc/thread-self/ns/net"
_BATCH = 64  # namespaces whose sockets are opened in one visit of the worker

_Opened = tuple[sockets.socket, Identity]
_Job = tuple[Callable[[], Any], "queue.SimpleQueue[tuple[Any, BaseException | None]]"]


class Kernel:
    """The owner of the worker thread and of every socket into a namespace.

    The main thread never changes its namespace, so that no code can run in the wrong one by mistake.  Scope
    ``host`` is the namespace in which the Kernel was made.  Use it as a context manager.
    """

    def __init__(self) -> None:
        self._sockets = KeptSockets()
        self._home = os.open(_HERE, os.O_RDONLY | os.O_CLOEXEC)
        self._broken = ""
        self._shared = False
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._worker = self._started()

    def _started(self) -> threading.Thread:
        worker = threading.Thread(target=self._work, name="namespaces", daemon=True)
        worker.start()
        return worker

    def __enter__(self) -> Kernel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the worker and close every socket; a second call does nothing."""
        if self._home < 0:
            return
        self._jobs.put(None)
        self._worker.join()
        self._sockets.close_all()
        os.close(self._home)
        self._home = -1

    @contextlib.contextmanager
    def at_rest(self) -> Iterator[None]:
        """Without the worker thread, so that the process can fork; nothing of this object may be used meanwhile."""
        self._jobs.put(None)
        self._worker.join()
        try:
            yield
        finally:
            self._worker = self._started()

    # -------------------------------------------------------------- calls in a namespace

    def run(self, scope: str, function: Callable[..., _T], *args: Any) -> _T:
        """The result of ``function(*args)``, called by the worker thread in the scope's network namespace.

        Raises what the function raises; KernelError where the namespace is missing or must not be entered.
        """
        if scope == HOST:
            return self._in_worker(function, args)
        result: _T = self._in_worker(self._visit, (scope, function, args))
        return result

    def run_each(self, calls: Sequence[tuple[str, Callable[..., Any], tuple[Any, ...]]]) -> list[Any]:
        """As ``run`` for many (scope, function, arguments), in one job of the worker.

        Waking the worker costs more than changing the namespace.  The first error ends the job and is raised.
        """
        return self._in_worker(self._visit_each, (calls,))

    def _visit_each(self, calls: Sequence[tuple[str, Callable[..., Any], tuple[Any, ...]]]) -> list[Any]:
        return [
            function(*args) if scope == HOST else self._visit(scope, function, args) for scope, function, args in calls
        ]

    def _visit(self, scope: str, function: Callable[..., _T], args: tuple[Any, ...]) -> _T:
        fd = open_namespace(scope)
        try:
            libc.setns(fd, libc.CLONE_NEWNET, f"enter namespace {scope}")
        finally:
            os.close(fd)
        try:
            return function(*args)
        finally:
            self._return()

    def _return(self) -> None:
        try:
            libc.setns(self._home, libc.CLONE_NEWNET, "return from a namespace")
        except KernelError as error:
            self._broken = str(error)  # the worker is in an unknown namespace: it must do nothing more
            raise

    def _in_worker(self, function: Callable[..., _T], args: tuple[Any, ...]) -> _T:
        if self._broken:
            raise KernelError("namespaces", Failure(errno.EIO, self._broken))
        if threading.current_thread() is self._worker:
            raise RuntimeError("run() inside run(): the worker is in a namespace already")
        answer: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
        self._jobs.put((lambda: function(*args), answer))
        result, error = answer.get()
        if error is not None:
            raise error
        value: _T = result
        return value

    def _work(self) -> None:
        while not self._broken and (job := self._jobs.get()) is not None:
            call, answer = job
            try:
                result = call()
            except BaseException as error:
                answer.put((None, error))
                del error
            else:
                answer.put((result, None))
                del result
            del call, answer, job

    # -------------------------------------------------------------- sockets and descriptors

    def open(self, scope: str) -> int:
        """A descriptor of the scope's network namespace, which the caller closes; KernelError where it is missing."""
        if scope == HOST:
            return os.dup(self._home)
        return open_namespace(scope)

    def exists(self, name: str) -> bool:
        """Whether a namespace of that name is mounted under /run/netns, or the process by which it is called runs."""
        return is_namespace(name)

    def socket(self, scope: str, protocol: int = transport.ROUTE) -> sockets.socket:
        """A netlink socket in the scope, opened once and kept; the caller must not close it.

        It is opened again when the name means another namespace now.  Not all stay open, so ask for it each time
        instead of storing it.
        """
        identity = _identity(scope)
        kept = self._sockets.get(scope, protocol, identity)
        if kept is not None:
            return kept
        return self._sockets.keep(scope, protocol, self.run(scope, transport.open_socket, protocol), identity)

    def with_sockets(self, scopes: Iterable[str], *protocols: int) -> Iterator[str]:
        """Yield the scopes in order; the sockets of each are open by then, so that ``socket`` need not open them.

        They are opened a batch at a time, since waking the worker costs more than changing the namespace.  A missing
        scope is yielded too; ``socket`` will raise for it.
        """
        listed = list(scopes)
        for at in range(0, len(listed), _BATCH):
            batch = listed[at : at + _BATCH]
            self._open_batch(
                [(s, p) for s in batch for p in protocols or (transport.ROUTE,) if not self._sockets.has(s, p)]
            )
            yield from batch

    def _open_batch(self, wanted: list[tuple[str, int]]) -> None:
        if wanted:
            for place, opened in self._in_worker(self._open_each, (wanted,)).items():
                self._sockets.keep(*place, *opened)

    def _open_each(self, wanted: list[tuple[str, int]]) -> dict[tuple[str, int], _Opened]:
        protocols: dict[str, list[int]] = {}
        for scope, protocol in wanted:
            protocols.setdefault(scope, []).append(protocol)
        sockets_by_place = {}
        for scope, asked in protocols.items():
            with contextlib.suppress(KernelError, OSError):  # ``socket`` will raise the error of this scope
                arguments = (scope, asked)
                opened = _open_here(*arguments) if scope == HOST else self._visit(scope, _open_here, arguments)
                sockets_by_place.update({(scope, protocol): kept for protocol, kept in opened.items()})
        return sockets_by_place

    # -------------------------------------------------------------- making and deleting namespaces

    def namespaces(self) -> list[str]:
        """The names under /run/netns that are network namespaces, sorted; leftover files are not."""
        return namespace_names()

    def in_the_way(self, name: str) -> str:
        """What lies at /run/netns/<name> and is no namespace, "" for nothing that matters."""
        return in_the_way(name)

    def unnamed(self) -> list[str]:
        """A path /proc/PID/ns/net for each other network namespace that has processes and no name in /run/netns."""
        home = os.fstat(self._home)
        known = {(0, 0), (home.st_dev, home.st_ino), *map(_identity, self.namespaces())}
        paths: dict[tuple[int, int], str] = {}
        for pid in _processes():
            paths.setdefault(_namespace_of(pid), f"/proc/{pid}/ns/net")
        return [path for identity, path in paths.items() if identity not in known]

    def create_namespace(self, name: str, alias: str, group: int = 0) -> None:
        """As ``create_namespaces``, for one; raises its error."""
        (error,) = self.create_namespaces([(name, alias, group)])
        if error is not None:
            raise error

    def create_namespaces(self, wanted: Sequence[tuple[str, str, int]]) -> list[KernelError | None]:
        """Make namespaces, given as (name, alias, group); an error for each, None where it was made.

        ``lo`` is up and has its alias and group before the name can be seen.  A process killed half way leaves at most
        an empty file, which does not count as a namespace.  EEXIST where the namespace exists.
        """
        if not self._shared:
            share_folder()
            self._shared = True
        errors: list[KernelError | None] = []
        for at in range(0, len(wanted), _BATCH):
            batch = wanted[at : at + _BATCH]
            for (name, _, _), made in zip(batch, self._in_worker(self._create_each, (batch,)), strict=True):
                errors.append(made if isinstance(made, KernelError) else None)
                if not isinstance(made, KernelError):
                    self._sockets.close(name)
                    self._sockets.keep(name, transport.ROUTE, *made)
        return errors

    def _create_each(self, wanted: Sequence[tuple[str, str, int]]) -> list[_Opened | KernelError]:
        made: list[_Opened | KernelError] = []
        try:
            for name, alias, group in wanted:
                try:
                    made.append(_create(name, alias, group))
                except KernelError as error:
                    made.append(error)
        finally:
            self._return()
        return made

    def delete_namespace(self, name: str, keep: bool = False) -> None:
        """Unmount and remove /run/netns/<name>; the kernel deletes what is in it a little later.

        With ``keep`` the namespace is parked instead, for ``unpark_namespace`` or ``release_parked``.
        Our sockets in it are closed first: each would keep the namespace alive.
        """
        refuse_odd_name(name)
        self._sockets.close(name)
        if keep:
            park(name)
        else:
            release(name)

    def unpark_namespace(self, name: str) -> None:
        """Bring back a parked namespace with all that is in it; raises KernelError."""
        refuse_odd_name(name)
        self._sockets.close(name)
        share_folder()
        unpark(name)

    def release_parked(self) -> None:
        """Delete the parked namespaces; one that cannot be unmounted stays for the next run."""
        for name in parked_names():
            with contextlib.suppress(KernelError):
                release(name, PARKED)

    def pids_in(self, name: str) -> list[int]:
        """The processes whose main thread is in the namespace, without this one, sorted."""
        return self.occupants([name])[name]

    def occupants(self, names: Iterable[str]) -> dict[str, list[int]]:
        """As pids_in for many namespaces, with one walk through /proc."""
        pids_by_name: dict[str, list[int]] = {name: [] for name in names}
        name_by_identity = {_identity(name): name for name in pids_by_name}
        for pid in _processes():
            name = name_by_identity.get(_namespace_of(pid))
            if name is not None and pid != os.getpid():
                pids_by_name[name].append(pid)
        return {name: sorted(pids) for name, pids in pids_by_name.items()}


def _processes() -> Iterator[int]:
    return (int(entry) for entry in os.listdir("/proc") if entry.isdecimal())


def _namespace_of(pid: int) -> tuple[int, int]:
    try:
        status = os.stat(f"/proc/{pid}/ns/net")
    except OSError:  # the process has ended, or we have no right to look at it
        return (0, 0)
    return (status.st_dev, status.st_ino)


def _identity(scope: str) -> Identity:
    """Device and inode: they are equal only for the same namespace."""
    if scope == HOST:
        return (0, 0)
    try:
        status = os.stat(path_of(scope))
    except OSError as error:
        raise KernelError(f"namespace {scope}", Failure(error.errno or 0)) from None
    return (status.st_dev, status.st_ino)


def _create(name: str, alias: str, group: int) -> _Opened:
    """Make one namespace, in which the calling thread is afterwards."""
    refuse_odd_name(name)
    if is_namespace(name):
        raise KernelError(f"create namespace {name}", Failure(errno.EEXIST, "it exists already"))
    libc.unshare(libc.CLONE_NEWNET, f"create namespace {name}")
    sock = transport.open_socket(transport.ROUTE)
    try:
        stamp_loopback(sock, alias, group)
        bind(_HERE, name)
        return sock, _identity(name)
    except BaseException:
        sock.close()
        raise


def _open_here(scope: str, protocols: list[int]) -> dict[int, _Opened]:
    identity = _identity(scope)
    return {protocol: (transport.open_socket(protocol), identity) for protocol in protocols}
