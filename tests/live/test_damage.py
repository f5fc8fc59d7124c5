"""Damage to a published service: check names it, apply repairs it and nothing else, and packets arrive again."""

from __future__ import annotations

import contextlib
import json
import pathlib
import socket
import threading
from typing import Any

import pytest
from snapshot import differences, snapshot
from throwaway import inside, sh

from reconciler.cli import main

pytestmark = pytest.mark.live

TOPOLOGY: dict[str, Any] = {
    "version": 1,
    "name": "case",
    "bridges": {"br0": {"mtu": 1400, "mac": "02:00:00:00:00:01", "addresses": ["172.16.0.1/24", "fd00:16::1/64"]}},
    "veths": {
        "v0": {
            "master": "br0",
            "mtu": 1400,
            "mac": "02:00:00:00:00:02",
            "peer": {
                "namespace": "test",
                "name": "eth0",
                "mac": "02:00:00:00:00:03",
                "addresses": ["172.16.0.2/24", "fd00:16::2/64"],
            },
        }
    },
    "sysctls": {"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1},
    "port_maps": ["9091:172.16.0.2:80", "[::]:9091:[fd00:16::2]:80", "127.0.0.1:40000:172.16.0.2:80/udp"],
    "masquerades": [{"source": "172.16.0.0/24"}, {"source": "fd00:16::/64"}],
    "isolations": [{"link": "br0"}],
    "namespaces": {
        "test": {"routes": [{"to": "default", "via": "172.16.0.1"}, {"to": "default", "via": "fd00:16::1"}]}
    },
}
LAN = """set -e
sysctl -qw net.ipv6.conf.default.accept_dad=0
ip netns add lan; ip link add eth0 type veth peer name eth0 netns lan
ip addr add 192.0.2.1/24 dev eth0; ip addr add 2001:db8::1/64 dev eth0 nodad; ip link set eth0 up
ip -n lan addr add 192.0.2.9/24 dev eth0; ip -n lan addr add 2001:db8::9/64 dev eth0 nodad; ip -n lan link set eth0 up
"""
TABLE = "nft_table/host/netrecon-case"
MAP = "port_map/host/tcp/0.0.0.0:9091"
NFT = "nft {} inet netrecon-case"
REMOVE, ADD = NFT.format("delete element"), NFT.format("add element")

# what is done by hand -> the changes by which it is to be repaired
DAMAGE: dict[str, tuple[str, set[str]]] = {
    "host_veth_down": ("ip link set v0 down", {"update veth/host/v0"}),
    "bridge_down": ("ip link set br0 down", {"update bridge/host/br0", "create address/host/br0/fd00:16::1/64"}),
    "gateway_address_gone": ("ip addr del 172.16.0.1/24 dev br0", {"create address/host/br0/172.16.0.1/24"}),
    "ip_forward_off": ("sysctl -qw net.ipv4.ip_forward=0", {"update sysctl/host/net.ipv4.ip_forward"}),
    "hairpin_off": ("bridge link set dev v0 hairpin off", {"update veth/host/v0"}),
    "mtu_changed": ("ip link set br0 mtu 1300", {"update bridge/host/br0"}),
    "mtu_of_the_peer_changed": ("ip -n test link set eth0 mtu 1300", set()),
    "extra_address": ("ip addr add 172.16.0.9/24 dev br0", {"delete address/host/br0/172.16.0.9/24"}),
    "extra_address_inside": ("ip -n test addr add 10.1.1.1/32 dev eth0", {"delete address/test/eth0/10.1.1.1/32"}),
    "dnat_retargeted": (
        f"{REMOVE} pub_any4 '{{ tcp . 9091 }}'; {ADD} pub_any4 '{{ tcp . 9091 : 172.16.0.9 . 80 }}'",
        {f"update {MAP}"},
    ),
    "prerouting_jump_gone": (f"{NFT.format('flush chain')} prerouting", {f"update {TABLE}"}),
    "masquerade_gone": (
        f"{NFT.format('delete element')} masq4 '{{ 172.16.0.0/24 }}'",
        {"update masquerade/host/172.16.0.0/24"},
    ),
    "isolation_gone": (f"{NFT.format('flush set')} isolated", {"update isolation/host/br0"}),
    "container_address_gone": (
        "ip -n test addr del 172.16.0.2/24 dev eth0",
        {"create address/test/eth0/172.16.0.2/24", "create route/test/main/default"},
    ),
    "container_route_gone": ("ip -n test route del default", {"create route/test/main/default"}),
    "veth_moved_off_the_bridge": ("ip link set v0 nomaster", {"update veth/host/v0"}),
    "table_deleted": (
        f"{NFT.format('delete table')}",
        {
            f"create {TABLE}",
            "create isolation/host/br0",
            "create masquerade/host/172.16.0.0/24",
            "create masquerade/host/fd00:16::/64",
            f"create {MAP}",
            "create port_map/host/tcp/[::]:9091",
            "create port_map/host/udp/127.0.0.1:40000",
        },
    ),
    "port_map_removed": (f"{REMOVE} pub_any4 '{{ tcp . 9091 }}'", {f"create {MAP}"}),
    "route_localnet_off": (
        "sysctl -qw net.ipv4.conf.br0.route_localnet=0",
        {"update sysctl/host/net.ipv4.conf.br0.route_localnet"},
    ),
    "reserved_ports_freed": ("sysctl -qw net.ipv4.ip_local_reserved_ports=", {"update reserved_ports/host/case"}),
    "veth_deleted": (
        "ip link del v0",
        {
            "create veth/host/v0",
            "create address/test/eth0/172.16.0.2/24",
            "create address/test/eth0/fd00:16::2/64",
            "create route/test/main/default",
            "create route/test/main/::/0",
        },
    ),
    "namespace_deleted": (
        "ip netns del test; while ip link show v0 >/dev/null 2>&1; do sleep 0.05; done",
        {"create namespace/host/test", "create veth/host/v0"},
    ),
}
UNMANAGED = {"mtu_of_the_peer_changed"}  # what the topology does not say is nobody's business


@pytest.fixture
def file(tmp_path: pathlib.Path) -> str:
    sh(LAN)
    path = tmp_path / "case.yaml"
    path.write_text(json.dumps(TOPOLOGY))
    assert main.main(["apply", "-q", str(path)]) == 0
    return str(path)


def answers(address: str, scope: str = "lan") -> bool:
    """Whether a real server in the namespace is reached at the address, by way of the published port."""
    with inside("test", _listen) as listener:
        threading.Thread(target=_serve, args=(listener,), daemon=True).start()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with inside(scope, socket.socket, family, socket.SOCK_STREAM) as client:
            client.settimeout(20)
            client.connect((address, 9091))
            return client.recv(16) == b"hello"


def _listen() -> socket.socket:
    return socket.create_server(("::", 80), family=socket.AF_INET6, dualstack_ipv6=True)


def _serve(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"hello")


@pytest.mark.parametrize("name", DAMAGE)
def test_damage(name: str, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    command, keys = DAMAGE[name]
    for address in ("192.0.2.1", "2001:db8::1"):
        assert answers(address)
    whole = snapshot()
    capsys.readouterr()
    sh(command)
    damaged = snapshot()
    code = main.main(["check", "--json", file])
    document = json.loads(capsys.readouterr().out)
    assert differences(damaged, snapshot()) == [], "check changed something"
    if name in UNMANAGED:
        assert (code, document["changes"]) == (0, [])
        return
    assert code == 2
    assert keys <= {f"{change['action']} {change['key']}" for change in document["changes"]}
    assert len(document["changes"]) == len(keys) or name == "namespace_deleted"
    assert main.main(["apply", "-q", file]) == 0
    assert main.main(["check", file]) == 0
    assert differences(whole, snapshot()) == []
    for address in ("192.0.2.1", "2001:db8::1"):
        assert answers(address)
    assert answers("127.0.0.1", "host")
