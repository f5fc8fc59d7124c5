"""What a refusal of the kernel means to people: a hint for each errno, in the text and in the JSON."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from command import Netrecon
from pretended.seam import Pretended

from reconciler.cli.shown import HINTS
from reconciler.model.errors import Failure

TOPOLOGY: dict[str, Any] = {"bridges": {"br0": {}}}
EXPECTED = {
    errno.EPERM: "run netrecon as root",
    errno.EBUSY: "something holds it; see the kernel's words",
    errno.EEXIST: "something else made it meanwhile; run netrecon plan again",
    errno.ENODEV: "a link or namespace that it needs is missing",
    errno.EINVAL: "the kernel does not take these values together",
    errno.ERANGE: "a value is out of the range that the kernel takes",
    errno.EOPNOTSUPP: "this kernel lacks the feature; see netrecon's list of what it needs",
    errno.ENETDOWN: "the link is down",
    errno.ENETUNREACH: "no connected prefix reaches the gateway; give it an address there or onlink",
    errno.EHOSTUNREACH: "no connected prefix reaches the gateway; give it an address there or onlink",
}


@pytest.mark.parametrize("number", [*HINTS, errno.ENOMEM])
def test_hint(number: int, pretended: Pretended, netrecon: Netrecon) -> None:
    pretended.fault = lambda _n, _request: Failure(number, "made to fail")
    (failed,) = netrecon.json("apply", TOPOLOGY, code=3)["result"]["failed"]
    expected = EXPECTED.get(number, "")
    assert failed == {
        "key": "bridge/host/br0", "action": "create", "errno": number, "error": "made to fail", "hint": expected,
        "origin": failed["origin"],
    }  # fmt: skip
    assert failed["origin"].endswith(".yaml:1")
    said = netrecon("apply", TOPOLOGY, code=3)
    assert f"made to fail{'; ' * bool(expected)}{expected}" in said


MANY: dict[str, Any] = {"bridges": {f"br{number}": {} for number in range(20)}}


def test_equal_failures_are_one_line_with_a_count(pretended: Pretended, netrecon: Netrecon) -> None:
    pretended.fault = lambda _n, _request: Failure(errno.ENOMEM, "no room")
    (line,) = [line for line in netrecon("apply", MANY, code=3).splitlines() if "no room" in line]
    assert line.startswith("failed: create bridge/host/br0 (")
    assert line.endswith(".yaml:1): no room (and 19 more the same way; --json lists them)")
    assert len(netrecon.json("apply", MANY, code=3)["result"]["failed"]) == 20


def test_what_waits_for_one_failure_is_one_line(pretended: Pretended, netrecon: Netrecon) -> None:
    no = Failure(errno.ENOMEM, "no room")
    pretended.fault = lambda _n, request: no if getattr(request, "command", "") == "newlink" else None
    addresses = [f"10.0.{number}.1/24" for number in range(9)]
    told = netrecon("apply", "--keep-going", {"bridges": {"br0": {"addresses": addresses}}}, code=4)
    (line,) = [line for line in told.splitlines() if line.startswith("blocked: ")]
    assert "waits for bridge/host/br0, which failed (and 8 more for it too; --json lists them)" in line


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ERANGE, errno.EOPNOTSUPP])
def test_the_attributes_that_were_sent_are_named(number: int, pretended: Pretended, netrecon: Netrecon) -> None:
    made: dict[str, Any] = {"bridges": {"br0": {"priority": 7, "stp": True}}}
    pretended.fault = lambda _n, _request: Failure(number, "no")
    assert "(stp, priority)" in netrecon("apply", made, code=3)
    pretended.fault = lambda _n, _request: None
    netrecon("apply", made)
    pretended.fault = lambda _n, _request: Failure(number, "no")
    made["bridges"]["br0"]["priority"] = 8
    (failed,) = netrecon.json("apply", made, code=3)["result"]["failed"]
    assert failed["hint"].endswith("(priority)")
