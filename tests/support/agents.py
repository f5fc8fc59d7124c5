"""A host with networks, an uplink, and a process in each namespace that answers and asks with real packets."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from nat_lab import AGENT, NO_DAD
from throwaway import sh

from reconciler.cli import main

NETWORKS = """
networks:
  web: {subnets: [172.20.0.0/24, "fd00:20::/64"]}
  other: {subnets: [172.21.0.0/24], allow: [web]}
  quiet: {subnets: [172.22.0.0/24], icc: false}
  closed: {subnets: [172.23.0.0/24], internal: true}
  plain: {subnets: [172.24.0.0/24], masquerade: false}
sandboxes:
  a: {endpoints: {web: {address: [172.20.0.2, "fd00:20::2"]}}, publish: ["9000:80", "9000:80/udp", "127.0.0.1:9001:80"]}
  b: {endpoints: {web: {}, closed: {}}}
  o: {endpoints: {other: {}}}
  q1: {endpoints: {quiet: {}}, publish: ["9002:80"], routes: [{to: 172.22.0.3, via: 172.22.0.1}]}
  q2: {endpoints: {quiet: {}}, routes: [{to: 172.22.0.2, via: 172.22.0.1}]}
  c: {endpoints: {closed: {}}, routes: [{to: 192.0.2.0/24, via: 172.23.0.1}]}
  p: {endpoints: {plain: {}}}
"""


def netrecon(*arguments: str) -> int:
    return main.main(list(arguments))


def written(folder: pathlib.Path, text: str, name: str = "lab") -> str:
    file = folder / f"{name}.yaml"
    file.write_text(f"version: 1\nname: {name}\n{text}")
    return str(file)


def uplink(mtu: int = 1500) -> None:
    """A neighbour ``lan`` on the host's link eth0, which is the way out; it routes the sandboxes' subnets to us."""
    sh(f"ip netns add lan && ip netns exec lan sysctl -qw {NO_DAD} && sysctl -qw {NO_DAD}")
    sh(f"ip link add eth0 mtu {mtu} type veth peer name eth0 mtu {mtu} netns lan")
    sh("ip link set eth0 up && ip -n lan link set eth0 up && ip -n lan link set lo up")
    for family, ours, theirs in (("", "192.0.2.1/24", "192.0.2.9/24"), ("-6", "2001:db8::1/64", "2001:db8::9/64")):
        nodad = "nodad" if family else ""
        sh(f"ip addr add {ours} dev eth0 {nodad} && ip -n lan addr add {theirs} dev eth0 {nodad}")
        sh(f"ip {family} route add default via {theirs.partition('/')[0]}")
    sh("ip -n lan route add 172.16.0.0/12 via 192.0.2.1")


class Agents:
    """A process in each namespace that answers on port 80 (the host's on 81), and asks when it is told to."""

    def __init__(self, names: list[str]) -> None:
        self._running = {name: self._start(name) for name in names}
        for process in self._running.values():
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"

    def _start(self, name: str) -> subprocess.Popen[str]:
        inside = [] if name == "host" else ["ip", "netns", "exec", name]
        command = [*inside, sys.executable, str(AGENT), name, "81" if name == "host" else "80"]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line: str, patient: bool) -> str:
        name, protocol, to, port = line.split()
        process = self._running[name]
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps([protocol, to, int(port), 3.0 if patient else 0.25]) + "\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    def stop(self) -> None:
        for process in self._running.values():
            process.kill()
            process.communicate()


@contextmanager
def agents(*names: str) -> Iterator[Agents]:
    running = Agents(list(names))
    try:
        yield running
    finally:
        running.stop()
