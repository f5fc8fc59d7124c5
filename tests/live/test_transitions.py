"""After an apply of A and then of B a host is as after B alone, down to every setting under /proc/sys/net."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
import throwaway
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from snapshot import differences, scopes, snapshot

from reconciler.cli import main
from reconciler.kinds import sysctl_effects

pytestmark = pytest.mark.live
SETTINGS = settings(
    max_examples=int(os.environ.get("NETRECON_EXAMPLES", "8")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
ROOT = "/proc/sys/net"
# Random or measured by the kernel; mtu follows the link.
UNSTEADY = ("stable_secret", "nf_conntrack_count", "random", "fastopen_key", "flow_limit", "max_skb_frags", "tcp_mem")
# A veth without a link-local address is made so: it keeps that when its bridge speaks IPv6 later.
UNSTEADY += ("addr_gen_mode",)
PREPARED = (
    "ip netns add far",
    "ip link add ext0 type veth peer name f0 netns far",
    "ip link set ext0 up",
    "ip -n far link set f0 up",
    "ip netns add theirs",
    "ip -n theirs link set lo up",
    "ip -n theirs link add t0 type bridge",
)
HOST_LINKS = ("ext0", "lo", "br0", "br1", "v0", "v1")
CONTRADICTIONS = ("belongs to topology", "as something else", "it is the same setting")
OF_LINKS = (
    *(f"ipv4.conf.{{}}.{word}" for word in ("rp_filter", "forwarding", "route_localnet", "proxy_arp", "arp_ignore")),
    *(f"ipv4.conf.{{}}.{word}" for word in ("accept_local", "promote_secondaries", "accept_redirects")),
    *(f"ipv6.conf.{{}}.{word}" for word in ("forwarding", "disable_ipv6", "accept_ra", "autoconf", "proxy_ndp")),
    *(f"ipv4.neigh.{{}}.{word}" for word in ("gc_stale_time", "mcast_solicit")),
    "ipv6.neigh.{}.app_solicit",
)
OF_A_SCOPE = (
    "ipv4.ip_forward",
    "ipv4.conf.all.forwarding",
    "ipv4.conf.all.rp_filter",
    "ipv4.conf.all.route_localnet",
    "ipv4.conf.all.accept_redirects",
    "ipv6.conf.all.forwarding",
    "ipv6.conf.all.disable_ipv6",
    "ipv4.ip_nonlocal_bind",
    "ipv4.tcp_syncookies",
    "netfilter.nf_conntrack_tcp_loose",
    "bridge.bridge-nf-call-iptables",
)


# ------------------------------------------------------------------------------------------------ topologies


@st.composite
def topologies(draw: st.DrawFn) -> dict[str, Any]:
    """A topology over the host, a namespace of its own and one that was there, with settings in each."""
    bridges = draw(st.sets(st.sampled_from(["br0", "br1"])))
    data: dict[str, Any] = {"bridges": {name: {"addresses": [f"10.{name[2]}.0.1/24"]} for name in sorted(bridges)}}
    veths = {}
    for number in sorted(draw(st.sets(st.integers(0, 1)))):
        near: dict[str, Any] = {"master": draw(st.sampled_from(sorted(bridges)))} if bridges else {}
        if near and draw(st.booleans()):
            near["isolated"] = True
        veths[f"v{number}"] = near | {"peer": {"namespace": "own", "name": f"e{number}"}}
    spaces: dict[str, Any] = {"own": {}} if veths or draw(st.booleans()) else {}
    spaces["theirs"] = {"exclusive": False}
    if draw(st.booleans()):
        data["interfaces"] = {"ext0": {"addresses": ["10.7.0.1/24"]}}
    data |= {"veths": veths, "namespaces": spaces} | draw(packets(sorted(bridges), "interfaces" in data))
    data |= draw(st.just({}) | containers())
    links = {"host": ["ext0", "lo", *sorted(bridges), *veths], "own": ["lo", *(f"e{name[1]}" for name in veths)]}
    data["sysctls"] = draw(sysctls(links["host"]))
    for name, body in spaces.items():
        body["sysctls"] = draw(sysctls(links.get(name, ["t0", "lo"]), host=False))
    return data


@st.composite
def containers(draw: st.DrawFn) -> dict[str, Any]:
    """Two networks with a sandbox in each."""
    networks = {
        name: {"subnets": [f"10.{number}.0.0/24"], "internal": draw(st.booleans()), "icc": draw(st.booleans())}
        for name, number in (("web", 20), ("back", 21))
    }

    def at(network: str, host: int) -> dict[str, str]:
        return {"address": networks[network]["subnets"][0].replace(".0/24", f".{host}")}

    first, second = draw(st.permutations(["web", "back"]))
    publish = draw(st.sets(st.sampled_from(["127.0.0.1:40090:80", "9090:80", "9091:81/udp"])))
    app = {"endpoints": {first: at(first, 2)}, "publish": [] if networks[first]["internal"] else sorted(publish)}
    return {
        "networks": networks,
        "sandboxes": {"app": app, "db": {"endpoints": {name: at(name, 3) for name in (second, first)}}},
    }


@st.composite
def packets(draw: st.DrawFn, bridges: list[str], external: bool) -> dict[str, Any]:
    """Published ports, masquerades and isolations."""
    prefixes = [f"10.{name[2]}.0" for name in bridges] + (["10.7.0"] if external else [])
    listens = ["40080", "127.0.0.1:8081"]
    maps = [
        f"{listen}:{draw(st.sampled_from(prefixes))}.9:80" for listen in listens if prefixes and draw(st.booleans())
    ]
    isolated = draw(st.sets(st.sampled_from(bridges))) if bridges else set()
    isolations = [{"link": link, "internal": draw(st.booleans())} for link in sorted(isolated)]
    masquerades = [{"source": f"{prefixes[0]}.0/24"}] if prefixes and draw(st.booleans()) else []
    return {"port_maps": maps, "isolations": isolations, "masquerades": masquerades}


@st.composite
def sysctls(draw: st.DrawFn, links: list[str], host: bool = True) -> dict[str, int]:
    pairs = st.tuples(st.sampled_from(OF_LINKS), st.sampled_from([*links, "default"]))
    chosen = {
        word.format(link)
        for word, link in draw(st.sets(pairs, max_size=4))
        if (word[5:10], link) != ("neigh", "default")
    }
    chosen |= draw(st.sets(st.sampled_from(OF_A_SCOPE if host else OF_A_SCOPE[:9]), max_size=2))
    if {"ipv4.ip_forward", "ipv4.conf.all.forwarding"} <= chosen:
        chosen.remove("ipv4.conf.all.forwarding")  # the same setting
    return {f"net.{name}": draw(st.integers(0, 1)) for name in sorted(chosen) if not name.endswith("lo.disable_ipv6")}


# ------------------------------------------------------------------------------------------------ the host


def prepare(folder: pathlib.Path, before: dict[str, int], beside: dict[str, Any]) -> None:
    """The host as ``steps`` find it, with another topology on it."""
    for command in PREPARED:
        throwaway.sh(command)
    for name, value in before.items():
        throwaway.sh(f"sysctl -qw {name}={value}")
    run(folder, "apply", {"name": "beside", **beside})


def run(folder: pathlib.Path, command: str, data: dict[str, Any]) -> None:
    path = folder / "topology.yaml"
    path.write_text(json.dumps({"version": 1, "name": "any", **data}))
    options = ["--adopt", "--force"] if command == "apply" else []
    with contextlib.redirect_stderr(io.StringIO()) as said:
        code = main.main([command, "-q", *options, str(path)])
    assume(not any(words in said.getvalue() for words in CONTRADICTIONS))
    assert code == 0, (command, data, said.getvalue())


def picture() -> dict[str, Any]:
    """All that ip, nft and /proc/sys/net show, without MAC addresses of links and without what is measured."""
    shown = snapshot()
    for scope in scopes():
        shown[scope]["nft"] = throwaway.inside(scope, ruleset)
        shown[scope]["links"] = [_without_mac(line) for line in shown[scope]["links"]]
        shown[scope]["settings"] = [f"{name} = {value}" for name, value in throwaway.inside(scope, values).items()]
    return shown


def ruleset() -> list[str]:
    """The ruleset without handles; the elements of a set are in the order in which they came."""
    rows: list[dict[str, Any]] = json.loads(throwaway.sh("nft -j list ruleset"))["nftables"]
    return [json.dumps(_sorted(content)) for row in rows for content in row.items()]


def _sorted(content: Any) -> Any:
    if isinstance(content, dict):
        return {word: _sorted(value) for word, value in content.items() if word != "handle"}
    parts = [_sorted(part) for part in content] if isinstance(content, (list, tuple)) else content
    return sorted(parts, key=json.dumps) if isinstance(parts, list) else parts


def _without_mac(line: str) -> str:
    row = json.loads(line)
    return json.dumps({word: value for word, value in row.items() if word != "address"})


def values() -> dict[str, str]:
    """Every setting of this thread's namespace that can be read."""
    return dict(sorted(_values()))


def _values() -> Iterator[tuple[str, str]]:
    for path, _, names in os.walk(ROOT):
        for name in names:
            if not any(word in name for word in UNSTEADY):
                try:
                    text = pathlib.Path(path, name).read_text()
                except OSError:
                    continue
                yield f"net.{os.path.relpath(path, ROOT).replace('/', '.')}.{name}", " ".join(text.split())


def followed(steps: list[dict[str, Any]]) -> set[str]:
    """(scope, setting) of links that were born with, or took over, a default that a step declares.

    Links that exist do not follow a default that changes; the setting itself goes back where a step declared it.
    """
    found = set()
    for step in steps:
        for scope, body in (("host", step), *step["namespaces"].items()):
            for name in body.get("sysctls", ()):
                parts = sysctl_effects.split(name)
                if parts is not None and parts[2] == "default":
                    found.add(f"{scope} settings: net.{parts[0]}.{parts[1]}.*.{parts[3]} ")
    return found


def unexplained(lines: list[str], steps: list[dict[str, Any]]) -> list[str]:
    patterns = {tuple(pattern.split("*")) for pattern in followed(steps)}
    declared = {
        f"{scope} settings: {name} "
        for step in steps
        for scope, body in (("host", step), *step["namespaces"].items())
        for name in body.get("sysctls", ())
    }

    def explained(line: str) -> bool:
        told = line[2:]
        follows = any(told.startswith(start) and f"{end}" in told for start, end in patterns)
        return follows and not any(told.startswith(name) for name in declared)

    return [line for line in lines if not explained(line)]


NOTHING = {"namespaces": {"theirs": {"exclusive": False}}}  # adopted, so it would be deleted where it is not named
BEFORE = st.dictionaries(
    st.sampled_from(
        [
            "net.ipv4.ip_forward",
            "net.ipv4.conf.ext0.rp_filter",
            "net.ipv4.conf.ext0.forwarding",
            "net.ipv4.conf.default.rp_filter",
            "net.ipv4.conf.default.forwarding",
            "net.ipv6.conf.ext0.disable_ipv6",
            "net.ipv6.conf.ext0.forwarding",
            "net.ipv4.conf.ext0.route_localnet",
        ]
    ),
    st.integers(0, 1),
    max_size=2,
)


BESIDE = st.sampled_from(
    [
        {},
        {"sysctls": {"net.ipv4.ip_forward": 1, "net.ipv4.conf.lo.arp_ignore": 1}},
        {"sysctls": {"net.ipv4.conf.ext0.forwarding": 1, "net.ipv6.conf.ext0.accept_ra": 0}},
        {"interfaces": {"ext0": {"addresses": ["10.7.0.2/24"]}}, "port_maps": ["8082:10.7.0.9:80"]},
    ]
)


@SETTINGS
@given(before=BEFORE, beside=BESIDE, steps=st.lists(topologies(), min_size=2, max_size=3))
def test_what_an_earlier_topology_set_is_not_there_any_more(
    before: dict[str, int],
    beside: dict[str, Any],
    steps: list[dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("any")
    with throwaway.host():
        prepare(folder, before, beside)
        run(folder, "apply", steps[-1])
        alone = picture()
    with throwaway.host():
        prepare(folder, before, beside)
        run(folder, "apply", NOTHING)
        untouched = picture()
        for step in steps:
            run(folder, "apply", step)
        run(folder, "check", steps[-1])
        assert not unexplained(differences(alone, picture()), steps)
        run(folder, "apply", NOTHING)
        assert not unexplained(differences(untouched, picture()), steps)
