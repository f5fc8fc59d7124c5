"""Starts the watchdog: a separate process that goes back when nobody confirms, even if the session has ended."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import subprocess
import sys

from reconciler.model.errors import Failure, KernelError
from reconciler.safety.commit_confirmed.confirmation import Confirmation, same_host

READY = b"armed\n"
PATIENCE = 20  # seconds in which it must report that it runs
SYSTEMD = "/run/systemd/system"
_CODE = "import sys; from reconciler.cli.main import main; sys.exit(main(['rollback', '--when-due', sys.argv[1]]))"


def start(pending: Confirmation) -> str:
    """Start the watchdog; the timer or process that it is, for people.  Raises KernelError if it cannot start."""
    if _by_systemd(pending):
        return f"systemd timer {_unit(pending)}"
    return f"process {_by_process(pending)}"


def _command(pending: Confirmation) -> list[str]:
    return [sys.executable, "-c", _CODE, pending.id]


def _path() -> str:
    return os.pathsep.join(os.path.abspath(folder) for folder in sys.path)


def _unit(pending: Confirmation) -> str:
    return f"netrecon-confirm-{pending.id}"


def _by_systemd(pending: Confirmation) -> bool:
    """Start a transient timer, which outlives the session; False if systemd is not there or sees another host."""
    run = shutil.which("systemd-run")
    if run is None or not os.path.isdir(SYSTEMD) or not same_host(1):
        return False
    timer = [f"--unit={_unit(pending)}", "--collect", "--quiet", f"--on-active={pending.window:.0f}s"]
    command = [run, *timer, "--timer-property=AccuracySec=1s", f"--setenv=PYTHONPATH={_path()}", *_command(pending)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.returncode == 0


def _by_process(pending: Confirmation) -> int:
    """Start a process in a session of its own, so that no signal of a terminal or a process group ends it; its pid."""
    ours, theirs = os.pipe()
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, theirs, 1),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    environment = {**os.environ, "PYTHONPATH": _path()}
    try:
        pid = os.posix_spawn(sys.executable, _command(pending), environment, file_actions=actions, setsid=True)
        os.close(theirs)
        if not select.select([ours], [], [], PATIENCE)[0] or os.read(ours, len(READY)) != READY:
            raise KernelError("start the watchdog", Failure(0, "it does not answer; nothing was changed"))
        return pid
    except OSError as error:
        raise KernelError("start the watchdog", Failure(error.errno or 0)) from error
    finally:
        os.close(ours)


def settle_in() -> None:
    """In the watchdog itself: report that it runs, and close what belongs to the session."""
    os.chdir("/")
    with contextlib.suppress(OSError):
        os.write(1, READY)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1)
        os.close(null)
