"""What nobody confirms goes back by itself, whatever becomes of the session that applied it."""

from __future__ import annotations

import json
import os
import pathlib
import pty
import random
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
from big_plan import AFTER, BEFORE
from snapshot import differences, snapshot
from throwaway import sh

from reconciler.cli import main
from reconciler.safety.commit_confirmed import confirmation

pytestmark = pytest.mark.live
KILLS = int(os.environ.get("NETRECON_KILLS", "9"))  # of which a third are of a rollback here
ROOT = pathlib.Path(__file__).parent.parent.parent


def start(*arguments: str, **more: Any) -> subprocess.Popen[str]:
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} | more
    return subprocess.Popen([sys.executable, "-m", "reconciler", *arguments], cwd=ROOT, text=True, **pipes)


def waiting(process: subprocess.Popen[str]) -> confirmation.Confirmation:
    """Return once the apply waits for its confirmation."""
    for _ in range(200):
        found = confirmation.read()
        if found is not None and found.state == "pending":
            return found
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    raise AssertionError("it does not come to wait")


def settled(state: str, limit: float = 30.0) -> None:
    """Return once the confirmation has ended as it should; the lock is free then."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        found = confirmation.read()
        if found is not None and not found.open:
            assert found.state == state
            return
        time.sleep(0.05)
    raise AssertionError(f"nobody settles it: {confirmation.read()}")


@pytest.fixture
def files(tmp_path: pathlib.Path) -> dict[str, str]:
    paths = {}
    for name, topology in {"before": BEFORE, "after": AFTER}.items():
        paths[name] = str(tmp_path / f"{name}.yaml")
        pathlib.Path(paths[name]).write_text(json.dumps(topology))
    assert main.main(["apply", "-q", paths["before"]]) == 0
    return paths


def test_confirmed_in_another_shell(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    process = start("apply", "--confirm-within", "60s", files["after"])
    waiting(process)
    assert main.main(["apply", files["before"]]) == 1
    assert "waits for confirmation" in capsys.readouterr().err
    assert main.main(["list", "--json"]) == 0
    assert 0 < json.loads(capsys.readouterr().out)["confirmation"]["seconds"] <= 60
    assert main.main(["confirm"]) == 0
    output = process.communicate(timeout=20)[0]
    assert process.returncode == 0, output
    assert main.main(["check", files["after"]]) == 0
    assert sh("ls /run/netrecon/parked || true") == ""
    assert main.main(["confirm"]) == 1
    assert main.main(["rollback"]) == 1
    assert "nothing to roll back" in capsys.readouterr().err


def test_confirmed_at_the_prompt(files: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    process = start("apply", "-q", "--confirm-within", "60s", files["after"], stdin=theirs)
    waiting(process)
    os.write(ours, b"netrecon confirm\n")
    assert process.wait(timeout=20) == 0
    process.communicate()
    assert main.main(["check", files["after"]]) == 0
    os.close(ours)
    os.close(theirs)


def test_not_confirmed_in_time(files: dict[str, str]) -> None:
    before = snapshot()
    process = start("apply", "--json", "--confirm-within", "2s", files["after"], stderr=subprocess.DEVNULL)
    waiting(process)
    answer = json.loads(process.communicate(timeout=30)[0])
    assert process.returncode == 3
    assert (answer["result"]["confirmed"], answer["result"]["rolled_back"]) == (False, True)
    assert differences(before, snapshot()) == []


@pytest.mark.parametrize("moment", ["pending", "applying"])
def test_session_terminal_and_apply_are_gone(files: dict[str, str], moment: str) -> None:
    """The whole process group of the session is killed, its terminal closed."""
    before = snapshot()
    ours, theirs = pty.openpty()
    process = start(
        "apply",
        "--confirm-within",
        "3s",
        files["after"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    if moment == "pending":
        waiting(process)
    else:
        while confirmation.read() is None:
            time.sleep(0.005)
        time.sleep(0.3)
    os.close(theirs)
    os.close(ours)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    settled("rolled back")
    assert differences(before, snapshot()) == []
    assert main.main(["check", files["before"]]) == 0


def test_rolled_back_at_once(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    before = snapshot()
    process = start("apply", "-q", "--confirm-within", "60s", files["after"])
    waiting(process)
    assert main.main(["rollback"]) == 0
    assert "rolled back" in capsys.readouterr().out
    process.communicate(timeout=20)
    assert process.returncode == 3
    assert differences(before, snapshot()) == []


def test_interrupted_while_it_waits(files: dict[str, str]) -> None:
    before = snapshot()
    process = start("apply", "-q", "--confirm-within", "60s", files["after"])
    waiting(process)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=20)[0]
    assert process.returncode == 3, output
    assert differences(before, snapshot()) == []


def test_a_stale_confirmation_never_blocks(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """Everybody who could settle it is killed, the watchdog too: the next apply goes back first."""
    process = start("apply", "-q", "--confirm-within", "2s", files["after"])
    one = waiting(process)
    process.kill()
    process.communicate()
    for pid in sh(f"pgrep -f '[s]ys.argv.*{one.id}'").split():
        os.kill(int(pid), signal.SIGKILL)
    time.sleep(2.2)
    assert confirmation.read() == one
    assert main.main(["apply", "-q", files["before"]]) == 0
    assert "not confirmed in time; rolled back" in capsys.readouterr().err
    assert main.main(["check", files["before"]]) == 0


def test_a_confirmation_of_an_earlier_boot_counts_for_nothing(files: dict[str, str]) -> None:
    one = confirmation.begin({"faults"}, 600)
    path = pathlib.Path("/run/netrecon/confirmation")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"boot": "another"}))
    assert confirmation.pending() is None
    assert main.main(["apply", "-q", files["after"]]) == 0
    assert one.open


def test_a_failure_goes_back_at_once(files: dict[str, str], tmp_path: pathlib.Path) -> None:
    before = snapshot()
    bad = {**AFTER, "routes": [*AFTER["routes"], {"to": "10.123.0.0/16", "via": "192.0.2.77"}]}
    (tmp_path / "bad.yaml").write_text(json.dumps(bad))
    assert main.main(["apply", "-q", "--confirm-within", "60s", str(tmp_path / "bad.yaml")]) == 3
    assert differences(before, snapshot()) == []
    assert confirmation.pending() is None


def test_what_cannot_be_watched_is_not_begun(files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot()
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert main.main(["apply", "-q", "--confirm-within", "60s", files["after"]]) == 1
    assert differences(before, snapshot()) == []
    assert confirmation.pending() is None


def test_killed_while_it_goes_back(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    before = snapshot()
    chance = random.Random(20261125)
    length, died = 0.0, 0
    for _ in range(1 + KILLS // 3):
        applying = start("apply", "-q", "--confirm-within", "60s", files["after"])
        waiting(applying)
        began = time.monotonic()
        going = start("rollback", "-q")
        if length:  # the first one is left alone, to see how long it takes
            time.sleep(length * chance.uniform(0.4, 1.0))
            going.kill()
        going.communicate()
        died += going.returncode == -signal.SIGKILL
        length = length or time.monotonic() - began
        again = start("rollback", "-q")
        output = again.communicate()[0]
        assert again.returncode in (0, 1), output  # 1: there is nothing left to go back from
        applying.communicate()
        assert differences(before, snapshot()) == [], output
        assert main.main(["check", files["before"]]) == 0
        assert confirmation.read() is None or not confirmation.read().open
    with capsys.disabled():
        print(f"\nkilled {died} of {KILLS // 3} rollbacks in the middle, states lost 0")
