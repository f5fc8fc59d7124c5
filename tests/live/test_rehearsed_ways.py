"""A copy of the host tells by which way the kernel will send a session's packets after the plan."""

from __future__ import annotations

import json
import pathlib
import threading
from typing import Any

import pytest
from throwaway import sh

from reconciler.cli import main
from reconciler.run import rehearsed_ways

pytestmark = pytest.mark.live
PEER = "198.51.100.7"
SETUP = (
    "ip link add up0 type veth peer name far0; ip link add up1 type veth peer name far1",
    "ip link set up0 up; ip link set up1 up; ip link set far0 up; ip link set far1 up",
    "ip addr add 203.0.113.1/24 dev up0; ip addr add 192.0.2.1/24 dev up1",
    "ip route add default via 203.0.113.2",
)
NEARER: dict[str, Any] = {"routes": [{"to": "198.51.100.0/24", "via": "192.0.2.2", "table": 100}]}


def applied(folder: pathlib.Path, topology: dict[str, Any]) -> int:
    path = folder / "net.yaml"
    path.write_text(json.dumps({"version": 1, "name": "g", **topology}))
    return main.main(["apply", "-q", str(path)])


@pytest.fixture(autouse=True)
def session(monkeypatch: pytest.MonkeyPatch, host: None) -> None:
    for command in SETUP:
        sh(command)
    monkeypatch.setenv("SSH_CONNECTION", f"{PEER} 50000 203.0.113.1 22")
    monkeypatch.setattr(rehearsed_ways, "_may_fork", lambda: True)  # where tests run side by side they have threads


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ("ip rule add uidrange 0-0 lookup 100", 1),  # only the kernel knows whose socket it is
        ("ip rule add uidrange 7-7 lookup 100", 0),
        ("ip rule add goto 500 pref 90; ip rule add lookup 100 pref 500", 1),
        ("ip rule add goto 500 pref 90; ip rule add lookup 100 pref 200; ip rule add lookup main pref 500", 0),
    ],
)
def test_rule_that_only_the_kernel_understands(
    rule: str, code: int, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sh(rule)
    assert applied(tmp_path, NEARER) == code
    said = capsys.readouterr().err
    text = f"the way to {PEER} would change from dev up0 via 203.0.113.2 to dev up1 via 192.0.2.2"
    assert (text in said) == bool(code)


def test_process_has_its_threads_again(tmp_path: pathlib.Path) -> None:
    sh("ip rule add uidrange 7-7 lookup 100")
    before = threading.active_count()
    assert applied(tmp_path, NEARER) == 0
    assert threading.active_count() == before
    assert sh("ip route show table 100").strip().startswith("198.51.100.0/24 via 192.0.2.2 dev up1")
