"""What apply would refuse is shown beside the plan, as warnings; only apply itself ends with 1."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

import pytest
from command import Netrecon
from pretended.seam import Pretended

from reconciler.kernel.proc import ssh_session
from reconciler.safety.commit_confirmed import confirmation

BRIDGE: dict[str, Any] = {"bridges": {"br0": {"addresses": ["10.0.0.1/24"]}}}
MISSING: dict[str, Any] = {"interfaces": {"eth9": {}}}
REFUSAL = {"scope", "topic", "key", "message", "hint", "refuses"}


@pytest.fixture
def foreign_bridge(pretended: Pretended) -> None:
    pretended.sh("ip link add br0 type bridge")


def refusals(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in document["warnings"] if one["refuses"]]


@pytest.mark.usefixtures("foreign_bridge")
def test_a_foreign_object_in_the_way_hides_no_change(netrecon: Netrecon) -> None:
    for command in ("plan", "check"):
        document = netrecon.json(command, BRIDGE, code=2)
        assert [change["key"] for change in document["changes"]] == ["address/host/br0/10.0.0.1/24"]
        (refusal,) = refusals(document)
        assert refusal.keys() == REFUSAL
        assert (refusal["scope"], refusal["key"]) == ("host", "bridge/host/br0")
        assert ".yaml:1: bridge/host/br0 exists already, bears no stamp" in refusal["message"]
        assert refusal["hint"] == "--adopt would take it over"
        assert not document["in_sync"]
    assert "exists already" in netrecon("apply", BRIDGE, code=1)


@pytest.mark.usefixtures("foreign_bridge")
def test_people_read_the_reason_in_the_plan_and_in_a_check(netrecon: Netrecon) -> None:
    reason = "! apply refuses this: "
    assert reason in netrecon("plan", BRIDGE, code=2)
    said = netrecon("check", BRIDGE, code=2)
    assert reason in said
    assert said.endswith("case: 1 to create; none disruptive; apply refuses this.\n")
    assert netrecon("check", "-q", BRIDGE, code=2) == ""


@pytest.mark.usefixtures("pretended")
def test_a_refusal_without_a_change_is_drift(netrecon: Netrecon) -> None:
    document = netrecon.json("check", MISSING, code=2)
    assert (document["in_sync"], document["changes"]) == (False, [])
    assert refusals(document)[0]["message"].endswith("eth9 does not exist in host")
    assert netrecon("check", MISSING, code=2).endswith("case: no changes; apply refuses this.\n")
    assert "in sync" not in netrecon("plan", MISSING, code=2)
    assert "eth9 does not exist" in netrecon("apply", MISSING, code=1)


def test_a_process_in_a_namespace_that_leaves(pretended: Pretended, netrecon: Netrecon) -> None:
    netrecon("apply", {"namespaces": {"there": {}}, **BRIDGE})
    pretended.host.occupants = {"there": [os.getpid()]}
    document = netrecon.json("plan", BRIDGE, code=2)
    assert [change["key"] for change in document["changes"]] == ["namespace/host/there"]
    (refusal,) = refusals(document)
    assert (refusal["key"], refusal["hint"]) == ("namespace/host/there", "end them, or --force deletes it")
    named = pathlib.Path("/proc/self/comm").read_text().strip()
    text = f"namespace there of topology case has live processes: pid {os.getpid()} ({named})"
    assert refusal["message"] == text
    assert text in netrecon("check", BRIDGE, code=2)


def test_a_session_that_would_be_cut(pretended: Pretended, netrecon: Netrecon) -> None:
    linked: dict[str, Any] = {"bridges": {"br0": {"addresses": ["10.0.0.1/24"]}, "br1": {}}}
    netrecon("apply", linked)
    pretended.session = ssh_session.Session("10.0.0.9", "10.0.0.1", 22)
    document = netrecon.json("plan", {"bridges": {"br1": {}}}, code=2)
    assert any("10.0.0.9" in refusal["message"] for refusal in refusals(document))


@pytest.mark.usefixtures("foreign_bridge")
def test_a_mistake_in_the_file_is_an_error(netrecon: Netrecon) -> None:
    for command in ("plan", "check"):
        document = netrecon.json(command, {"bridges": {"br0": {"mtu": "much"}}}, code=1)
        assert "errors" in document


@pytest.mark.usefixtures("foreign_bridge")
def test_what_apply_refuses_is_not_rehearsed(netrecon: Netrecon) -> None:
    assert "rehearsed" not in netrecon("plan", "--rehearse", BRIDGE, code=2)


@pytest.mark.usefixtures("pretended")
def test_an_apply_that_waits_for_its_confirmation(netrecon: Netrecon) -> None:
    confirmation.write(dataclasses.replace(confirmation.begin(["other"], 60.0), state="pending"))
    (refusal,) = refusals(netrecon.json("plan", BRIDGE, code=2))
    assert refusal["message"].startswith("other: waits for confirmation")
    assert "netrecon confirm or netrecon rollback" in netrecon("apply", BRIDGE, code=1)
