"""Any valid topology: applied to nothing it leaves nothing to do; from any A to any B the way leads to B alone."""

from __future__ import annotations

import ipaddress
import json
import os
import pathlib
import subprocess
from typing import Any

import pytest
import throwaway
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.cli import main
from reconciler.model.errors import InputError
from reconciler.model.keys import Origin
from reconciler.planning import loops, topology

SPACES = ("red", "blue", "green")
SETTINGS = settings(
    max_examples=int(os.environ.get("NETRECON_EXAMPLES", "40")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)


class Plain:
    """A document without places, for topologies that no file holds."""

    def __init__(self, data: Any) -> None:
        self.file, self.data = "generated", data

    def place(self, path: tuple[str | int, ...]) -> Origin:
        return Origin("generated", 1, 1, path)


@st.composite
def topologies(draw: st.DrawFn) -> dict[str, Any]:
    """A topology over three namespaces, two bridges a scope and four veths, valid by construction or dropped."""
    spaces = draw(st.lists(st.sampled_from(SPACES), unique=True))
    scopes: dict[str, dict[str, Any]] = {name: {} for name in ("host", *spaces)}
    ends: dict[str, list[str]] = {name: [] for name in scopes}
    for scope, body in scopes.items():
        for number in draw(st.sets(st.integers(0, 1), max_size=2)):
            body.setdefault("bridges", {})[f"br{number}"] = draw(bridge(number))
            ends[scope].append(f"br{number}")
    for number in draw(st.sets(st.integers(0, 3))):
        near, far = draw(st.sampled_from(sorted(scopes))), draw(st.sampled_from(sorted(scopes)))
        peer = draw(end(scopes[far], 20 + number)) | {"namespace": far, "name": f"p{number}"}
        scopes[near].setdefault("veths", {})[f"v{number}"] = draw(end(scopes[near], 10 + number)) | {"peer": peer}
        ends[near].append(f"v{number}")
        ends[far].append(f"p{number}")
    networks = connected(scopes)
    for scope, body in scopes.items():
        body.update(draw(extras(scope, ends[scope], networks[scope])))
    host = scopes.pop("host")
    data = {"version": 1, "name": "any", **host, "namespaces": scopes}
    try:
        built = topology.build(Plain(data))
    except InputError as error:
        raise AssertionError(f"the generator made {json.dumps(data)}: {error}") from error
    for key, _ in loops.closing({key: one.object for key, one in built.objects.items()}):
        body = data if key.scope == "host" else scopes[key.scope]
        for side in (body["veths"][key.name], body["veths"][key.name]["peer"]):  # a storm would take the machine
            side.pop("master", None)
            side.pop("isolated", None)
    return data


def addresses(number: int) -> st.SearchStrategy[list[str]]:
    four = st.sampled_from([f"10.{number}.0.{host}/{length}" for host in (1, 2, 3) for length in (24, 25)])
    six = st.sampled_from([f"fd00:{number}::{host}/64" for host in (1, 2)])
    return st.lists(four | six, unique=True, max_size=3)


def bridge(number: int) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "addresses": addresses(number + 1),
            "mtu": st.sampled_from([1500, 1400]),
            "ageing_time": st.sampled_from([30000, 0]),
            "stp": st.booleans(),
            "up": st.sampled_from([True, True, False]),
        }
    )


@st.composite
def end(draw: st.DrawFn, body: dict[str, Any], number: int) -> dict[str, Any]:
    made: dict[str, Any] = {"addresses": draw(addresses(number)), "mtu": draw(st.sampled_from([1500, 1400]))}
    if body.get("bridges") and draw(st.booleans()):
        made["master"] = draw(st.sampled_from(sorted(body["bridges"])))
        made["isolated"] = draw(st.booleans())
    if draw(st.integers(0, 9)) == 0:
        made["up"] = False
    return made


def connected(scopes: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """By scope the addresses on links that are up and whose every need is up."""
    found: dict[str, list[str]] = {scope: [] for scope in scopes}
    for scope, body in scopes.items():
        for one in (body.get("bridges") or {}).values():
            found[scope] += one["addresses"] if one["up"] else []
        for one in (body.get("veths") or {}).values():
            for where, side in ((scope, one), (one["peer"]["namespace"], one["peer"])):
                found[where] += side["addresses"] if side.get("up", True) else []
    return found


@st.composite
def extras(draw: st.DrawFn, scope: str, links: list[str], networks: list[str]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    routes = {}
    for text in draw(st.lists(st.sampled_from(networks), max_size=3)) if networks else ():
        network = ipaddress.ip_interface(text).network
        to = draw(
            st.sampled_from(["default", "10.200.0.0/16"] if network.version == 4 else ["default", "fd00:ff::/48"])
        )
        metric = draw(st.sampled_from([50, 60]))
        routes[network.version, to, metric] = {"to": to, "via": str(network[100]), "metric": metric}
    if draw(st.booleans()):
        routes[4, "192.0.2.0/24", 0] = {
            "to": "192.0.2.0/24",
            "type": draw(st.sampled_from(["blackhole", "unreachable"])),
        }
    if routes:
        body["routes"] = list(routes.values())
    if draw(st.booleans()):
        body["sysctls"] = {"net.ipv4.ip_forward": draw(st.integers(0, 1))}
    ports = draw(st.sets(st.integers(8000, 8004)))
    if ports:
        body["port_maps"] = [f"{port}:10.1.0.{draw(st.integers(2, 3))}:80" for port in sorted(ports)]
    if draw(st.booleans()):
        body["masquerades"] = [{"source": "10.1.0.0/24", "except_out": links[:1]}]
    isolated = draw(st.lists(st.sampled_from(links), unique=True, max_size=2)) if links else []
    if isolated:
        body["isolations"] = [{"link": link, "internal": draw(st.booleans())} for link in isolated]
    if scope != "host" and draw(st.booleans()):
        body["hosts"] = {"db": draw(st.sampled_from(["10.0.0.7", "10.0.0.8"]))}
    return body


def run(tmp_path: pathlib.Path, command: str, data: dict[str, Any], *options: str) -> int:
    path = tmp_path / "topology.yaml"
    path.write_text(json.dumps(data))
    forced = ["--force"] if command in ("apply", "delete") else []  # it may be the only default route that goes
    return main.main([command, *forced, *options, str(path)])


def dump(data: dict[str, Any]) -> dict[str, Any]:
    """The kernel in the words of ip and nft, without what differs from one creation to the next."""
    found: dict[str, Any] = {"namespaces": sorted(one["name"] for one in tool("ip -j netns list"))}
    for scope in ("host", *data["namespaces"]):
        inside = "" if scope == "host" else f"ip netns exec {scope} "
        links = sorted(map(link, tool(f"{inside}ip -j -d addr show")), key=lambda one: one["name"])
        routes = [route(one) for one in tool(f"{inside}ip -j -N route show table all")]
        routes += [route(one) for one in tool(f"{inside}ip -j -N -6 route show table all")]
        nft = subprocess.run(f"{inside}nft -s list ruleset", shell=True, capture_output=True, text=True, check=True)
        found[scope] = (links, sorted(one for one in routes if one), sorted(nft.stdout.splitlines()))
    for path in sorted(pathlib.Path("/etc/netns").glob("*/*")):
        found[str(path)] = path.read_text()
    return found


def tool(command: str) -> Any:
    return json.loads(subprocess.run(command, shell=True, capture_output=True, text=True, check=True).stdout or "[]")


def link(row: dict[str, Any]) -> dict[str, Any]:
    own = sorted(
        f"{one['local']}/{one['prefixlen']}" for one in row.get("addr_info", ()) if not one["local"].startswith("fe80")
    )
    info = row.get("linkinfo", {})
    data = info.get("info_data", {})
    return {
        "name": row["ifname"],
        "up": "UP" in row["flags"],
        "mtu": row["mtu"],
        "alias": row.get("ifalias"),
        "master": row.get("master"),
        "kind": info.get("info_kind"),
        "data": {name: data.get(name) for name in ("ageing_time", "stp_state")},
        "isolated": info.get("info_slave_data", {}).get("isolated"),
        "addresses": own,
    }


def route(row: dict[str, Any]) -> str:
    if row.get("protocol") == "2" or row.get("table") in ("255", "local"):
        return ""
    words = ("dst", "type", "gateway", "dev", "metric", "table", "protocol", "nexthops")
    return json.dumps({word: row.get(word) for word in words}, sort_keys=True)


@pytest.mark.live
@SETTINGS
@given(data=topologies())
def test_applied_to_nothing_it_leaves_nothing_to_do(data: dict[str, Any], tmp_path_factory: Any) -> None:
    with throwaway.host():
        tmp_path = tmp_path_factory.mktemp("any")
        assert run(tmp_path, "apply", data, "-q") == 0
        assert run(tmp_path, "check", data, "-v") == 0
        assert run(tmp_path, "delete", data, "-q") == 0
        assert run(tmp_path, "plan", {"version": 1, "name": "any"}, "-v") == 0


@pytest.mark.live
@SETTINGS
@given(first=topologies(), second=topologies())
def test_from_any_to_any(first: dict[str, Any], second: dict[str, Any], tmp_path_factory: Any) -> None:
    tmp_path = tmp_path_factory.mktemp("any")
    with throwaway.host():
        assert run(tmp_path, "apply", second, "-q") == 0
        alone = dump(second)
    with throwaway.host():
        assert run(tmp_path, "apply", first, "-q") == 0
        assert run(tmp_path, "apply", second, "-q") == 0
        assert run(tmp_path, "check", second, "-v") == 0
        assert dump(second) == alone
