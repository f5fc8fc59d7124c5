"""A plan carried out in a copy first: what the parent makes of it, and the copy itself on a pretended host."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
from big_plan import AFTER, BEFORE
from command import Netrecon
from pretended.seam import Kernel, Pretended

from reconciler.kernel.namespaces import throwaway
from reconciler.kernel.proc import dns_files
from reconciler.model.errors import Failure, InputError, KernelError, NetreconError
from reconciler.run import load, pipeline, rehearsal
from reconciler.safety import records, state_dir

TOPOLOGY: dict[str, Any] = {
    "interfaces": {"eth0": {"addresses": ["192.0.2.10/24"]}},
    "bridges": {"br0": {"addresses": ["10.0.0.1/24"]}},
    "routes": [{"to": "default", "via": "192.0.2.1"}],
}


def big(topology: dict[str, Any]) -> dict[str, Any]:
    return {word: value for word, value in topology.items() if word != "version"}


@pytest.fixture
def copy(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Pretended:
    """The host into which the rehearsal goes: another pretended one, with a state folder of its own."""
    other = Pretended(tmp_path / "copy")

    def enter() -> None:
        (tmp_path / "copy" / "etc" / "netns").mkdir(parents=True, exist_ok=True)
        monkeypatch.setattr(dns_files, "ETC", str(tmp_path / "copy" / "etc"))
        monkeypatch.setattr(state_dir, "FOLDER", str(tmp_path / "copy" / "netrecon"))

    monkeypatch.setattr(throwaway, "enter", enter)
    monkeypatch.setattr(rehearsal, "Kernel", lambda: Kernel(other))
    return other


def attempt(pretended: Pretended, file: str) -> dict[str, Any]:
    """What the child does, in this process."""
    intent = pipeline.to_have(load.load([file]))
    with Kernel(pretended) as kernel:
        planned = pipeline.plan(kernel, intent, warn=False)  # type: ignore[arg-type]
    found: dict[str, Any] = rehearsal._attempt(planned.intent, planned.live, records.load())
    return json.loads(json.dumps(found))  # type: ignore[no-any-return]


def test_copy_of_a_host_with_much_in_it(pretended: Pretended, copy: Pretended, netrecon: Netrecon) -> None:
    netrecon("apply", "-q", big(BEFORE))
    pretended.sh("ip link add theirs0 type vxlan id 7 dstport 4789", "ip link add eth0 type veth peer name far0")
    pretended.sh("ip route add blackhole 10.66.0.0/16 proto static", "ip rule add from 10.5.0.0/16 lookup 100")
    before = pretended.picture()
    found = attempt(pretended, netrecon.file(big(AFTER)))
    assert (found["problems"], found["lacking"]) == ([], [])
    assert found["applied"] > 60
    assert copy.host.space("host").has("theirs0")
    assert copy.host.space("host").has("new0")
    assert pretended.picture() == before


def test_what_the_kernel_would_refuse(pretended: Pretended, copy: Pretended, netrecon: Netrecon) -> None:
    pretended.sh("ip link add eth0 type veth peer name far0", "ip link set eth0 up")
    copy.fault = lambda _n, request: Failure(95, "not on this kernel") if "'br0'" in str(request) else None
    (problem,) = attempt(pretended, netrecon.file(TOPOLOGY))["problems"]
    assert "rehearsed in a throwaway copy: create bridge/host/br0 fails: not on this kernel" in str(problem)


def test_what_cannot_be_rebuilt_is_said(pretended: Pretended, copy: Pretended, netrecon: Netrecon) -> None:
    netrecon("apply", "-q", {"bridges": {"br1": {}}})
    copy.fault = lambda _n, request: Failure(95, "not here") if "'br1'" in str(request) else None
    found = attempt(pretended, netrecon.file({"bridges": {"br1": {}, "br2": {}}}))
    assert found["lacking"] == ["bridge/host/br1"]


# ------------------------------------------------------------------ the parent


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ('{"applied": 3, "lacking": [], "problems": []}', "3 changes applied and verified"),
        ('{"applied": 3, "lacking": ["a", "b"], "problems": []}', "3 changes applied and verified (without a, b)"),
    ],
)
def test_understood(answer: str, said: str) -> None:
    assert str(rehearsal._understood(answer)).endswith(said)


def test_not_understood() -> None:
    with pytest.raises(NetreconError, match="rehearsal: the rehearsal ended without a word"):
        rehearsal._understood("")
    with pytest.raises(NetreconError, match="rehearsal: no namespaces here"):
        rehearsal._understood('{"error": "no namespaces here"}')


def child(monkeypatch: pytest.MonkeyPatch, happens: Any) -> None:
    monkeypatch.setattr(rehearsal, "_attempt", happens)


def test_a_child_of_its_own(
    pretended: Pretended, copy: Pretended, netrecon: Netrecon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Really forked: what is done to the copy is not to be seen here."""
    pretended.sh("ip link add eth0 type veth peer name far0", "ip link set eth0 up")
    said = netrecon("plan", "--rehearse", TOPOLOGY, code=2)
    assert "rehearsed in a throwaway copy: 4 changes applied and verified" in said
    assert copy.sent == []
    assert "rehearsed" not in netrecon("plan", "--rehearse", {}, code=0)
    netrecon("apply", "-q", "--rehearse", TOPOLOGY)


def test_without_a_host(pretended: Pretended, copy: Pretended, netrecon: Netrecon) -> None:
    """Stand-ins take the place of the links that the file takes as given."""
    found = netrecon.json("rehearse", TOPOLOGY)
    assert (found["applied"], found["problems"]) == (4, [])
    assert "4 changes applied" in netrecon("rehearse", TOPOLOGY)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KernelError("make a throwaway host", Failure(1)), "rehearsal: make a throwaway host"),
        (ZeroDivisionError("by zero"), "rehearsal: unforeseen ZeroDivisionError: by zero"),
    ],
)
def test_a_child_that_fails(
    error: Exception, said: str, pretended: Pretended, netrecon: Netrecon, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    child(monkeypatch, fail)
    assert said in netrecon("rehearse", {"bridges": {"br0": {}}}, code=1)


def test_a_child_that_finds_problems(pretended: Pretended, netrecon: Netrecon, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        from reconciler.model.errors import Problem
        from reconciler.model.keys import Origin

        raise InputError([Problem(Origin("lab.yaml", 3, 1, ("bridges", "br0")), "is no good")])

    child(monkeypatch, refuse)
    assert "lab.yaml:3:1: bridges.br0: is no good" in netrecon("rehearse", {"bridges": {"br0": {}}}, code=1)
