"""Tells the system's journal of every run that changes the kernel, by the socket of syslog(3), /dev/log."""

from __future__ import annotations

import contextlib
import functools
import os
import pwd
import socket
import time
from collections.abc import Iterable, Iterator

from reconciler.model.errors import NetreconError

SOCKET = "/dev/log"
_NOTICE = 3 << 3 | 5  # LOG_DAEMON, LOG_NOTICE
_WARNING = 3 << 3 | 4
_UNSET = 0xFFFFFFFF  # the login uid of a process that no login has started
_MOST = 900  # bytes of a message: a receiver of old cuts it at 1,024 (RFC 3164)


def tell(
    command: str,
    topologies: Iterable[str],
    result: str,
    changes: int | None = None,
    well: bool = True,
    why: str = "",
) -> None:
    """Send one line; nothing happens where nobody listens, and no line is worth waiting for.

    ``well``: whether the run did what it was asked for; ``why`` not, if the result does not say so.
    """
    counted = f", {changes} change{'' if changes == 1 else 's'}" if changes is not None else ""
    reason = f": {'; '.join(why.splitlines())}" if why else ""
    text = f"{command} {', '.join(sorted(topologies)) or '-'} by {user()}: {result}{counted}{reason}"
    sent = clean(text[:_MOST]).encode()[:_MOST].decode("utf-8", "ignore")  # not half a character at its end
    # the C library's month names, whatever the locale
    now = time.localtime()
    month = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()[now.tm_mon - 1]
    stamp = f"{month} {now.tm_mday:2} {now.tm_hour:02}:{now.tm_min:02}:{now.tm_sec:02}"
    line = f"<{_NOTICE if well else _WARNING}>{stamp} netrecon[{os.getpid()}]: ".encode() + sent.encode()
    for kind, end in ((socket.SOCK_DGRAM, b""), (socket.SOCK_STREAM, b"\0")):  # a syslogd of old takes a stream
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK) as sock:
            sock.connect(SOCKET)
            sock.send(line + end)
            return


@contextlib.contextmanager
def refusals(command: str, topologies: Iterable[str]) -> Iterator[None]:
    """Inside, an error by which nothing was changed is told."""
    user()  # while the network is as it was: a name may be asked for over it
    try:
        yield
    except NetreconError as error:
        tell(command, topologies, "refused", well=False, why=str(error))
        raise
    except KeyboardInterrupt:
        tell(command, topologies, "interrupted", well=False)
        raise


def clean(text: str) -> str:
    """The text with unprintable characters escaped: names and errors may have control characters."""
    escaped = (c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)
    return "".join(escaped).encode("utf-8", "replace").decode()


def user() -> str:
    """Who runs it: the user of sudo, else the one who logged in, else the user of the process."""
    name = os.environ.get("SUDO_USER", "")
    return name if name and os.geteuid() == 0 else _name(_login_uid())


def _login_uid() -> int:
    with contextlib.suppress(OSError, ValueError), open("/proc/self/loginuid", encoding="ascii") as file:
        number = int(file.read())
        if number != _UNSET:
            return number
    return os.getuid()


@functools.cache
def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
