"""Where route_localnet is on, our rules guard 127.0.0.0/8: at each request of a run, of its rollback, after a kill."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import permutations
from typing import Any

import pytest
from command import Netrecon
from pretended.host import Host
from pretended.seam import Pretended

from reconciler.model.errors import Failure
from reconciler.model.requests import Request

BRIDGES = {f"br{number}": {"addresses": [f"10.{number}.0.1/24"]} for number in (0, 1)}


def on_bridges(*port_maps: str, **more: Any) -> dict[str, Any]:
    return {"bridges": BRIDGES, "port_maps": list(port_maps), **more}


def inside(topology: dict[str, Any]) -> dict[str, Any]:
    return {"namespaces": {"test": topology}}


TOPOLOGIES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "bridges": {"bridges": BRIDGES},
    "published": on_bridges("8080:10.0.0.2:80"),
    "to another bridge": on_bridges("8080:10.1.0.2:80"),
    "for the host alone": on_bridges("127.0.0.1:8080:10.0.0.2:80", "127.0.0.1:8081:10.1.0.2:80"),
    "behind what others made": {
        "interfaces": {"eth0": {"addresses": ["10.9.0.1/24"]}},
        "port_maps": ["8080:10.9.0.2:80"],
    },
    "another bridge is gone": {"bridges": {"br1": BRIDGES["br1"]}, "port_maps": ["8080:10.1.0.2:80"]},
    "isolated": on_bridges(isolations=[{"link": "br0"}], sysctls={"net.ipv4.ip_forward": 1}),
    "in a namespace": inside(on_bridges("8080:10.0.0.2:80")),
    "a namespace": inside({"bridges": BRIDGES}),
}
PAIRS = [pair for pair in permutations(TOPOLOGIES, 2) if {"published", "behind what others made"} & {*pair}]


class Killed(BaseException):
    """As if the process had been killed."""


class Watch:
    """Looks at the host before each request; ``at`` is the request to refuse, or to die at."""

    def __init__(self, pretended: Pretended, at: int = 0, kill: bool = False) -> None:
        self.pretended, self.at, self.kill = pretended, len(pretended.sent) + at, kill
        self.met = False
        pretended.fault = self.before

    def before(self, number: int, request: Request) -> Failure | None:
        unguarded = list(open_links(self.pretended.host))
        assert not unguarded, f"before {request}: {unguarded}"
        if number != self.at:
            return None
        self.met = True
        if self.kill:
            self.pretended.fault = lambda _number, _request: None
            raise Killed
        return Failure(22, "refused by the test")


def open_links(host: Host) -> Iterator[tuple[str, str]]:
    """The settings route_localnet that are on where no table of ours drops what comes for 127.0.0.0/8."""
    for name in host.names:
        space = host.space(name)
        guarded = any(len(table.rules.get("raw", ())) == 2 for _, table in space.tables.items())
        for key, value in space.settings.items():
            if key.endswith(".route_localnet") and value == "1" and not guarded:
                yield name, key


def begin(pretended: Pretended, netrecon: Netrecon, first: str) -> None:
    pretended.sh("ip link add eth0 type veth peer name far0", "ip link set eth0 up")
    netrecon("apply", TOPOLOGIES[first], "-q")


@pytest.mark.parametrize("pair", PAIRS, ids=" then ".join)
def test_whatever_is_refused(pair: tuple[str, str], pretended: Pretended, netrecon: Netrecon) -> None:
    begin(pretended, netrecon, pair[0])
    saved = pretended.save()
    for number in range(1, 1000):
        watch = Watch(pretended, number)
        netrecon("apply", TOPOLOGIES[pair[1]], "-q", code=None)
        assert not list(open_links(pretended.host))
        if not watch.met:
            return
        pretended.restore(saved)
    raise AssertionError("it never ends")


@pytest.mark.parametrize("pair", PAIRS, ids=" then ".join)
def test_wherever_it_is_killed(pair: tuple[str, str], pretended: Pretended, netrecon: Netrecon) -> None:
    begin(pretended, netrecon, pair[0])
    saved = pretended.save()
    for number in range(1, 1000):
        watch = Watch(pretended, number, kill=True)
        with contextlib.suppress(Killed):
            netrecon("apply", TOPOLOGIES[pair[1]], "-q")
        if not watch.met:
            return
        Watch(pretended)
        netrecon("apply", TOPOLOGIES[pair[1]], "-q")
        assert not list(open_links(pretended.host))
        pretended.restore(saved)
    raise AssertionError("it never ends")


@pytest.mark.parametrize("pair", PAIRS, ids=" then ".join)
def test_with_the_record_lost(pair: tuple[str, str], pretended: Pretended, netrecon: Netrecon) -> None:
    begin(pretended, netrecon, pair[0])
    for path in (pretended.folder / "netrecon").glob("*.json"):
        path.unlink()
    Watch(pretended)
    for topology in (pair[1], "nothing"):
        netrecon("apply", TOPOLOGIES[topology], "-q")
        assert not list(open_links(pretended.host))


APART = {
    "bridges": {"br0": {"addresses": ["10.0.0.1/24"]}, "br1": {"addresses": ["10.1.0.1/24"]}},
    "veths": {
        f"v{number}": {"master": "br0", "isolated": True, "peer": {"namespace": "test", "name": f"e{number}"}}
        for number in (0, 1)
    },
    "namespaces": {"test": {}},
    "isolations": [{"link": "br0", "internal": True}],
    "sysctls": {"net.ipv4.ip_forward": 1},
}


def let_in(host: Host) -> Iterator[str]:
    """What APART keeps apart and what can pass now: a port that is up, or the bridge when the host forwards."""
    space = host.space("host")
    for row in space.links.values():
        if row.name in ("v0", "v1") and row.master and row.up and not row.port["isolated"]:
            yield row.name
    isolated = {key for table in space.tables.values() for key in table.elements.get("internal", {})}
    behind = any(row.master and row.up for row in space.links.values() if row.name in ("v0", "v1"))
    if behind and space.settings["net.ipv4.ip_forward"] == "1" and not isolated:
        yield "br0"


@pytest.mark.parametrize("there", [{}, {"bridges": APART["bridges"]}, {"sysctls": APART["sysctls"]}], ids=str)
def test_what_is_apart_is_so_from_its_first_moment_to_its_last(
    there: dict[str, Any], pretended: Pretended, netrecon: Netrecon
) -> None:
    netrecon("apply", "-q", there)
    seen: list[str] = []

    def look(_number: int, _request: Request) -> None:
        seen.extend(let_in(pretended.host))

    pretended.fault = look
    for topology in (APART, there, APART, {**APART, "isolations": [], "veths": {}}, APART, {}):
        netrecon("apply", "-q", topology)
        assert not seen, topology
