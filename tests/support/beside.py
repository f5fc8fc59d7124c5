"""A throwaway host with a LAN neighbour, on which netrecon and dockerd run side by side."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from typing import Any

from throwaway import sh

AGENT = pathlib.Path(__file__).with_name("packet_agent.py")
LAN, HOST = "192.0.2.9", "192.0.2.1"
TARGET, SIBLING = "10.61.0.2", "10.61.0.3"
TOPOLOGY: dict[str, Any] = {
    "version": 1,
    "name": "ours",
    "networks": {"web": {"subnets": ["10.61.0.0/24"]}},
    "sandboxes": {
        "target": {"endpoints": {"web": {"address": TARGET}}, "publish": ["8080:80", "8080:80/udp"]},
        "sibling": {"endpoints": {"web": {"address": SIBLING}}},
    },
}


def make() -> None:
    """The host's link to the LAN, and the neighbour there."""
    sh("ip netns add lan && ip link add up0 type veth peer name eth0 netns lan")
    sh(f"ip addr add {HOST}/24 dev up0 && ip link set up0 up && ip -n lan link set eth0 up")
    sh(f"ip -n lan addr add {LAN}/24 dev eth0 && ip -n lan route add default via {HOST}")


def rules_of_docker(tables: str) -> str:
    """All rules but netrecon's, as the iptables that dockerd calls shows them, and as nft does; without counters."""
    tool = f"iptables-{tables}"
    text = sh(f"{tool} -S && {tool} -t nat -S && nft --stateless list ruleset")
    return "\n".join(part.strip() for part in text.split("\ntable ") if not part.startswith("inet netrecon-"))


def rules_of_netrecon() -> str:
    """netrecon's own table."""
    return sh("nft --stateless list table inet netrecon-ours")


class Agents:
    """One process in each machine: it answers on port 80 with the machine's name, and asks others when told to."""

    def __init__(self) -> None:
        self._agents: dict[str, subprocess.Popen[str]] = {}

    def put(self, name: str, namespace: str = "") -> None:
        """Start one in a namespace, given as a file; "" for the host, where it only asks."""
        if name in self._agents:
            self.end(name)
        inside, ports = (["nsenter", f"--net={namespace}"], ["80"]) if namespace else ([], [])
        command = [*inside, sys.executable, str(AGENT), name, *ports]
        agent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._agents[name] = agent
        assert agent.stdout is not None
        assert agent.stdout.readline() == "ready\n"

    def ask(self, machine: str, address: str, port: int, protocol: str = "tcp", seconds: float = 2.0) -> str:
        """Who answers there; or "timeout", "refused", ..."""
        agent = self._agents[machine]
        assert agent.stdin is not None
        assert agent.stdout is not None
        agent.stdin.write(json.dumps([protocol, address, port, seconds]) + "\n")
        agent.stdin.flush()
        return agent.stdout.readline().split(" ")[0].strip()

    def names(self) -> set[str]:
        """The machines with an agent."""
        return set(self._agents)

    def end(self, *names: str) -> None:
        """End some, or all."""
        for name in names or tuple(self._agents):
            agent = self._agents.pop(name)
            agent.kill()
            agent.communicate()
