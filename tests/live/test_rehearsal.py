"""What the kernel would refuse is known before the host is touched; and without root, before there is a host."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest
from big_plan import AFTER, BEFORE
from snapshot import differences, snapshot
from throwaway import sh

from reconciler.cli import main

pytestmark = pytest.mark.live
ROOT = pathlib.Path(__file__).parent.parent.parent
IMPOSSIBLE = {**AFTER, "routes": [*AFTER["routes"], {"to": "10.123.0.0/16", "via": "203.0.113.77"}]}


def written(folder: pathlib.Path, topology: dict[str, Any]) -> str:
    path = folder / "topology.yaml"
    path.write_text(json.dumps(topology))
    return str(path)


@pytest.fixture
def lived_in(tmp_path: pathlib.Path) -> None:
    """A host with hardware (a stand-in itself), a topology of ours and things of others."""
    sh("ip link add eth0 type veth peer name far0; ip link set eth0 up; ip link set far0 up")
    sh("ip addr add 192.0.2.10/24 dev eth0; ip route add default via 192.0.2.1 proto dhcp")
    assert main.main(["apply", "-q", written(tmp_path, BEFORE)]) == 0
    sh("ip route add 10.66.0.0/16 via 10.0.0.2 proto static")


def test_what_goes_well_is_said_and_nothing_is_touched(
    lived_in: None, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot()
    after = {**AFTER, "interfaces": {**AFTER["interfaces"], "eth0": {"addresses": ["192.0.2.11/24"]}}}
    assert main.main(["plan", "--rehearse", written(tmp_path, after)]) == 2
    captured = capsys.readouterr()
    assert "rehearsed in a throwaway copy" in captured.err
    assert "create" in captured.out
    assert differences(before, snapshot()) == []
    assert main.main(["apply", "-q", "--rehearse", written(tmp_path, after)]) == 0
    assert main.main(["check", written(tmp_path, after)]) == 0


def test_what_the_kernel_would_refuse_is_known_beforehand(
    lived_in: None, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot()
    for command in ("plan", "apply"):
        assert main.main([command, "--rehearse", written(tmp_path, IMPOSSIBLE)]) == 1
        message = capsys.readouterr().err
        assert "topology.yaml:1:" in message
        assert "create route/host/main/10.123.0.0/16 fails: Nexthop has invalid gateway" in message
        assert differences(before, snapshot()) == []


def test_the_copy_depends_on_what_is_live(
    lived_in: None, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A route whose gateway only an address made by hand reaches: good here, refused on an empty host."""
    topology = {"version": 1, "name": "more", "routes": [{"to": "10.200.0.0/16", "via": "192.0.2.77"}]}
    file = written(tmp_path, topology)
    assert main.main(["plan", "--rehearse", file]) == 2
    assert main.main(["rehearse", file]) == 1
    assert "10.200.0.0/16 fails" in capsys.readouterr().err


def without_root(*arguments: str) -> subprocess.CompletedProcess[str]:
    """As the user nobody, who can read the checkout but nothing more."""
    root = "/mnt/checkout"
    if not os.path.exists(root):
        sh(f"mount -t tmpfs none /mnt; mkdir {root}; cp -r {ROOT}/reconciler {ROOT}/schemas {root}/")
        sh(f"chmod -R a+rX {root}")
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    environment = {"PYTHONPATH": f"{root}:{packages}", "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-m", "reconciler"]
    return subprocess.run([*command, *arguments], cwd=root, env=environment, capture_output=True, text=True)


def readable(topology: dict[str, Any]) -> str:
    path = pathlib.Path("/mnt/topology.yaml")
    path.write_text(json.dumps(topology))
    path.chmod(0o644)
    return str(path)


def test_rehearsed_from_an_empty_host_without_root() -> None:
    if without_root("--version").returncode:
        pytest.skip("the user nobody may not run this Python")
    before = snapshot()
    done = without_root("rehearse", readable(BEFORE))
    if "forbids unprivileged user namespaces" in done.stderr:
        pytest.skip("this machine forbids unprivileged user namespaces")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "changes applied and verified" in done.stdout
    done = without_root("rehearse", readable(IMPOSSIBLE))
    assert done.returncode == 1
    assert "Nexthop has invalid gateway" in done.stderr
    assert differences(before, snapshot()) == []


@pytest.mark.parametrize("file", sorted((ROOT / "topologies").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_example_can_be_rehearsed(file: pathlib.Path) -> None:
    assert main.main(["rehearse", "-q", str(file)]) == 0


def test_a_machine_that_forbids_it_says_so_in_a_line() -> None:
    if without_root("--version").returncode:
        pytest.skip("the user nobody may not run this Python")
    limit = pathlib.Path("/proc/sys/user/max_user_namespaces")
    kept = limit.read_text()
    try:
        limit.write_text("0")
    except OSError:
        pytest.skip("user.max_user_namespaces cannot be set here")
    try:
        done = without_root("rehearse", readable(BEFORE))
    finally:
        limit.write_text(kept)
    assert done.returncode == 1
    assert "forbids unprivileged user namespaces" in done.stderr
    assert done.stderr.count("\n") == 1
