"""Kernels before 5.18 do not keep an address's protocol, and their dumps lack what later ones have."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import oracle
import pytest
from command import Netrecon
from pretended.seam import Pretended

from reconciler.kernel.netlink import decode, reader
from reconciler.model.errors import Failure
from reconciler.model.requests import Netlink
from reconciler.model.rows import ScopeState

DUMPS = pathlib.Path(__file__).parents[1] / "cases" / "dumps"
ON_ETH0: dict[str, Any] = {"interfaces": {"eth0": {"addresses": ["10.1.0.1/24", "fd01::1/64"]}}}
EVERYWHERE: dict[str, Any] = {
    "interfaces": {"eth0": {"addresses": ["10.1.0.1/24", "fe80::1:1/64"]}, "lo": {"addresses": ["10.255.0.1/32"]}},
    "bridges": {
        "br0": {"addresses": ["10.2.0.1/24"], "foreign_addresses": "keep"},
        "br1": {"addresses": ["10.3.0.1/24"]},
    },
    "namespaces": {
        "open": {"exclusive": False, "interfaces": {"lo": {"addresses": ["10.255.0.2/32"]}}},
        "whole": {"interfaces": {"lo": {"addresses": ["10.255.0.3/32"]}}},
    },
}  # fmt: skip


def recorded(name: str, kind: str) -> list[bytes]:
    lines = (line.split() for line in (DUMPS / name).read_text().splitlines())
    return [bytes.fromhex(words[1]) for words in lines if words[0] == kind]


@pytest.fixture(params=[(5, 10), (6, 1)], ids=["5.10", "6.1"])
def old(pretended: Pretended, request: pytest.FixtureRequest) -> Pretended:
    """An old kernel with one link of others and an address on it."""
    pretended.host.release = request.param
    pretended.sh("ip link add eth0 type veth peer name far0", "ip link set eth0 up", "ip addr add 10.9.0.1/24 dev eth0")
    return pretended


def shown(pretended: Pretended) -> set[str]:
    return {row.address for scope in pretended.host.names for row in pretended.host.state(scope).addresses}


def picture(pretended: Pretended) -> dict[str, Any]:
    """All that an apply can change; the addresses of links in any order, since a link made again gets a new index."""
    whole = pretended.picture()
    return {
        name: one | {"addresses": sorted(one["addresses"])} if "addresses" in one else one
        for name, one in whole.items()
    }


# ------------------------------------------------------------------ what their dumps show


def test_addresses_of_5_10_have_no_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [decode.address(body) for body in recorded("linux-5.10.txt", "address")]
    found = {row.address: row.protocol for row in rows if row is not None}
    assert found.keys() >= {"127.0.0.1/8", "10.0.0.1/24", "::1/128", "fd00::1/64"}
    assert set(found.values()) == {0}
    state = ScopeState("host", addresses=[row for row in rows if row is not None])
    monkeypatch.setattr(reader, "_release", lambda: (5, 10))
    assert not reader.keeps_protocol([state])
    monkeypatch.setattr(reader, "_release", lambda: (5, 18))
    assert reader.keeps_protocol([state])


def test_an_address_with_a_protocol_shows_that_an_older_release_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    (row, *_) = [decode.address(body) for body in recorded("linux-5.10.txt", "address")]
    monkeypatch.setattr(reader, "_release", lambda: (5, 14))
    assert reader.keeps_protocol([ScopeState("host", addresses=[dataclasses.replace(row, protocol=1)])])


@pytest.mark.parametrize(
    ("text", "release"), [("5.10.0-32-cloud-amd64", (5, 10)), ("6.18.44-fc", (6, 18)), ("7.0", (7, 0)), ("odd", (0, 0))]
)
def test_release(text: str, release: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader.os, "uname", lambda: type("Uname", (), {"release": text}))
    assert reader._release.__wrapped__() == release


def test_links_of_5_10_have_the_mode_of_their_ipv6_addresses() -> None:
    """It stands only in the array of settings: without it the host would count as one without IPv6."""
    rows = [decode.link(body) for body in recorded("linux-5.10.txt", "link")]
    assert {row.name: row.addr_gen_mode for row in rows} == {"lo": 0, "v0": 1}
    for body, row in zip(recorded("linux-5.10.txt", "link"), rows, strict=True):
        oracle.compare("link", body, row)


# ------------------------------------------------------------------ whose an address is


def test_addresses_among_those_of_others_are_ours_by_record(old: Pretended, netrecon: Netrecon) -> None:
    before = old.picture()
    netrecon("apply", "-q", EVERYWHERE)
    netrecon("check", EVERYWHERE)
    sent = len(old.sent)
    netrecon("apply", "-q", EVERYWHERE)
    assert old.sent[sent:] == []
    old.sh("ip addr del 10.1.0.1/24 dev eth0")
    netrecon("check", EVERYWHERE, code=2)
    netrecon("apply", "-q", EVERYWHERE)
    netrecon("delete", "-q", "--name", "case")
    assert old.picture() == before


def test_an_address_that_leaves_the_file_leaves_the_link(old: Pretended, netrecon: Netrecon) -> None:
    netrecon("apply", "-q", EVERYWHERE)
    less = EVERYWHERE | {
        "interfaces": {"eth0": {}, "lo": {}},
        "bridges": {"br0": {"addresses": [], "foreign_addresses": "keep"}, "br1": {"addresses": []}},
        "namespaces": {"open": {"exclusive": False, "interfaces": {"lo": {}}}, "whole": {}},
    }
    old.sh("ip addr add 10.2.0.9/24 dev br0", "ip addr add 10.255.0.9/32 dev lo")
    plan = netrecon.json("plan", less, code=2)
    gone = {one["key"] for one in plan["changes"] if one["action"] == "delete"}
    assert gone == {
        "address/host/eth0/10.1.0.1/24", "address/host/eth0/fe80::1:1/64", "address/host/lo/10.255.0.1/32",
        "address/host/br0/10.2.0.1/24", "address/host/br1/10.3.0.1/24",
        "address/open/lo/10.255.0.2/32", "address/whole/lo/10.255.0.3/32",
    }  # fmt: skip
    netrecon("apply", "-q", less)
    assert shown(old) >= {"10.9.0.1/24", "10.2.0.9/24", "10.255.0.9/32"}
    netrecon("check", less)


def test_of_two_topologies_each_has_its_own(old: Pretended, netrecon: Netrecon) -> None:
    other = {"name": "other", "interfaces": {"eth0": {"addresses": ["10.1.1.1/24"]}}}
    netrecon("apply", "-q", ON_ETH0)
    netrecon("apply", "-q", other)
    netrecon("check", ON_ETH0)
    said = netrecon("apply", ON_ETH0 | {"name": "third"}, code=1)
    assert "address/host/eth0/10.1.0.1/24 belongs to topology case" in said
    netrecon("delete", "-q", ON_ETH0)
    netrecon("check", other)
    assert shown(old) >= {"10.1.1.1/24", "10.9.0.1/24"}
    assert not shown(old) & {"10.1.0.1/24", "fd01::1/64"}


def test_one_of_others_is_refused_and_can_be_adopted(old: Pretended, netrecon: Netrecon) -> None:
    wanted = {"interfaces": {"eth0": {"addresses": ["10.9.0.1/24"]}}}
    assert "--adopt would take it over" in netrecon("apply", wanted, code=1)
    (change,) = netrecon.json("apply", "--adopt", wanted)["changes"]
    assert change["action"] == "adopt"
    netrecon("check", wanted)
    netrecon("delete", "-q", wanted)
    assert "10.9.0.1/24" not in shown(old)


def test_with_a_lost_record_it_is_left_alone(old: Pretended, netrecon: Netrecon) -> None:
    old.host.release = (5, 10)  # 6.1 shows that it is netrecon's
    netrecon("apply", "-q", ON_ETH0)
    (old.folder / "netrecon" / "case.json").unlink()
    netrecon("delete", "-q", "--name", "case", code=1)
    assert shown(old) >= {"10.1.0.1/24", "fd01::1/64"}
    assert "--adopt would take it over" in netrecon("apply", ON_ETH0, code=1)
    netrecon("apply", "-q", "--adopt", ON_ETH0)
    netrecon("delete", "-q", ON_ETH0)
    assert not shown(old) & {"10.1.0.1/24", "fd01::1/64"}


def test_a_lease_of_the_same_address_is_not_ours(old: Pretended, netrecon: Netrecon) -> None:
    netrecon("apply", "-q", ON_ETH0)
    old.sh("ip addr del 10.1.0.1/24 dev eth0", "ip addr add 10.1.0.1/24 dev eth0 valid_lft 600 preferred_lft 600")
    netrecon("delete", "-q", "--name", "case")
    assert "10.1.0.1/24" in shown(old)


@pytest.mark.parametrize("command", ["apply", "delete"])
def test_a_failed_run_leaves_the_host_as_it_was(command: str, old: Pretended, netrecon: Netrecon) -> None:
    if command == "delete":
        netrecon("apply", "-q", EVERYWHERE)
    before, prepared = picture(old), len(old.sent)
    saved = old.save()
    netrecon(command, "-q", EVERYWHERE)
    count = len(old.sent) - prepared
    ends: list[str] = []
    for number in range(1, count + 1):
        old.restore(saved)
        start = len(old.sent)
        old.fault = lambda n, _request, at=start + number: Failure(16, "made to fail") if n == at else None
        said = netrecon(command, EVERYWHERE, code=None)
        old.fault = lambda _number, _request: None
        if "the host is as it was" in said:
            assert picture(old) == before, (number, said)
            ends.append(said)
    assert len(ends) > count // 2 > 2  # the others are optional


def test_an_adoption_that_is_rolled_back_leaves_it_to_others(old: Pretended, netrecon: Netrecon) -> None:
    wanted = {"interfaces": {"eth0": {"addresses": ["10.9.0.1/24", "10.8.0.1/24"]}}}

    def refused(_number: int, request: Any) -> Failure | None:
        new = isinstance(request, Netlink) and ("IFA_LOCAL", "10.8.0.1") in request.attributes
        return Failure(16, "made to fail") if new and request.command == "newaddr" else None

    old.fault = refused
    assert "rolled back: the host is as it was" in netrecon("apply", "--adopt", wanted, code=3)
    old.fault = lambda _number, _request: None
    assert "--adopt would take it over" in netrecon("plan", wanted, code=2)
    netrecon("delete", "-q", "--name", "case", code=1)
    assert "10.9.0.1/24" in shown(old)
