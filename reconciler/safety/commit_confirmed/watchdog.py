"""A process of its own that goes back when nobody confirms, whatever becomes of the session that applied."""

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
PATIENCE = 20  # seconds in which it must say that it is there
SYSTEMD = "/run/systemd/system"
_CODE = "import sys; from reconciler.cli.main import main; sys.exit(main(['rollback', '--when-due', sys.argv[1]]))"


def start(one: Confirmation) -> str:
    """Arm it and say by what; KernelError where that cannot be done."""
    if _by_systemd(one):
        return f"systemd timer {_unit(one)}"
    return f"process {_by_process(one)}"


def _command(one: Confirmation) -> list[str]:
    return [sys.executable, "-c", _CODE, one.id]


def _path() -> str:
    return os.pathsep.join(os.path.abspath(folder) for folder in sys.path)


def _unit(one: Confirmation) -> str:
    return f"netrecon-confirm-{one.id}"


def _by_systemd(one: Confirmation) -> bool:
    """A transient timer, which no end of a session touches; only where systemd's services see the same host as we."""
    run = shutil.which("systemd-run")
    if run is None or not os.path.isdir(SYSTEMD) or not same_host(1):
        return False
    timer = [f"--unit={_unit(one)}", "--collect", "--quiet", f"--on-active={one.window:.0f}s"]
    command = [run, *timer, "--timer-property=AccuracySec=1s", f"--setenv=PYTHONPATH={_path()}", *_command(one)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.returncode == 0


def _by_process(one: Confirmation) -> int:
    """In a session of its own, so that neither a terminal nor a process group takes it along."""
    ours, theirs = os.pipe()
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, theirs, 1),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    environment = {**os.environ, "PYTHONPATH": _path()}
    try:
        pid = os.posix_spawn(sys.executable, _command(one), environment, file_actions=actions, setsid=True)
        os.close(theirs)
        if not select.select([ours], [], [], PATIENCE)[0] or os.read(ours, len(READY)) != READY:
            raise KernelError("start the watchdog", Failure(0, "it does not answer; nothing was changed"))
        return pid
    except OSError as error:
        raise KernelError("start the watchdog", Failure(error.errno or 0)) from error
    finally:
        os.close(ours)


def settle_in() -> None:
    """In the watchdog itself: say that we are there, and let go of everything of the session."""
    os.chdir("/")
    with contextlib.suppress(OSError):
        os.write(1, READY)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1)
        os.close(null)
