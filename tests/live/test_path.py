"""The kernel is asked for the way of a packet, and `ip route get` gives the same answer."""

from __future__ import annotations

import errno
import json
import pathlib
from collections.abc import Iterator

import pytest
from throwaway import sh

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink.path import Packet, Way, way

pytestmark = pytest.mark.live

# packet -> the words of `ip route get` that ask the same
PACKETS = {
    Packet("10.1.0.5"): "10.1.0.5",
    Packet("8.8.8.8"): "8.8.8.8",
    Packet("1.2.3.4"): "1.2.3.4",
    Packet("8.8.8.8", mark=7): "8.8.8.8 mark 7",
    Packet("8.8.8.8", source="10.1.0.1"): "8.8.8.8 from 10.1.0.1",
    Packet("8.8.4.4", protocol=6, port=443): "8.8.4.4 ipproto tcp dport 443",
    Packet("8.8.4.4", protocol=17, source_port=53, port=443): "8.8.4.4 ipproto udp sport 53 dport 443",
    Packet("10.1.0.1"): "10.1.0.1",
    Packet("127.0.0.1"): "127.0.0.1",
    Packet("2001:db8::2"): "2001:db8::2",
    Packet("2001:db8:9::9"): "2001:db8:9::9",
    Packet("2001:db8::1"): "2001:db8::1",
}


@pytest.fixture
def kernel(host: None) -> Iterator[Kernel]:
    for command in (
        "ip link add va type veth peer name vb",
        "ip addr add 10.1.0.1/24 dev va",
        "ip -6 addr add 2001:db8::1/64 dev va nodad",
        "ip link set va up",
        "ip link set vb up",
        "ip route add default via 10.1.0.2",
        "ip -6 route add 2001:db8:9::/48 via 2001:db8::9",
        "ip route add 1.2.3.0/24 via inet6 fe80::5 dev va",
        "ip rule add fwmark 7 lookup 99",
        "ip rule add dport 443 ipproto tcp lookup 99",
        "ip rule add from 10.1.0.1 lookup 98",
        "ip route add default dev vb table 99",
        "ip route add 8.8.8.8 dev vb table 98",
        "ip route add blackhole 9.1.0.0/16",
        "ip route add unreachable 9.2.0.0/16",
        "ip route add prohibit 9.3.0.0/16",
        "sysctl -qw net.ipv4.ip_forward=1",
    ):
        sh(command)
    with Kernel() as made:
        yield made


def test_the_way_is_the_one_that_ip_tells(kernel: Kernel) -> None:
    for packet, words in PACKETS.items():
        answer = way(kernel, "host", packet)
        (told,) = json.loads(sh(f"ip -j route get {words}"))
        gateway = told.get("gateway") or told.get("via", {}).get("host", "")
        assert (answer.oif, answer.gateway) == (index(told["dev"]), gateway), words
        assert answer.type == told.get("type", "unicast"), words
        assert packet.source or answer.source == told["prefsrc"], words


def test_a_packet_that_comes_in_by_a_link(kernel: Kernel) -> None:
    through = Packet("8.8.4.4", source="10.1.0.77", iif=index("va"))
    assert way(kernel, "host", through) == Way("unicast", index("va"), "10.1.0.2")


def test_no_route_is_told_in_the_words_of_the_kernel(kernel: Kernel) -> None:
    assert way(kernel, "host", Packet("2001:db8:ffff::1")) == Way(
        error="Network is unreachable", errno=errno.ENETUNREACH
    )
    for to, kind in (("9.1.1.1", "blackhole"), ("9.2.1.1", "unreachable"), ("9.3.1.1", "prohibit")):
        answer = way(kernel, "host", Packet(to))
        assert answer.type == kind
        assert answer.error


def test_the_mtu_of_a_route(kernel: Kernel) -> None:
    sh("ip route add 203.0.113.0/24 via 10.1.0.2 mtu 1400; ip -6 route add 2001:db8:7::/48 via 2001:db8::9 mtu 1300")
    answers = [way(kernel, "host", Packet(to)).mtu for to in ("203.0.113.5", "2001:db8:7::7", "8.8.8.8")]
    assert answers == [1400, 1300, 0]


def index(link: str) -> int:
    return int(pathlib.Path(f"/sys/class/net/{link}/ifindex").read_text(encoding="ascii"))
