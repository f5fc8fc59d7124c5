"""A changed port map takes effect for running flows at once, and touches no flow of another."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Iterator

import nat_lab
import pytest
from nat_lab import Lab, run
from throwaway import inside

from reconciler.kernel.netlink import transport
from reconciler.kernel.nftables import conntrack, flows, nft_tables
from reconciler.kernel.writer import Writer
from reconciler.model.keys import HOST
from reconciler.model.requests import ForgetFlows

pytestmark = pytest.mark.live

HOSTS = {4: "192.0.2.1", 6: "2001:db8::1"}
OTHERS = {4: "192.0.2.7", 6: "2001:db8::7"}
TARGETS = {4: ("172.16.0.2", "172.16.0.3"), 6: ("[fd00:16::2]", "[fd00:16::3]")}
EVERYWHERE = {4: "", 6: "[::]:"}


@pytest.fixture
def lab() -> Iterator[Lab]:
    yield from nat_lab.made()


_open: list[socket.socket] = []


@pytest.fixture(autouse=True)
def _sockets_are_closed() -> Iterator[None]:
    yield
    while _open:
        _open.pop().close()


class Client:
    """One UDP flow, from the LAN, that never pauses for long and never changes its source port."""

    def __init__(self, address: str, port: int, protocol: int = socket.SOCK_DGRAM, scope: str = "lan") -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = inside(scope, socket.socket, family, protocol)
        _open.append(self.socket)
        self.socket.settimeout(0.2)
        self.socket.connect((address, port))

    def answer(self, tries: int = 25) -> str:
        """Who answers: "target 192.0.2.9", or "nobody"."""
        for _ in range(tries):
            try:
                self.socket.send(b"?")
                return self.socket.recv(64).decode()
            except (TimeoutError, ConnectionRefusedError):
                time.sleep(0.05)
        return "nobody"


def reset(client: Client) -> bool:
    """Whether a TCP connection is told that it is over."""
    try:
        client.socket.send(b"?")
        client.socket.settimeout(2)
        return client.socket.recv(64) == b""
    except (ConnectionResetError, BrokenPipeError):
        return True
    except TimeoutError:
        return False


def silent(family: int, port: int) -> None:
    """A process of the host that takes what comes and never answers, so that conntrack keeps the flow."""
    sock = socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET, socket.SOCK_DGRAM)
    _open.append(sock)
    sock.bind(("", port))


def udp(family: int, port: int, target: int, listen: str = "") -> str:
    host = TARGETS[family][target]
    return f"{listen or EVERYWHERE[family]}{port}:{host}:80/udp"


def echo(listener: socket.socket) -> None:
    """Send back what comes, on as many connections as come."""
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            _open.append(connection)
            threading.Thread(target=_echo_one, args=(connection,), daemon=True).start()


def _echo_one(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := connection.recv(64):
            connection.sendall(data)


def entries() -> list[str]:
    """Every conntrack entry, without what ages."""
    listed = run("conntrack -L 2>/dev/null; conntrack -L -f ipv6 2>/dev/null")
    ages = r"^(\w+ +\d+) \d+|packets=\d+|bytes=\d+|use=\d+|id=\d+|\[\w+\]"
    return sorted(re.sub(ages, r"\1", line) for line in listed.splitlines())


@pytest.mark.parametrize("family", [4, 6])
def test_a_udp_flow_follows_its_port_map_from_target_to_target(lab: Lab, family: int) -> None:
    lab.apply({"port_maps": [udp(family, 5000, 0), udp(family, 5001, 0)]})
    moved, kept = Client(HOSTS[family], 5000), Client(HOSTS[family], 5001)
    assert moved.answer().startswith("target ")
    assert kept.answer().startswith("target ")
    before = [line for line in entries() if "dport=5001" in line]
    assert before
    lab.apply({"port_maps": [udp(family, 5000, 1), udp(family, 5001, 0)]})
    assert not [line for line in entries() if "dport=5000" in line]
    assert [line for line in entries() if "dport=5001" in line] == before
    assert moved.answer().startswith("sibling ")
    assert kept.answer().startswith("target ")
    lab.apply({"port_maps": [udp(family, 5001, 0)]})
    assert moved.answer(3) == "nobody"
    assert kept.answer().startswith("target ")


@pytest.mark.parametrize("family", [4, 6])
def test_a_udp_flow_from_before_the_port_was_published_arrives(lab: Lab, family: int) -> None:
    lab.apply({"port_maps": [udp(family, 5001, 0)]})
    silent(family, 5000)
    early = Client(HOSTS[family], 5000)
    assert early.answer(2) == "nobody"
    assert [line for line in entries() if "dport=5000" in line]
    lab.apply({"port_maps": [udp(family, 5001, 0), udp(family, 5000, 0)]})
    assert early.answer().startswith("target ")


def test_a_port_published_on_one_address_leaves_the_flows_of_the_others(lab: Lab) -> None:
    here, there = f"{HOSTS[4]}:", f"{OTHERS[4]}:"
    lab.apply({"port_maps": [udp(4, 5000, 0, here), udp(4, 5000, 0, there)]})
    one, other = Client(HOSTS[4], 5000), Client(OTHERS[4], 5000)
    assert one.answer() == other.answer() == "target 192.0.2.9"
    before = [line for line in entries() if f"dst={OTHERS[4]}" in line]
    lab.apply({"port_maps": [udp(4, 5000, 1, here), udp(4, 5000, 0, there)]})
    assert [line for line in entries() if f"dst={OTHERS[4]}" in line] == before
    assert one.answer() == "sibling 192.0.2.9"
    assert other.answer() == "target 192.0.2.9"


def test_flows_through_the_host_to_the_same_port_elsewhere_live_on(lab: Lab) -> None:
    lab.apply({"port_maps": [udp(4, 5000, 0)]})  # without a table nobody tracks a flow
    assert Client("172.17.0.2", 80).answer() == "other 192.0.2.9"
    before = [line for line in entries() if "dst=172.17.0.2" in line]
    assert before
    lab.apply({"port_maps": ["80:172.16.0.2:80/udp"]})
    lab.apply({"port_maps": ["80:172.16.0.3:80/udp"]})
    lab.apply({"port_maps": [udp(4, 5000, 0)]})
    assert [line for line in entries() if "dst=172.17.0.2" in line] == before


def test_a_tcp_connection_of_an_unchanged_port_map_survives_every_change(lab: Lab) -> None:
    listener = inside("target", socket.create_server, ("", 7))
    _open.append(listener)
    threading.Thread(target=echo, args=(listener,), daemon=True).start()
    unchanged = "5007:172.16.0.2:7"
    lab.apply({"port_maps": [unchanged, "5008:172.16.0.2:7"], "masquerades": [{"source": "172.16.0.0/24"}]})
    kept, cut = Client(HOSTS[4], 5007, socket.SOCK_STREAM), Client(HOSTS[4], 5008, socket.SOCK_STREAM)
    assert kept.answer() == cut.answer() == "?"
    resets: list[bool] = []
    for data in (
        {"port_maps": [unchanged, "5008:172.16.0.3:80"]},
        {"port_maps": [unchanged], "isolations": [{"link": "br0"}]},
        {"port_maps": ["5008:172.16.0.2:7", unchanged, udp(4, 5007, 1)]},
    ):
        lab.apply(data)
        assert kept.answer(1) == "?", data
        resets.append(reset(cut))
    assert resets[0]  # nobody there knows it: its end is told at once
    run("nft flush chain inet netrecon-lab forward; nft flush chain inet netrecon-lab publish")
    lab.apply({"port_maps": ["5008:172.16.0.2:7", unchanged]})
    assert kept.answer(1) == "?"


@pytest.mark.parametrize("family", [4, 6])
def test_a_flow_that_an_isolation_forbids_ends_with_it(lab: Lab, family: int) -> None:
    """From the LAN into the bridge nothing passes but what is published, whatever was established before."""
    targets = ("172.16.0.2", "fd00:16::2", "172.17.0.2", "fd00:17::2")
    direct, allowed = targets[family == 6], targets[2 + (family == 6)]
    lab.apply({"port_maps": [udp(family, 5000, 0)], "isolations": [{"link": "br1", "allow": ["eth0"]}]})
    stopped, beside = Client(direct, 80), Client(allowed, 80)
    published, answer = Client(HOSTS[family], 5000), Client(direct, 80, scope="other")
    clients = [stopped, beside, published, answer]
    assert "nobody" not in [client.answer() for client in clients]
    before = entries()
    lab.apply(
        {
            "port_maps": [udp(family, 5000, 0)],
            "isolations": [{"link": "br0", "allow": ["br1"]}, {"link": "br1", "allow": ["eth0"]}],
        }
    )
    assert len(set(before) - set(entries())) == 1  # the others keep their entries
    assert [client.answer(2) for client in clients[1:]].count("nobody") == 0
    assert stopped.answer(2) == "nobody"


def test_what_leaves_a_link_ends_when_the_link_becomes_internal(lab: Lab) -> None:
    lab.apply({"isolations": [{"link": "br1"}], "masquerades": [{"source": "172.17.0.0/24"}]})
    out = Client("172.16.0.2", 80, scope="other")
    assert out.answer() != "nobody"
    lab.apply({"isolations": [{"link": "br1", "internal": True}], "masquerades": [{"source": "172.17.0.0/24"}]})
    assert out.answer(2) == "nobody"


def test_what_came_through_a_damaged_table_goes_right_after_the_repair(lab: Lab) -> None:
    silent(4, 5000)
    desired = lab.apply({"port_maps": [udp(4, 5000, 0)]})
    run("nft flush chain inet netrecon-lab prerouting")
    client = Client(HOSTS[4], 5000)
    assert client.answer(2) == "nobody"
    nat_lab.converge(lab.kernel, desired)
    assert client.answer() == "target 192.0.2.9"


@pytest.mark.parametrize("damage", ["flush map {} pub_any4", "delete table {}"])
def test_a_flow_to_a_target_of_old_goes_right_when_the_lost_map_comes_back_with_another(damage: str, lab: Lab) -> None:
    lab.apply({"port_maps": [udp(4, 5000, 0), udp(4, 5001, 0)]})
    client, other = Client(HOSTS[4], 5000), Client(HOSTS[4], 5001)
    assert client.answer() == other.answer() == "target 192.0.2.9"
    before = [line for line in entries() if "dport=5001" in line]
    run(f"nft {damage.format('inet netrecon-lab')}")
    lab.apply({"port_maps": [udp(4, 5000, 1), udp(4, 5001, 0)]})
    assert client.answer(1) == "sibling 192.0.2.9"
    assert [line for line in entries() if "dport=5001" in line] == before


def test_what_nobody_could_answer_while_the_table_was_damaged_goes_right_after_the_repair(lab: Lab) -> None:
    desired = lab.apply({"port_maps": [udp(4, 5000, 0)]})
    kept = Client(HOSTS[4], 5000)
    assert kept.answer() == "target 192.0.2.9"
    before = [line for line in entries() if "src=192.0.2.9" in line]
    run("nft flush chain inet netrecon-lab postrouting")
    client = Client("127.0.0.1", 5000, scope="host")
    assert client.answer(2) == "nobody"
    nat_lab.converge(lab.kernel, desired)
    assert client.answer().startswith("target ")
    assert [line for line in entries() if "src=192.0.2.9" in line] == before


def test_entries_are_recognised_the_quick_way_and_the_long_way(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.apply({"port_maps": [*(udp(family, port, 0) for family in (4, 6) for port in (5000, 5001))]})
    for family in (4, 6):
        for port in (5000, 5001):
            assert Client(HOSTS[family], port).answer().startswith("target ")
    wanted = {(17, 5000): [ForgetFlows(HOST, "udp", "0.0.0.0", 5000, "172.16.0.2", 80)]}
    bodies = [body for _, body in transport.dump(lab.kernel.socket(HOST, transport.NETFILTER), conntrack.GET, bytes(4))]
    # others, as of IGMP, come and go
    bodies = [body for body in bodies if (flow := conntrack.flow(body)) is not None and flow.asked.port]
    quick = [body for body in bodies if flows._may_match(body, wanted)]
    assert all(body[4:12] in flows._BEGINNINGS for body in bodies)
    assert len(quick) == 2
    assert len(bodies) > len(quick)
    monkeypatch.setattr(flows, "_BEGINNINGS", {})
    long = [body for body in bodies if flows._matches(body, wanted, frozenset())]
    assert [body for body in quick if flows._matches(body, wanted, frozenset())] == long
    assert len(long) == 1


def test_nothing_is_asked_of_conntrack_for_a_transaction_that_failed(lab: Lab) -> None:
    lab.apply({"port_maps": [udp(4, 5000, 0)]})
    client = Client(HOSTS[4], 5000)
    assert client.answer() == "target 192.0.2.9"
    before = [line for line in entries() if "dport=5000" in line]
    mapped = nat_lab.wanted({"port_maps": [udp(4, 5000, 1)]})
    (key,) = (key for key in mapped if key.kind == "port_map")
    writer = Writer(lab.kernel, {}, lambda scope, requests: nft_tables.transact(lab.kernel, scope, requests))
    (failure,) = writer.send([list(nat_lab.KINDS["port_map"].create(mapped[key], "lab"))])
    assert failure is not None
    assert failure.errno == 17
    assert [line for line in entries() if "dport=5000" in line] == before
