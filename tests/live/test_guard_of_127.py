"""A neighbour floods the host's 127.0.0.1 while ports are published and unpublished: no packet ever arrives."""

from __future__ import annotations

import contextlib
import json
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import throwaway
from throwaway import sh

from reconciler.cli import main

pytestmark = pytest.mark.live
PORT = 9999
NEIGHBOUR = (
    "ip netns add far",
    "ip link add ext0 type veth peer name f0 netns far",
    "ip link set ext0 up",
    "ip -n far link set f0 up",
    "ip -n far addr add 10.7.0.66/24 dev f0",
    "ip netns exec far sysctl -qw net.ipv4.conf.f0.route_localnet=1",
    "ip -n far route add 127.0.0.1/32 via 10.7.0.1 dev f0 src 10.7.0.66",
)
FLOOD = f"""
import socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
print("ready", flush=True)
while True:
    try:
        sock.sendto(b"in", ("127.0.0.1", {PORT}))
    except OSError:
        pass
"""
PLAIN = {"interfaces": {"ext0": {"addresses": ["10.7.0.1/24"]}}}
PUBLISHED = PLAIN | {"port_maps": ["127.0.0.1:8080:10.7.0.9:80", "8081:10.7.0.9:80"]}
ELSEWHERE = PLAIN | {"bridges": {"br0": {"addresses": ["10.8.0.1/24"]}}, "port_maps": ["8080:10.8.0.9:80"]}


@contextlib.contextmanager
def flooded() -> Iterator[socket.socket]:
    """The socket of the host that must hear nothing, while the neighbour sends to it."""
    for command in NEIGHBOUR:
        sh(command)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", PORT))
        listener.setblocking(False)
        command = ["ip", "netns", "exec", "far", sys.executable, "-c", FLOOD]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sender:
            try:
                assert sender.stdout is not None
                assert sender.stdout.readline() == "ready\n"
                yield listener
            finally:
                sender.kill()


def heard(listener: socket.socket) -> int:
    """How many packets came since the last call."""
    number = 0
    with contextlib.suppress(BlockingIOError):
        while listener.recv(16):
            number += 1
    return number


def apply(folder: pathlib.Path, topology: dict[str, Any]) -> None:
    path = folder / "topology.yaml"
    path.write_text(json.dumps({"version": 1, "name": "case", **topology}))
    assert main.main(["apply", "-q", str(path)]) == 0


def test_the_neighbour_would_get_there(tmp_path: pathlib.Path) -> None:
    """The flood is one: with the setting on and no rules it arrives."""
    with flooded() as listener:
        apply(tmp_path, PLAIN)
        time.sleep(0.2)
        assert heard(listener) == 0
        sh("sysctl -qw net.ipv4.conf.ext0.route_localnet=1")
        time.sleep(0.2)
        assert heard(listener) > 0


@pytest.mark.parametrize("lost", [False, True], ids=["record kept", "record lost"])
def test_no_packet_arrives(lost: bool, tmp_path: pathlib.Path) -> None:
    with flooded() as listener:
        for topology in (PLAIN, PUBLISHED, PLAIN, PUBLISHED, ELSEWHERE, PUBLISHED, ELSEWHERE, PLAIN, PUBLISHED, {}):
            apply(tmp_path, topology)
            if lost:
                for path in pathlib.Path("/run/netrecon").glob("*.json"):
                    path.unlink()
            assert heard(listener) == 0, topology
        assert throwaway.sh("sysctl -n net.ipv4.conf.ext0.route_localnet").strip() == "0"


def test_nor_while_the_topology_is_deleted(tmp_path: pathlib.Path) -> None:
    with flooded() as listener:
        for _ in range(5):
            apply(tmp_path, PUBLISHED)
            assert main.main(["delete", "-q", "--name", "case"]) == 0
            assert heard(listener) == 0
