"""Whole processes, measured from outside: clock, processor, memory, and the netlink messages that they send."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

Command = Sequence[str]


@dataclass(frozen=True, slots=True)
class Sample:
    """One run: seconds on the clock and of the processor (with all children), peak memory in MiB, what it said."""

    wall: float
    cpu: float
    rss: float
    code: int
    said: str


def run(command: Command, expected: Sequence[int] = (0,)) -> Sample:
    """Run a command to its end; SystemExit with its stderr when it ends otherwise than expected."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = time.perf_counter()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - started
        child.returncode = code = os.waitstatus_to_exitcode(status)
        said = _text(err)
        if code not in expected:
            sys.exit(f"{' '.join(command)}: exit {code}\n{said or _text(out)}")
        return Sample(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, code, said)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(1 << 16).decode("utf-8", "replace")


def messages(command: Command) -> int:
    """How many netlink messages a command sends, counted by strace in a run of its own."""
    with tempfile.NamedTemporaryFile() as log:
        tracing = ["strace", "-f", "-v", "-s", "0", "-e", "trace=sendto,sendmsg", "-o", log.name]
        subprocess.run([*tracing, *command], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        with open(log.name, "rb") as lines:
            return sum(len(re.findall(rb"nlmsg_len=", line)) for line in lines)


def settled() -> None:
    """Wait until the kernel has taken down the namespaces that were deleted: it does so later, and holds others up.

    It takes them in turn, so a marker's turn is after theirs: its veth vanishes with it.
    """
    subprocess.run(
        ["/bin/sh", "-ec", "ip netns add settle; ip link add settle0 type veth peer netns settle; ip netns del settle"],
        check=True,
    )
    while os.path.exists("/sys/class/net/settle0"):
        time.sleep(0.02)
