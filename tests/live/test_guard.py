"""A plan that would cut off whoever runs it is refused with its reason, and nothing else is."""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Any

import pytest
from snapshot import differences, snapshot
from throwaway import sh

from reconciler.cli import main

pytestmark = pytest.mark.live
# eth0 leads to a LAN with the administrator's machine (192.0.2.9, SSH from there) and the router 192.0.2.1
SETUP = [
    "ip netns add lan",
    "ip link add eth0 type veth peer name far0 netns lan",
    "ip addr add 192.0.2.10/24 dev eth0",
    "ip link set eth0 up",
    "ip -n lan addr add 192.0.2.9/24 dev far0",
    "ip -n lan link set far0 up",
    "ip route add default via 192.0.2.1",
]
NEAR, FAR = "192.0.2.9", "198.51.100.7"
HARMLESS: dict[str, Any] = {"bridges": {"br0": {"addresses": ["10.0.0.1/24"]}}, "port_maps": ["8022:10.0.0.2:22"]}
CUTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "the link goes down": (NEAR, {"interfaces": {"eth0": {"up": False}}}, "behind eth0"),
    "the link becomes a port": (
        FAR,
        {"bridges": {"br0": {}}, "interfaces": {"eth0": {"master": "br0"}}},
        "behind eth0",
    ),
    "a nearer route elsewhere": (
        NEAR,
        {"bridges": {"br0": {"addresses": ["192.0.2.14/29"]}}},
        "would change from 192.0.2.0/24 dev eth0 to 192.0.2.8/29 dev br0",
    ),
    "a route to nowhere": (
        FAR,
        {"routes": [{"to": "198.51.100.0/24", "type": "blackhole"}]},
        "no route to 198.51.100.7",
    ),
    "its port is published": (
        NEAR,
        {"bridges": {"br0": {"addresses": ["10.0.0.1/24"]}}, "port_maps": ["22:10.0.0.2:22"]},
        "to port 22 elsewhere",
    ),
}


@pytest.fixture
def ssh(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for command in SETUP:
        sh(command)
    return monkeypatch


def written(folder: pathlib.Path, topology: dict[str, Any]) -> str:
    path = folder / "guard.yaml"
    path.write_text(json.dumps({"version": 1, "name": "guard", **topology}))
    return str(path)


@pytest.mark.parametrize(("peer", "topology", "reason"), CUTS.values(), ids=list(CUTS))
def test_cut_is_refused(
    peer: str,
    topology: dict[str, Any],
    reason: str,
    ssh: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ssh.setenv("SSH_CONNECTION", f"{peer} 50000 192.0.2.10 22")
    before = snapshot()
    assert main.main(["apply", written(tmp_path, topology)]) == 1
    message = capsys.readouterr().err
    assert reason in message
    assert "--confirm-within" in message
    assert differences(before, snapshot()) == []
    assert main.main(["apply", "-q", "--force", written(tmp_path, topology)]) == 0


def test_what_does_not_concern_the_session_goes_through(ssh: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    ssh.setenv("SSH_CONNECTION", f"{FAR} 50000 192.0.2.10 22")
    assert main.main(["apply", "-q", written(tmp_path, HARMLESS)]) == 0
    assert main.main(["delete", "-q", "--name", "guard"]) == 0


def test_protected_address_counts_like_a_session(
    ssh: pytest.MonkeyPatch, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ssh.delenv("SSH_CONNECTION", raising=False)
    file = written(tmp_path, {"routes": [{"to": "198.51.100.0/24", "type": "blackhole"}]})
    assert main.main(["apply", "--protect", "198.51.100.7", file]) == 1
    assert "no route to 198.51.100.7" in capsys.readouterr().err
    assert main.main(["apply", "-q", "--protect", "203.0.113.1", file]) == 0
    assert main.main(["apply", "--protect", "nonsense", file]) == 1


def test_address_of_the_session_goes(
    ssh: pytest.MonkeyPatch, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main.main(["apply", "-q", written(tmp_path, {"interfaces": {"eth0": {"addresses": ["192.0.2.20/24"]}}})]) == 0
    )
    ssh.setenv("SSH_CONNECTION", f"{NEAR} 50000 192.0.2.20 22")
    assert main.main(["delete", "--name", "guard"]) == 1
    assert "the address 192.0.2.20 would go" in capsys.readouterr().err


def test_only_default_route_goes(
    ssh: pytest.MonkeyPatch, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ssh.delenv("SSH_CONNECTION", raising=False)
    sh("ip route del default")
    assert main.main(["apply", "-q", written(tmp_path, {"routes": [{"to": "default", "via": "192.0.2.1"}]})]) == 0
    assert main.main(["delete", "--name", "guard"]) == 1
    assert "the host's only IPv4 default route" in capsys.readouterr().err
    sh("ip route add default via 192.0.2.2 metric 500")
    assert main.main(["delete", "-q", "--name", "guard"]) == 0


def test_bridge_port_behind_which_the_session_is(
    ssh: pytest.MonkeyPatch, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    topology = {
        "bridges": {"br0": {"addresses": ["10.3.0.1/24"]}},
        "veths": {
            "v0": {"master": "br0", "peer": {"namespace": "admin", "name": "eth0", "addresses": ["10.3.0.2/24"]}},
            "v1": {"master": "br0", "peer": {"namespace": "other", "name": "eth0", "addresses": ["10.3.0.3/24"]}},
        },
        "namespaces": {"admin": {}, "other": {}},
    }
    assert main.main(["apply", "-q", written(tmp_path, topology)]) == 0
    sh("ip netns exec admin ping -c1 -W2 10.3.0.1")
    ssh.setenv("SSH_CONNECTION", "10.3.0.2 50000 10.3.0.1 22")
    without = {**topology, "veths": {"v0": topology["veths"]["v0"]}}
    assert main.main(["apply", "-q", written(tmp_path, without)]) == 0  # v1 leads elsewhere
    sh("ping -c1 -W2 10.3.0.2")  # the bridge may have another MAC now, and forgot its neighbours
    assert main.main(["apply", written(tmp_path, {**topology, "veths": {}})]) == 1
    assert "behind v0" in capsys.readouterr().err


def test_session_is_found_above_sudo(ssh: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    ssh.delenv("SSH_CONNECTION", raising=False)
    file = written(tmp_path, {"interfaces": {"eth0": {"up": False}}})
    root = pathlib.Path(__file__).parent.parent.parent
    run = f"cd {root}; env -u SSH_CONNECTION {sys.executable} -m reconciler apply {file}; echo code $?; true"
    found = sh(f"SSH_CONNECTION='{NEAR} 50000 192.0.2.10 22' sh -c '{run}' 2>&1")
    assert "code 1" in found
    assert "behind eth0" in found
