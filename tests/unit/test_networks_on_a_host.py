"""Networks and sandboxes on a host that holds something already: what is chosen stays, and is nobody else's."""

from __future__ import annotations

from typing import Any

from command import Netrecon
from pretended.seam import Pretended

WEB: dict[str, Any] = {
    "networks": {"web": {"driver": "bridge"}},
    "sandboxes": {"one": {"endpoints": {"web": {}}}, "two": {"endpoints": {"web": {}}, "publish": ["80"]}},
}


def addresses(pretended: Pretended, scope: str) -> list[str]:
    return [row.address for row in pretended.host.state(scope).addresses if not row.address.startswith(("127.", "::1"))]


def test_addresses_that_were_given_are_kept(pretended: Pretended, netrecon: Netrecon) -> None:
    netrecon("apply", "-q", WEB)
    first = {name: addresses(pretended, name) for name in ("one", "two")}
    more = {**WEB, "sandboxes": {"nought": {"endpoints": {"web": {}}}, **WEB["sandboxes"]}}
    netrecon("apply", "-q", more)
    assert {name: addresses(pretended, name) for name in first} == first
    assert addresses(pretended, "nought") not in first.values()
    netrecon("check", more)
    sent = len(pretended.sent)
    netrecon("apply", "-q", more)
    assert pretended.sent[sent:] == []
    netrecon("delete", "-q", "--name", "case")
    assert netrecon.json("list")["topologies"] == []


def test_subnet_that_the_host_uses_is_not_taken(pretended: Pretended, netrecon: Netrecon) -> None:
    netrecon("apply", "-q", WEB)
    taken = addresses(pretended, "one")[0].split(".")[:2]
    netrecon("delete", "-q", "--name", "case")
    pretended.sh("ip link add theirs0 type bridge", f"ip addr add {'.'.join(taken)}.9.9/16 dev theirs0")
    pretended.sh("ip link set theirs0 up")
    netrecon("apply", "-q", WEB)
    assert addresses(pretended, "one")[0].split(".")[:2] != taken


def test_two_topologies_are_given_two_subnets(pretended: Pretended, netrecon: Netrecon) -> None:
    other = {"name": "other", "networks": {"db": {}}, "sandboxes": {"three": {"endpoints": {"db": {}}}}}
    netrecon("apply", "-q", WEB, other)
    assert addresses(pretended, "three")[0].split(".")[:3] != addresses(pretended, "one")[0].split(".")[:3]
    netrecon("check", WEB, other)
    netrecon("check", other)


def test_lower_shows_what_the_host_holds(pretended: Pretended, netrecon: Netrecon, monkeypatch: Any) -> None:
    pretended.sh("ip link add theirs0 type bridge", "ip addr add 172.30.0.1/16 dev theirs0", "ip link set theirs0 up")
    netrecon("apply", "-q", WEB)
    held = addresses(pretended, "one")[0]
    monkeypatch.setattr("os.geteuid", lambda: 0)
    (lowered,) = netrecon.json("lower", WEB)["topologies"]
    assert held in str(lowered)
