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
    }  # fmt: skip
    said = netrecon("apply", TOPOLOGY, code=3)
    assert f"made to fail{'; ' * bool(expected)}{expected}" in said
