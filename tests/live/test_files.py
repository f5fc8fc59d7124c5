"""Several topologies in one run, with real packets: networks that they share, and objects that change their owner."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from agents import NETWORKS, Agents, netrecon, uplink, written
from throwaway import sh

pytestmark = pytest.mark.live

GUEST = """
networks:
  web: {external: lab}
  still: {external: lab, name: quiet}
  inner: {external: lab, name: closed}
sandboxes:
  ga: {endpoints: {web: {address: [172.20.0.9, "fd00:20::9"]}}, publish: ["9100:80"]}
  gq: {endpoints: {still: {address: 172.22.0.9}}, publish: ["9102:80"], routes: [{to: 172.22.0.2, via: 172.22.0.1}]}
  gc: {endpoints: {inner: {address: 172.23.0.9}}, routes: [{to: 192.0.2.0/24, via: 172.23.0.1}]}
"""
REACHES = """
# on one network, in both directions
ga tcp 172.20.0.2 80 a 172.20.0.9
ga tcp fd00:20::2 80 a fd00:20::9
a tcp 172.20.0.9 80 ga 172.20.0.2
a tcp fd00:20::9 80 ga fd00:20::2
gc tcp 172.23.0.1 81 host 172.23.0.9
# masqueraded, isolated, internal, apart
ga tcp 192.0.2.9 80 lan 192.0.2.1
ga tcp 2001:db8::9 80 lan 2001:db8::1
lan tcp 172.20.0.9 80 -
o tcp 172.20.0.9 80 -
gc tcp 192.0.2.9 80 -
gq tcp 172.22.0.2 80 -
q1 tcp 172.22.0.9 80 -
# published ports: from outside, from the host, a neighbour and itself
lan tcp 192.0.2.1 9100 ga 192.0.2.9
lan tcp 2001:db8::1 9100 ga 2001:db8::9
lan tcp 192.0.2.1 9102 gq 192.0.2.9
host tcp 127.0.0.1 9100 ga 172.20.0.1
a tcp 172.20.0.1 9100 ga 172.20.0.1
ga tcp 172.20.0.1 9100 ga 172.20.0.1
ga tcp fd00:20::1 9100 ga fd00:20::1
gq tcp 172.22.0.1 9102 gq 172.22.0.1
gq tcp 172.22.0.1 9002 q1 172.22.0.1
"""


NAMES = ["host", "lan", "a", "o", "q1", "ga", "gq", "gc"]


@pytest.mark.parametrize("bridge_nf", [0, 1])
@pytest.mark.parametrize("together", [True, False], ids=["together", "one_after_the_other"])
def test_sandboxes_of_two_files_on_one_network(together: bool, bridge_nf: int, tmp_path: pathlib.Path) -> None:
    shop, guest = written(tmp_path, NETWORKS), written(tmp_path, GUEST, "guest")
    uplink()
    if pathlib.Path("/proc/sys/net/bridge").exists():
        sh(f"sysctl -qw net.bridge.bridge-nf-call-iptables={bridge_nf} net.bridge.bridge-nf-call-ip6tables={bridge_nf}")
    elif bridge_nf:
        pytest.skip("this kernel has no br_netfilter")
    for files in [[guest, shop]] if together else [[shop], [guest]]:
        assert netrecon("apply", "-q", *files) == 0
    for files in ([shop], [guest], [guest, shop]):
        assert netrecon("check", "-v", *files) == 0, files
    agents, wrong = Agents(NAMES), []
    try:
        for words in [line.split() for line in REACHES.splitlines() if line and not line.startswith("#")]:
            ask, expected = " ".join(words[:4]), " ".join(words[4:])
            found = agents.ask(ask, patient=expected != "-")
            if found != expected.replace("-", "timeout"):
                wrong.append(f"{ask}: {found}, not {expected}")
    finally:
        agents.stop()
    assert not wrong, "\n".join(wrong)
    assert netrecon("delete", "-q", shop) == 1
    assert netrecon("check", shop) == 0
    assert netrecon("delete", "-q", shop, guest) == 0


def test_an_address_is_given_only_where_it_is_free_in_both(tmp_path: pathlib.Path) -> None:
    web = "networks: {web: {subnets: [172.20.0.0/24]}}\nsandboxes:\n  a: {endpoints: {web: {}}}\n"
    guest = written(tmp_path, "networks: {web: {external: lab}}\nsandboxes: {g: {endpoints: {web: {}}}}\n", "guest")
    assert netrecon("apply", "-q", written(tmp_path, web)) == 0
    assert netrecon("apply", "-q", guest) == 0
    assert netrecon("apply", "-q", written(tmp_path, web + "  b: {endpoints: {web: {}}}\n")) == 0
    taken = [sh(f"ip -n {name} -4 -o addr show eth0 | awk '{{print $4}}'").strip() for name in ("a", "g", "b")]
    assert taken == ["172.20.0.2/24", "172.20.0.3/24", "172.20.0.4/24"]
    assert netrecon("check", guest) == 0


# ------------------------------------------------------------------ another owner

MOVED = """
networks: {web: {ipv6: true}}
sandboxes: {nginx: {endpoints: {web: {}}, publish: ["80", "9091:80"]}}
"""
STAYS = """
bridges: {kept: {}}
"""
CLIENT = """
import signal, socket, sys, time
to, stop = (sys.argv[1], int(sys.argv[2])), []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
old = socket.create_connection(to, 5)
old.settimeout(5)
print("ready", flush=True)
done = 0
while not stop:
    for connection in (socket.create_connection(to, 0.5), old):
        connection.settimeout(2)
        connection.send(b"x")
        assert connection.recv(1) == b"x"
        if connection is not old:
            connection.close()
    done += 1
print(done, flush=True)
"""
SERVER = """
import contextlib, socket, threading
server = socket.create_server(("::", 80), family=socket.AF_INET6, dualstack_ipv6=True, backlog=512)
print("ready", flush=True)
def echo(connection):
    with connection, contextlib.suppress(ConnectionError):
        while data := connection.recv(100):
            connection.send(data)
while True:
    threading.Thread(target=echo, args=(server.accept()[0],), daemon=True).start()
"""


@contextmanager
def running(namespace: str, code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = ["ip", "netns", "exec", namespace, sys.executable, "-c", code, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def picture() -> str:
    """What must not change when the owner does."""
    addresses = "-br addr | awk '{$2 = \"\"; print}'"
    commands = (f"ip {addresses}", f"ip -n nginx {addresses}", "ip -n nginx route", "tail -n +2 /etc/netns/nginx/hosts")
    elements = "nft list ruleset | grep -o 'tcp . [0-9]* : .*' | tr -d ',}' | tr ' ' '\\n' | grep '[0-9]' | sort"
    return "".join(map(sh, (*commands, elements)))


def established() -> set[str]:
    """The identities in conntrack of the established TCP connections."""
    listed = sh("conntrack -L -o id -p tcp 2>/dev/null; conntrack -L -f ipv6 -o id -p tcp 2>/dev/null").splitlines()
    return {line.split(" id=")[1] for line in listed if " ESTABLISHED " in line}


def lasting() -> set[str]:
    """Those of the connections that the clients keep."""
    seen = established()
    time.sleep(0.3)
    return seen & established()


def test_a_network_that_moves_to_another_topology_serves_all_the_while(tmp_path: pathlib.Path) -> None:
    before = [written(tmp_path, MOVED + STAYS, "old"), written(tmp_path, "", "new")]
    assert netrecon("apply", "-q", *before) == 0
    uplink()
    after = [written(tmp_path, STAYS, "old"), written(tmp_path, MOVED, "new")]
    failing = written(tmp_path, MOVED + 'expect: [{from: nginx, to: "198.51.100.1:9"}]\n', "new")
    with running("nginx", SERVER):
        clients = [running("lan", CLIENT, to, "9091") for to in ("192.0.2.1", "2001:db8::1")]
        with clients[0] as four, clients[1] as six:
            seen, flows = picture(), lasting()
            assert netrecon("apply", "-q", "--verify", after[0], failing) == 3
            assert picture() == seen
            assert len(flows) == 2
            assert (
                established() >= flows
            )  # an entry that is deleted comes back with the next packet, or the connection is reset
            written(tmp_path, MOVED, "new")
            assert netrecon("apply", "-q", *after) == 0
            assert picture() == seen
            for client in (four, six):
                client.terminate()
                assert int(client.communicate(timeout=10)[0]) > 0
                assert client.returncode == 0
    for files in (after, after[:1], after[1:]):
        assert netrecon("check", "-v", *files) == 0
    assert sh("nft list tables").split() == ["table", "inet", "netrecon-new"]
    assert netrecon("delete", "-q", *after) == 0
