"""``exec`` ends as the command ends, and as shells do where there is no such command."""

from __future__ import annotations

import subprocess
import sys

import pytest
from throwaway import sh

pytestmark = pytest.mark.live
ENDS = {
    "command": (["true"], 0, ""),
    "its_exit_code": (["sh", "-c", "exit 7"], 7, ""),
    "no_such_command": (["nosuchcmd"], 127, "netrecon: exec: nosuchcmd: No such file or directory\n"),
    "no_program": (["/proc"], 126, "netrecon: exec: /proc: Permission denied\n"),
    "no_command": ([], 1, "exec: no command; write netrecon exec NAMESPACE -- COMMAND [ARGUMENT]...\n"),
}


@pytest.mark.parametrize("name", ENDS)
def test_exec_ends_as_shells_do(name: str) -> None:
    command, code, told = ENDS[name]
    sh("ip netns add blue")
    words = [sys.executable, "-m", "reconciler", "exec", "blue", "--", *command]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, told)
