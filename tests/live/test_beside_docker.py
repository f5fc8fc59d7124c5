"""netrecon and a real dockerd on one host: both keep working, whoever comes first, restarts or goes."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from beside import HOST, LAN, TARGET, TOPOLOGY, Agents, make, rules_of_docker, rules_of_netrecon
from command import Netrecon
from dockerd import Dockerd, running
from throwaway import sh

pytestmark = pytest.mark.live
OTHERS = ("8090:80/tcp", "8090:80/udp")
SAME = ("8080:80/tcp", "8080:80/udp")
TABLES = ("nft", "legacy")


class Beside:
    """The host with both on it, and somebody in every machine."""

    def __init__(self, netrecon: Netrecon, daemon: Dockerd, agents: Agents, tables: str) -> None:
        self.netrecon, self.daemon, self.tables = netrecon, daemon, tables
        self._agents = agents
        self.file = netrecon.file(TOPOLOGY)

    def begin(self, first: str, *publish: str) -> None:
        """Both, in this order."""
        steps: dict[str, Callable[[], object]] = {"netrecon": self.apply, "docker": lambda: self.box(*publish)}
        for name in sorted(steps, key=lambda name: name != first):
            steps[name]()
        self._agents.put("host")
        self._agents.put("lan", "/run/netns/lan")

    def apply(self) -> str:
        """What apply says with -q."""
        said = self.netrecon("apply", "-q", self.file)
        for name in ("target", "sibling"):
            self._agents.put(name, f"/run/netns/{name}")
        return said

    def delete(self) -> None:
        self._agents.end("target", "sibling")  # a namespace with a process in it stays
        self.netrecon("delete", "-q", self.file)

    def box(self, *publish: str) -> None:
        """A container that comes back with dockerd."""
        self.daemon.start()
        self.daemon.run("box", *publish, restart="always")
        self.attend_box()

    def attend_box(self) -> None:
        """Somebody in the container that now runs."""
        self._agents.put("box", f"/proc/{self.daemon.pid('box')}/ns/net")

    def leave_box(self) -> None:
        """The container goes."""
        self._agents.end("box")
        self.daemon.remove("box")

    def let_through(self) -> None:
        """Follow doctor's advice to the letter: then it has nothing more to say."""
        before = self.rules()
        findings = self.findings()
        assert {one["topic"] for one in findings} == {"barrier"}
        assert self.rules() == before
        commands = [command for one in findings for command in one["commands"]]
        assert all(command.split()[:3] == [self.tool, "-I", "DOCKER-USER"] for command in commands)
        for command in commands:
            sh(command)
        assert self.findings() == []

    def findings(self) -> list[dict[str, Any]]:
        """What doctor finds; check has the same as warnings."""
        found: list[dict[str, Any]] = self.netrecon.json("doctor", self.file, code=None)["findings"]
        warnings = self.netrecon.json("check", self.file)["warnings"]
        assert [{**one, "refuses": False} for one in found] == [{**one, "refuses": False} for one in warnings]
        return found

    def says_who_gets(self, winner: str) -> None:
        """Of the port that both publish; of a table of iptables-legacy the kernel does not tell how old it is."""
        found = {(one["topic"], one["key"]): one for one in self.findings()}
        assert all(one["commands"] == [] for one in found.values())  # a person decides whose port it is
        for protocol in ("tcp", "udp"):
            key = f"port_map/host/{protocol}/0.0.0.0:8080"
            listener = found.pop(("listener", key))["message"]
            assert ("goes to 10.61.0.2:80" in listener) == (winner == "target" or self.tables == "legacy")
            if winner == "box" or self.tables == "legacy":
                message = found.pop(("taken", key))["message"]
                assert "chain DOCKER of table ip nat" in message
                assert ("before or after netrecon" in message) == (self.tables == "legacy")
                taken, _, spared = message.partition("; netrecon's target gets it only ")
                assert "from 192.0.2.0/24 by up0, from this host, from its neighbour 10.61.0.3" in taken
                assert spared == "from 172.17.0.0/16 by docker0, from this host to 127.0.0.1"
        assert not found

    @property
    def tool(self) -> str:
        """The command that has dockerd's rules."""
        return "iptables" if self.tables == "nft" else "iptables-legacy"

    def answers(self, machine: str, address: str, port: int, seconds: float = 3.0) -> str:
        """Who answers, the same over TCP and over UDP."""
        over_tcp, over_udp = (self._agents.ask(machine, address, port, one, seconds) for one in ("tcp", "udp"))
        assert over_tcp == over_udp
        return over_udp

    def ours_work(self) -> None:
        """Ports and networks of netrecon, from everywhere."""
        for machine in self._agents.names():
            assert self.answers(machine, HOST, 8080) == "target", machine
        assert self.answers("host", "127.0.0.1", 8080) == "target"
        assert self.answers("sibling", TARGET, 80) == "target"
        assert self.answers("sibling", LAN, 80) == "lan"
        for machine in self._agents.names() & {"lan", "box"}:
            assert self.answers(machine, TARGET, 80, 0.3) == "timeout", f"{machine} passes the isolation"

    def dockers_work(self) -> None:
        """The container's port, and its way out."""
        for machine in self._agents.names() - {"target", "box"}:  # "box" would be answered by another address
            assert self.answers(machine, HOST, 8090) == "box", machine
        assert self.answers("box", LAN, 80) == "lan"

    def rules(self) -> str:
        return rules_of_docker(self.tables)

    def in_sync(self) -> None:
        assert self.netrecon("check", self.file) == ""


@pytest.fixture(params=TABLES)
def beside(
    request: pytest.FixtureRequest, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Beside]:
    make()
    agents = Agents()
    with running(request.param) as daemon:
        try:
            yield Beside(Netrecon(tmp_path, capsys), daemon, agents, request.param)
        finally:
            agents.end()


@pytest.mark.parametrize("first", ["docker", "netrecon"])
def test_each_keeps_working_whatever_the_other_does(beside: Beside, first: str) -> None:
    beside.begin(first, *OTHERS)
    # dockerd lets FORWARD drop only where it is the one that turns forwarding on
    assert f"-P FORWARD {'DROP' if first == 'docker' else 'ACCEPT'}" in beside.rules()
    if first == "docker":
        beside.let_through()
    docker, ours = beside.rules(), rules_of_netrecon()
    beside.ours_work()
    beside.dockers_work()

    assert beside.apply() == ""  # a second time
    beside.in_sync()
    assert (beside.rules(), rules_of_netrecon()) == (docker, ours)

    for _ in range(2 if beside.tables == "nft" else 1):
        beside.daemon.restart()
        beside.attend_box()
        # dockerd adds the rules of a container's ports in any order
        assert sorted(beside.rules().splitlines()) == sorted(docker.splitlines())
        assert rules_of_netrecon() == ours
        docker = beside.rules()
        beside.in_sync()
        beside.ours_work()
        beside.dockers_work()

    beside.delete()
    assert beside.rules() == docker
    beside.dockers_work()
    beside.apply()
    assert (beside.rules(), rules_of_netrecon()) == (docker, ours)
    beside.ours_work()

    beside.leave_box()
    beside.daemon.stop()
    assert rules_of_netrecon() == ours
    beside.in_sync()
    beside.ours_work()


@pytest.mark.parametrize("first", ["docker", "netrecon"])
def test_one_port_published_by_both(beside: Beside, first: str) -> None:
    beside.begin(first, *SAME)
    sh(f"{beside.tool} -P FORWARD ACCEPT")
    docker, ours = beside.rules(), rules_of_netrecon()
    # of two chains of one priority the kernel asks the one first that came last
    winner = "box" if first == "netrecon" else "target"
    for machine in ("lan", "host", "sibling"):
        assert beside.answers(machine, HOST, 8080) == winner
    assert beside.answers("host", "127.0.0.1", 8080) == "target"  # Docker's rules leave 127.0.0.0/8 to its proxy
    beside.in_sync()
    beside.says_who_gets(winner)
    beside.daemon.restart()
    beside.attend_box()
    assert beside.answers("lan", HOST, 8080) == winner  # its chains were there before
    beside.says_who_gets(winner)
    docker = beside.rules()

    beside.delete()
    assert beside.rules() == docker
    for machine in ("lan", "host"):
        assert beside.answers(machine, HOST, 8080) == "box"
    beside.apply()
    assert (beside.rules(), rules_of_netrecon()) == (docker, ours)
    for machine in ("lan", "host", "sibling"):
        assert beside.answers(machine, HOST, 8080) == "target"  # netrecon now came last
    beside.says_who_gets("target")

    beside.leave_box()
    for machine in ("lan", "host", "sibling"):
        assert beside.answers(machine, HOST, 8080) == "target"
    assert rules_of_netrecon() == ours


def test_containers_stay_up_while_dockerd_is_away(beside: Beside) -> None:
    beside.daemon.options("--live-restore")
    beside.begin("docker", *OTHERS)
    beside.let_through()
    docker = beside.rules()
    beside.daemon.stop()
    beside.dockers_work()
    beside.apply()
    beside.delete()
    beside.apply()
    beside.ours_work()
    beside.dockers_work()
    beside.daemon.start()
    assert sorted(beside.rules().splitlines()) == sorted(docker.splitlines())
    beside.ours_work()
    beside.dockers_work()


def test_apply_says_that_a_port_does_not_work_from_outside(beside: Beside) -> None:
    beside.begin("docker", *OTHERS)
    end = "do not work from outside; netrecon doctor says why and what to do\n"
    line = f"netrecon: the 2 published ports tcp/0.0.0.0:8080, udp/0.0.0.0:8080 {end}"
    assert beside.apply() == line
    assert beside.answers("lan", HOST, 8080, 0.3) == "timeout"
    assert end not in beside.netrecon("apply", beside.file)  # there the findings stand in the plan
    assert beside.netrecon("check", beside.file) == ""
    beside.delete()
    assert beside.apply() == line  # where nothing of netrecon's is there yet
    beside.let_through()
    assert beside.apply() == ""
    beside.ours_work()
