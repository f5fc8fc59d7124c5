"""A host between a LAN neighbour and two bridges with sandboxes, made with ip; NAT on it by our kinds."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from throwaway import sh as run

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.nftables import nft_tables
from reconciler.kernel.writer import Writer
from reconciler.kinds.context import Names, Parsed, Reading, Source
from reconciler.kinds.nat import isolation, masquerade, nft_table, port_map
from reconciler.kinds.nat.target_links import published_links
from reconciler.model.changes import Live
from reconciler.model.keys import HOST, Key, Origin
from reconciler.model.rows import LiveState, ScopeState

KINDS = {kind.name: kind for kind in (nft_table.KIND, isolation.KIND, masquerade.KIND, port_map.KIND)}
AGENT = pathlib.Path(__file__).with_name("packet_agent.py")

# without it, no neighbour is found in the first second: a router asks from its link-local address
NO_DAD = "net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.dad_transmits=0"

ADDRESSES = {
    "eth0": ("192.0.2.1/24", "192.0.2.7/24", "2001:db8::1/64", "2001:db8::7/64"),
    "br0": ("172.16.0.1/24", "fd00:16::1/64"),
    "br1": ("172.17.0.1/24", "fd00:17::1/64"),
}
# namespace: (link on the host, its master, addresses, gateways)
MACHINES: Mapping[str, tuple[str, str, tuple[str, str], tuple[str, str]]] = {
    "lan": ("eth0", "", ("192.0.2.9/24", "2001:db8::9/64"), ("192.0.2.1", "2001:db8::1")),
    "target": ("vt", "br0", ("172.16.0.2/24", "fd00:16::2/64"), ("172.16.0.1", "fd00:16::1")),
    "sibling": ("vs", "br0", ("172.16.0.3/24", "fd00:16::3/64"), ("172.16.0.1", "fd00:16::1")),
    "other": ("vo", "br1", ("172.17.0.2/24", "fd00:17::2/64"), ("172.17.0.1", "fd00:17::1")),
}


# ------------------------------------------------------------------ what a topology says, without the pipeline


def wanted(data: Mapping[str, Any], topology: str = "lab") -> dict[Key, Any]:
    """The NAT objects of a host scope with ADDRESSES on its links."""
    problems: list[str] = []
    source = Source(
        topology,
        HOST,
        data,
        lambda path: Origin("lab.yaml", 1, 1, path),
        lambda path, message: problems.append(f"{path}: {message}"),
    )
    objects: dict[Key, Any] = {
        Key("address", HOST, f"{link}/{address}"): SimpleNamespace(scope=HOST, link=link, address=address)
        for link, addresses in ADDRESSES.items()
        for address in addresses
    }
    links = {(HOST, link): Key("link", HOST, link) for link in ADDRESSES}
    origins: dict[Key, Origin] = {}
    names = Names(objects, links, {}, set(), topology, origins)
    for kind in KINDS.values():
        _add(kind.parse(source), names)
    for kind in KINDS.values():
        _add(kind.imply(names), names)
    for key, item in objects.items():
        if key.kind in KINDS:
            problems += [f"{key} {path}: {message}" for path, message in KINDS[key.kind].check(item, names)]
    assert not problems
    for link in published_links(names, HOST):
        run(f"sysctl -qw net.ipv4.conf.{link}.route_localnet=1")
    return {key: item for key, item in objects.items() if key.kind in KINDS}


def _add(parsed: Any, names: Names) -> None:
    found: list[Parsed] = list(parsed)
    for key, item, origin in found:
        names.objects[key] = item  # type: ignore[index]
        names.origins[key] = origin  # type: ignore[index]
    names.by_scope.clear()
    for key in names.objects:
        names.by_scope.setdefault((key.scope, key.kind), []).append(key)


def live(kernel: Kernel) -> dict[Key, Live]:
    """The NAT objects that the kernel holds."""
    state = ScopeState(HOST, tables=nft_tables.read_tables(kernel, HOST))
    reading = Reading(state, LiveState(), "", False, {})
    return dict(pair for kind in KINDS.values() for pair in kind.read(reading))


def differing(kernel: Kernel, desired: Mapping[Key, Any]) -> set[str]:
    """The keys, as text, of what is not as desired."""
    held = {key: item.object for key, item in live(kernel).items()}
    return {str(key) for key in held.keys() | desired.keys() if held.get(key) != desired.get(key)}


def converge(kernel: Kernel, desired: Mapping[Key, Any], owner: str = "lab") -> int:
    """One transaction to what is desired; the number of changes it took."""
    batch: list[list[Any]] = []
    held = {key: item.object for key, item in live(kernel).items()}
    for key in {**held, **desired}:
        kind, before, after = KINDS[key.kind], held.get(key), desired.get(key)
        if before is None:
            batch.append(list(kind.create(after, owner)))
        elif after is None:
            batch.append(list(kind.delete(before)))
        elif before != after:
            batch.append(list(kind.update(before, after, owner)))
    writer = Writer(kernel, {}, lambda scope, requests: nft_tables.transact(kernel, scope, requests))
    assert writer.send(batch) == [None] * len(batch)
    return len(batch)


# ------------------------------------------------------------------ machines


class Lab:
    """The machines and their agents; ``ask`` sends a probe from one of them."""

    def __init__(self) -> None:
        self.kernel = Kernel()
        self._agents: dict[str, subprocess.Popen[str]] = {}

    def start(self) -> None:
        run("ip link set lo up")
        run(f"sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 {NO_DAD}")
        for bridge in ("br0", "br1"):
            run(f"ip link add {bridge} type bridge && ip link set {bridge} up")
        for name in MACHINES:
            _make(name)
        for link, addresses in ADDRESSES.items():
            for address in addresses:
                run(f"ip addr add {address} dev {link} {_options(address)}")
        run("ip netns exec lan sysctl -qw net.ipv4.conf.all.route_localnet=1")
        run("ip -n lan route add 127.0.0.0/8 via 192.0.2.1")  # a neighbour that tries 127.0.0.1 on us
        for name in ("host", *MACHINES):
            self._agents[name] = _agent(name)
        for agent in self._agents.values():
            assert agent.stdout is not None
            assert agent.stdout.readline() == "ready\n"
        self._warm_up()

    def _warm_up(self) -> None:
        """Wait until everybody reaches everybody: the kernel switches a bridge's ports on in its own time.

        What is blocked later on is then blocked by the rules, and by nothing else.
        """
        for name, (_, _, addresses, _) in MACHINES.items():
            for address in addresses:
                for machine in {"host", *MACHINES} - {name}:
                    assert self.ask(machine, "tcp", address.partition("/")[0], 80, 60.0).startswith(name)

    def stop(self) -> None:
        for agent in self._agents.values():
            agent.kill()
            agent.communicate()
        for name in MACHINES:
            subprocess.run(f"ip netns del {name}; ip link del {MACHINES[name][0]}", shell=True, capture_output=True)
        subprocess.run("ip link del br0; ip link del br1; nft flush ruleset", shell=True, capture_output=True)
        self.kernel.close()

    def ask(self, machine: str, protocol: str, address: str, port: int, seconds: float = 10.0) -> str:
        agent = self._agents[machine]
        assert agent.stdin is not None
        assert agent.stdout is not None
        agent.stdin.write(json.dumps([protocol, address, port, seconds]) + "\n")
        agent.stdin.flush()
        return agent.stdout.readline().strip()

    def blocked(self, machine: str, protocol: str, address: str, port: int) -> bool:
        return self.ask(machine, protocol, address, port, 0.25) == "timeout"

    def apply(self, data: Mapping[str, Any]) -> dict[Key, Any]:
        desired = wanted(data)
        converge(self.kernel, desired)
        assert differing(self.kernel, desired) == set()
        return desired


def _options(address: str) -> str:
    if ":" not in address:
        return ""
    return (
        "nodad preferred_lft 0" if address.startswith("2001:db8::7") else "nodad"
    )  # no choice of source for the kernel


def _make(name: str) -> None:
    link, master, addresses, gateways = MACHINES[name]
    run(f"ip netns add {name} && ip netns exec {name} sysctl -qw {NO_DAD}")
    run(f"ip link add {link} type veth peer name eth0 netns {name}")
    run(f"ip link set {link} up && ip -n {name} link set eth0 up")
    if master:
        run(f"ip link set {link} master {master} && bridge link set dev {link} hairpin on")
    for address, gateway in zip(addresses, gateways, strict=True):
        run(f"ip -n {name} addr add {address} dev eth0 {'nodad' if ':' in address else ''}")
        run(f"ip -n {name} route add default via {gateway}")


def _agent(name: str) -> subprocess.Popen[str]:
    inside = [] if name == "host" else ["ip", "netns", "exec", name]
    ports = [] if name == "host" else ["80", "81"]
    command = [*inside, sys.executable, str(AGENT), name, *ports]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def refuse_real_machine() -> None:
    """Only in a network namespace with nothing in it may these tests do anything."""
    links = json.loads(run("ip -j link"))
    if [link["ifname"] for link in links] != ["lo"] or run("ls /run/netns 2>/dev/null || true"):
        pytest.fail("not in a throwaway network namespace")


def made() -> Iterator[Lab]:
    refuse_real_machine()
    lab = Lab()
    try:
        lab.start()
        yield lab
    finally:
        lab.stop()
