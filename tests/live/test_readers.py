"""Who reads the output of a command, and whether anybody does, changes neither what is done nor the exit code."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest
from snapshot import snapshot
from throwaway import sh

pytestmark = pytest.mark.live

STREAMS = [">&-", "> /dev/full", "| head -c 1", "2> /dev/full"]
TOPOLOGY = {
    "sysctls": {"net.ipv4.ip_forward": 1},
    "bridges": {"br0": {"addresses": ["172.16.0.1/24"]}},
    "veths": {"v0": {"master": "br0", "peer": {"namespace": "test", "name": "eth0", "addresses": ["172.16.0.2/24"]}}},
    "namespaces": {"test": {"routes": [{"to": "default", "via": "172.16.0.1"}]}},
    "port_maps": ["9091:172.16.0.2:80"],
}
# What is run, its exit code before the apply and after it; None: not run there.
READING: dict[str, tuple[int | None, int | None]] = {
    "plan FILE": (2, 0),
    "plan --json FILE": (2, 0),
    "check FILE": (2, 0),
    "check --json FILE": (2, 0),
    "list": (0, 0),
    "list --json": (0, 0),
    "doctor": (0, 0),
    "verify FILE": (None, 0),
    "lower FILE": (0, 0),
    "validate FILE": (0, 0),
    "schema": (0, 0),
    "plan nowhere.yaml": (1, 1),
    "exec test -- sh -c 'exit 7'": (None, 7),
    "confirm": (1, 1),
    "--help": (0, 0),
    "--version": (0, 0),
}


@pytest.mark.parametrize("stream", STREAMS)
def test_reading(stream: str, tmp_path: pathlib.Path) -> None:
    file = written(tmp_path)
    for turn in (0, 1):
        before = snapshot()
        for words, codes in READING.items():
            if codes[turn] is not None:
                assert run(words.replace("FILE", file), stream) == codes[turn], words
        assert snapshot() == before
        run(f"apply -q {file}", "")


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("words", ["", "--json"])
def test_changing(stream: str, words: str, tmp_path: pathlib.Path) -> None:
    file = written(tmp_path)
    assert run(f"apply {words} {file}", stream) == 0
    assert run(f"check {file}", "") == 0
    assert run(f"delete {words} {file}", stream) == 0
    assert "br0" not in sh("ip link")


def written(folder: pathlib.Path) -> str:
    path = folder / "case.yaml"
    path.write_text(json.dumps({"version": 1, "name": "case", **TOPOLOGY}))
    return str(path)


def run(words: str, stream: str) -> int:
    """The exit code; standard error has one line at most, but for mistakes of the caller."""
    line = f"{sys.executable} -m reconciler {words} {stream}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["/bin/bash", "-c", line], capture_output=True, text=True, check=False)
    assert done.stderr.count("\n") <= 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.returncode
