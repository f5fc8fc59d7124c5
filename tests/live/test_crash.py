"""Killed, interrupted, in a crowd, on a full disk: the next check tells the truth, the next apply converges.

NETRECON_KILLS and NETRECON_RACES set how often; by default only as often as a quick run allows.
"""

from __future__ import annotations

import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
from big_plan import AFTER, BEFORE
from snapshot import differences
from snapshot import snapshot as exact
from throwaway import sh

from reconciler.cli import main
from reconciler.safety import ownership, rollback

pytestmark = pytest.mark.live
ROOT = pathlib.Path(__file__).parent.parent.parent
KILLS = int(os.environ.get("NETRECON_KILLS", "9"))
RACES = int(os.environ.get("NETRECON_RACES", "3"))
# passes every check that can be made beforehand, and the kernel refuses it at the very end
IMPOSSIBLE = {**AFTER, "routes": [*AFTER["routes"], {"to": "10.123.0.0/16", "via": "192.0.2.77"}]}


def snapshot() -> dict[str, Any]:
    """As ever, but without the hardware addresses that the kernel draws anew for every new link."""
    found = exact()
    for name, part in found.items():
        if isinstance(part, dict):
            links = [re.sub('"address": "[0-9a-f:]*"', '"address": ""', line) for line in part["links"]]
            found[name] = {**part, "links": sorted(links)}
    return found


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "reconciler", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=ROOT, env=environment, **pipes)


def run(*arguments: str) -> int:
    with start(*arguments) as process:
        output = process.communicate()[0]
        assert "Traceback" not in output, output
        return process.returncode


@pytest.fixture
def files(tmp_path: pathlib.Path) -> dict[str, str]:
    paths = {}
    for name, topology in {"before": BEFORE, "after": AFTER, "impossible": IMPOSSIBLE}.items():
        paths[name] = str(tmp_path / f"{name}.yaml")
        pathlib.Path(paths[name]).write_text(json.dumps(topology))
    return paths


def truth(file: str, goal: dict[str, Any]) -> None:
    """What check says must be what ip and nft show; and the next apply must converge to the goal."""
    code = run("check", file)
    same = differences(goal, snapshot()) == []
    assert code == (0 if same else 2), "check does not tell the truth"
    assert run("apply", "-q", file) == 0
    assert run("check", file) == 0
    assert differences(goal, snapshot()) == []


def test_killed_at_any_moment(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    goals, lengths = {}, {}
    for name in ("after", "before"):
        assert run("apply", "-q", files[name]) == 0
        goals[name] = snapshot()
    commands = [("apply", "after"), ("delete", "before"), ("apply", "impossible")]
    chance = random.Random(20261125)
    died = 0
    for number in range(KILLS):
        command, name = commands[number % len(commands)]
        assert run("apply", "-q", files["before"]) == 0
        if command not in lengths:
            began = time.monotonic()
            run(command, "-q", files[name])
            lengths[command] = time.monotonic() - began
            assert run("apply", "-q", files["before"]) == 0
        process = start(command, "-q", files[name])
        # of a process that lives half a second the first half is the start of Python
        time.sleep(lengths[command] * chance.uniform(0.4, 1.0))
        process.kill()
        process.communicate()
        died += process.returncode == -signal.SIGKILL
        truth(files["after"], goals["after"]) if number % 2 else truth(files["before"], goals["before"])
        assert os.listdir("/run/netrecon/parked") == [] if os.path.exists("/run/netrecon/parked") else True
    with capsys.disabled():
        print(f"\nkilled {died} of {KILLS} runs in the middle, states lost 0")


def test_stopped_by_a_signal(files: dict[str, str]) -> None:
    assert run("apply", "-q", files["after"]) == 0
    after = snapshot()
    assert run("apply", "-q", files["before"]) == 0
    before = snapshot()
    chance = random.Random(7)
    codes = []
    for number in range(6):
        process = start("apply", "-q", files["after"])
        time.sleep(chance.uniform(0.2, 0.7))
        process.send_signal(signal.SIGTERM if number % 2 else signal.SIGINT)
        output = process.communicate()[0]
        codes.append(process.returncode)
        assert process.returncode in (0, 3, 130, -signal.SIGTERM, -signal.SIGINT), output
        assert "Traceback" not in output or process.returncode == -signal.SIGINT  # while Python itself starts
        if process.returncode != 3 and differences(after, snapshot()) == []:  # it came too late
            assert run("apply", "-q", files["before"]) == 0
        assert differences(before, snapshot()) == [], output


def test_signal_in_the_middle_of_an_apply_takes_it_back(
    files: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["apply", "-q", files["before"]]) == 0
    before = snapshot()
    remember = ownership.before
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        with monkeypatch.context() as patch:
            patch.setattr(ownership, "before", lambda *given, n=number: (remember(*given), os.kill(os.getpid(), n)))
            assert main.main(["apply", files["after"]]) == 3
        assert f"stopped by {number.name}" in capsys.readouterr().err
        assert differences(before, snapshot()) == []


def test_a_full_disk_is_noticed_before_anything_is_changed(
    files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["apply", "-q", files["before"]]) == 0
    before = snapshot()
    sh("mkdir -p /run/netrecon; cp -a /run/netrecon /run/kept; mount -t tmpfs -o size=16k,mode=755 none /run/netrecon")
    sh("cp -a /run/kept/*.json /run/netrecon/; dd if=/dev/zero of=/run/netrecon/full bs=4k 2>/dev/null || true")
    assert main.main(["apply", files["after"]]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert differences(before, snapshot()) == []
    assert main.main(["check", files["before"]]) == 0
    sh("rm /run/netrecon/full; mount -o remount,size=1m /run/netrecon")
    assert main.main(["apply", "-q", files["after"]]) == 0


def test_a_disk_that_fills_up_meanwhile(
    files: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["apply", "-q", files["before"]]) == 0
    before = snapshot()
    sh("cp -a /run/netrecon /run/kept; mount -t tmpfs -o size=256k,mode=755 none /run/netrecon")
    sh("cp -a /run/kept/* /run/netrecon/")
    prepare = rollback.prepare

    def fill(*arguments: Any) -> Any:
        entry = prepare(*arguments)
        sh("dd if=/dev/zero of=/run/netrecon/full bs=4k 2>/dev/null || true")
        return entry

    monkeypatch.setattr(rollback, "prepare", fill)
    for file in ("impossible", "after"):
        code = main.main(["apply", files[file]])
        assert code in (0, 1, 3), capsys.readouterr().err
        if code:
            assert differences(before, snapshot()) == []
        sh("rm -f /run/netrecon/full")
    monkeypatch.undo()
    assert main.main(["apply", "-q", files["after"]]) == 0
    assert main.main(["check", files["after"]]) == 0


def test_a_crowd_of_applies_ends_as_one_after_the_other(
    files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    goals = []
    for name in ("before", "after"):
        assert run("apply", "-q", files[name]) == 0
        goals.append(snapshot())
    for _ in range(RACES):
        crowd = [
            start("apply", "-q", "--lock-timeout", "60", files[name]) for name in ("before", "after", "before", "after")
        ]
        for process in crowd:
            output = process.communicate()[0]
            assert process.returncode == 0, output
        assert any(differences(goal, snapshot()) == [] for goal in goals)
    with capsys.disabled():
        print(f"\n{RACES} crowds of four applies, states mixed 0")


def test_a_lock_that_is_held_is_told_with_its_holder(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    sh("mkdir -p /run/netrecon")
    code = (
        "import time; from reconciler.safety import lock\nwith lock.held(0): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, "holder"], cwd=ROOT, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert main.main(["apply", "--json", files["before"]]) == 5
        message = json.loads(capsys.readouterr().out)["errors"][0]["message"]
        assert f"pid {holder.pid}" in message
        assert "holder" in message
        holder.kill()
    assert main.main(["apply", "-q", files["before"]]) == 0  # the kernel has let go of it


def test_a_lock_held_by_flock_is_told_with_its_holder(
    files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["apply", "-q", files["before"]]) == 0  # the last netrecon's pid is not the holder's
    with subprocess.Popen(["flock", "/run/netrecon/lock", "sh", "-c", "echo held; sleep 60"], stdout=-1) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert main.main(["apply", "--json", files["before"]]) == 5
        assert f"pid {holder.pid} (flock " in json.loads(capsys.readouterr().out)["errors"][0]["message"]
        sh(f"pkill -P {holder.pid}")
        holder.kill()
