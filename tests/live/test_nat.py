"""Published ports, masquerading and isolation with real packets: who reaches what, and seen as whom."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import nat_lab
import pytest
from nat_lab import Lab, run

pytestmark = pytest.mark.live

LAN4, LAN6 = "192.0.2.9", "2001:db8::9"
HOST4, HOST6 = "192.0.2.1", "2001:db8::1"
PROTOCOLS = ("tcp", "udp")


@pytest.fixture
def lab() -> Iterator[Lab]:
    yield from nat_lab.made()


@pytest.fixture(params=[0, 1], ids=["bridge-nf-off", "bridge-nf-on"])
def bridged(request: pytest.FixtureRequest, lab: Lab) -> Lab:
    """The lab with and without bridged frames shown to the IP hooks of netfilter."""
    if not pathlib.Path("/proc/sys/net/bridge/bridge-nf-call-iptables").exists():
        if request.param == 0:
            return lab
        pytest.skip("this kernel has no br_netfilter")
    for name in ("iptables", "ip6tables"):
        run(f"sysctl -qw net.bridge.bridge-nf-call-{name}={request.param}")
    return lab


def published(family: int) -> dict[str, Any]:
    """Three ports of the target and one of its sibling, both subnets masqueraded, br0 isolated."""
    target, sibling, host = (
        ("172.16.0.2", "172.16.0.3", HOST4) if family == 4 else ("[fd00:16::2]", "[fd00:16::3]", f"[{HOST6}]")
    )
    everywhere = "" if family == 4 else "[::]:"
    maps = []
    for protocol in PROTOCOLS:
        maps += [
            f"{everywhere}8001:{target}:80/{protocol}",
            f"{host}:8002:{target}:80/{protocol}",
            f"{everywhere}8004:{sibling}:80/{protocol}",
        ]
        if family == 4:
            maps.append(f"127.0.0.1:8003:{target}:80/{protocol}")
    subnets = ("172.16.0.0/24", "172.17.0.0/24") if family == 4 else ("fd00:16::/64", "fd00:17::/64")
    return {
        "port_maps": maps,
        "masquerades": [{"source": subnet} for subnet in subnets],
        "isolations": [{"link": "br0"}],
    }


def addresses(family: int) -> dict[str, str]:
    """The address of each machine, and the gateways."""
    at = 0 if family == 4 else 1
    found = {name: machine[2][at].partition("/")[0] for name, machine in nat_lab.MACHINES.items()}
    return found | {"gateway": nat_lab.MACHINES["target"][3][at], "host": (HOST4, HOST6)[at]}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("family", [4, 6])
def test_published_ports(bridged: Lab, family: int, protocol: str) -> None:
    at = addresses(family)
    bridged.apply(published(family))

    def ask(machine: str, address: str, port: int) -> str:
        return bridged.ask(machine, protocol, address, port)

    # from the LAN, with the client's address kept
    assert ask("lan", at["host"], 8001) == f"target {at['lan']}"
    assert ask("lan", at["host"], 8002) == f"target {at['lan']}"
    assert ask("lan", at["host"], 8004) == f"sibling {at['lan']}"
    assert ask("lan", at["gateway"], 8001) == f"target {at['lan']}"
    # from the host itself
    for address, port in ((at["host"], 8001), (at["host"], 8002), (at["gateway"], 8001)):
        assert ask("host", address, port).startswith("target ")
    # from the target itself, its sibling and a sandbox on another bridge
    for machine in ("target", "sibling", "other"):
        for address, port in ((at["host"], 8001), (at["host"], 8002), (at["gateway"], 8001)):
            assert ask(machine, address, port).startswith("target "), (machine, address, port)
    assert ask("target", at["host"], 8004).startswith("sibling ")
    # published on one address only
    assert ask("lan", at["gateway"], 8002) in ("refused", "timeout")
    # inside the bridge nothing is translated
    assert ask("sibling", at["target"], 80) == f"target {at['sibling']}"
    assert ask("sibling", at["target"], 81) == f"target {at['sibling']}"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_published_on_loopback(bridged: Lab, protocol: str) -> None:
    bridged.apply(published(4))
    assert bridged.ask("host", protocol, "127.0.0.1", 8001).startswith("target ")
    assert bridged.ask("host", protocol, "127.0.0.1", 8003).startswith("target ")
    assert bridged.ask("host", protocol, "127.0.0.1", 8004).startswith("sibling ")
    assert bridged.ask("lan", protocol, HOST4, 8003) == "refused"
    for machine in ("lan",):
        assert bridged.blocked(machine, protocol, "127.0.0.1", 8003)
        assert bridged.blocked(machine, protocol, "127.0.0.1", 8001)
    # the probe is a real one: without the raw chain, and with the link as open as our bridges are, it gets in
    run("nft flush chain inet netrecon-lab raw")
    run("sysctl -qw net.ipv4.conf.eth0.route_localnet=1")
    assert bridged.ask("lan", protocol, "127.0.0.1", 8003).startswith("target ")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_ipv6_loopback_is_refused_and_does_not_hang(lab: Lab, protocol: str) -> None:
    lab.apply(published(6))
    assert lab.ask("host", protocol, "::1", 8001) == "refused"


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("family", [4, 6])
def test_isolated_link(bridged: Lab, family: int, protocol: str) -> None:
    at = addresses(family)
    desired = published(family)
    bridged.apply(desired)
    for machine in ("lan", "other"):
        for port in (80, 81):  # 80 is published, but not at the target's own address
            assert bridged.blocked(machine, protocol, at["target"], port), (machine, port)
    assert bridged.ask("host", protocol, at["target"], 81).startswith("target ")
    assert bridged.ask("target", protocol, at["lan"], 80).startswith("lan ")
    assert bridged.ask("lan", protocol, at["other"], 80) == f"other {at['lan']}"  # an ordinary routed bridge

    bridged.apply({**desired, "isolations": [{"link": "br0", "allow": ["br1"]}]})
    assert bridged.ask("other", protocol, at["target"], 81).startswith("target ")
    assert bridged.blocked("lan", protocol, at["target"], 81)

    bridged.apply({**desired, "isolations": [{"link": "br0", "internal": True}]})
    assert bridged.blocked("target", protocol, at["lan"], 80)
    assert bridged.blocked("target", protocol, at["other"], 80)
    assert bridged.ask("lan", protocol, at["host"], 8001) == f"target {at['lan']}"
    assert bridged.ask("sibling", protocol, at["host"], 8001).startswith("target ")
    assert bridged.ask("sibling", protocol, at["target"], 81) == f"target {at['sibling']}"

    bridged.apply({key: value for key, value in desired.items() if key != "isolations"})
    assert bridged.ask("lan", protocol, at["target"], 81) == f"target {at['lan']}"
    assert bridged.ask("target", protocol, at["lan"], 80).startswith("lan ")


@pytest.mark.parametrize("family", [4, 6])
def test_masquerade(bridged: Lab, family: int) -> None:
    at = addresses(family)
    subnet, fixed = (("172.16.0.0/24", "192.0.2.7"), ("fd00:16::/64", "2001:db8::7"))[family == 6]
    for entry, seen in (
        ({}, at["host"]),
        ({"except_out": ["br0"]}, at["host"]),
        ({"except_out": ["br0", "eth0"]}, at["target"]),
        ({"to": fixed}, fixed),
        ({"to": fixed, "except_out": ["eth0"]}, at["target"]),
    ):
        bridged.apply({"masquerades": [{"source": subnet, **entry}]})
        for protocol in PROTOCOLS:
            assert bridged.ask("target", protocol, at["lan"], 80) == f"lan {seen}", entry
            if "eth0" not in entry.get("except_out", ()) or "br0" in entry["except_out"]:
                assert bridged.ask("sibling", protocol, at["target"], 80) == f"target {at['sibling']}", entry


def test_swapping_two_targets_is_one_transaction(lab: Lab) -> None:
    lab.apply({"port_maps": ["8001:172.16.0.2:80", "8004:172.16.0.3:80"]})
    monitor = run("nft -j list ruleset").count("pub_any4")
    lab.apply({"port_maps": ["8001:172.16.0.3:80", "8004:172.16.0.2:80"]})
    assert run("nft -j list ruleset").count("pub_any4") == monitor
    assert lab.ask("lan", "tcp", HOST4, 8001) == f"sibling {LAN4}"
    assert lab.ask("lan", "tcp", HOST4, 8004) == f"target {LAN4}"


def test_a_range_maps_one_to_one(lab: Lab) -> None:
    lab.apply({"port_maps": ["8080-8081:172.16.0.2:80-81", {"listen": "8090-8091", "target": "172.16.0.3:80-81"}]})
    for port, name in ((8080, "target"), (8081, "target"), (8090, "sibling"), (8091, "sibling")):
        assert lab.ask("lan", "tcp", HOST4, port) == f"{name} {LAN4}"


def test_the_administrators_chain_comes_first_and_stays(lab: Lab) -> None:
    data = published(4)
    desired = lab.apply(data)
    run("nft add rule inet netrecon-lab admin iifname eth0 ip daddr 172.16.0.2 accept")
    run("nft add chain inet netrecon-lab admin-more")
    run("nft add rule inet netrecon-lab admin jump admin-more")
    assert nat_lab.differing(lab.kernel, desired) == set()
    assert lab.ask("lan", "tcp", "172.16.0.2", 81) == f"target {LAN4}"
    run("nft flush chain inet netrecon-lab forward")
    lab.apply(data)
    assert "ip daddr 172.16.0.2 accept" in run("nft list chain inet netrecon-lab admin")
    assert lab.ask("lan", "tcp", "172.16.0.2", 81) == f"target {LAN4}"


def test_removed_when_nothing_is_wanted(lab: Lab) -> None:
    lab.apply(published(4))
    run("nft add table inet foreign && nft add table inet netrecon-other")
    held = {key: item.object for key, item in nat_lab.live(lab.kernel).items() if item.owner == "other"}
    assert [str(key) for key in held] == ["nft_table/host/netrecon-other"]
    nat_lab.converge(lab.kernel, held)
    assert run("nft list tables") == "table inet foreign\ntable inet netrecon-other\n"
