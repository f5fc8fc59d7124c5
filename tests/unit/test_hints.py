"""What a refusal of the kernel means to people: a hint for each errno, in the text and in the JSON."""

from __future__ import annotations

import dataclasses
import errno
import pathlib
from typing import Any

import pytest
from command import Netrecon
from pretended.seam import Pretended

from reconciler.cli import failures
from reconciler.cli.shown import HINTS
from reconciler.kinds import KINDS
from reconciler.kinds.links.bridge import Bridge
from reconciler.model.changes import Change
from reconciler.model.errors import Failure
from reconciler.model.keys import Key
from reconciler.model.requests import NftFrame

TOPOLOGY: dict[str, Any] = {"bridges": {"br0": {}}}
LACKS = "this kernel lacks the feature; docs/requirements.md lists what netrecon needs"
EXPECTED = {
    errno.EPERM: "run netrecon as root",
    errno.EBUSY: "something holds it; see the kernel's words",
    errno.EEXIST: "something else made it meanwhile; run netrecon plan again",
    errno.ENODEV: "a link or namespace that it needs is missing",
    errno.EINVAL: "the kernel does not take these values together",
    errno.ERANGE: "a value is out of the range that the kernel takes",
    errno.EOPNOTSUPP: f"{LACKS} (CONFIG_BRIDGE)",
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


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ERANGE])
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


# ------------------------------------------------------------------ features that not every kernel has


@pytest.mark.parametrize(
    ("topology", "suspects"),
    [
        (
            {"bridges": {"br0": {"stp": True, "vlan_filtering": False, "priority": 7}}},
            "(vlan_filtering: CONFIG_BRIDGE_VLAN_FILTERING)",
        ),
        ({"bridges": {"br0": {"stp": True}}}, "(CONFIG_BRIDGE)"),
        ({"veths": {"v0": {"peer": {"name": "v1"}}}}, "(CONFIG_VETH)"),
        ({"namespaces": {"n": {}}}, "(CONFIG_NET_NS)"),
        ({"interfaces": {"lo": {"addresses": ["fd00::1/64"]}}}, "(CONFIG_IPV6)"),
    ],
)
@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT])
def test_what_a_kernel_can_lack_is_named(
    number: int, topology: dict[str, Any], suspects: str, pretended: Pretended, netrecon: Netrecon
) -> None:
    pretended.fault = lambda _n, _request: Failure(number, "no")
    assert f"no; {LACKS} {suspects}" in netrecon("apply", topology, code=3)


def test_an_ipv4_address_lacks_no_option(pretended: Pretended, netrecon: Netrecon) -> None:
    pretended.fault = lambda _n, _request: Failure(errno.EOPNOTSUPP, "no")
    said = netrecon("apply", {"interfaces": {"lo": {"addresses": ["10.0.0.1/24"]}}}, code=3)
    assert f"no; {LACKS}\n" in said


def test_of_an_update_only_what_changes_is_named(pretended: Pretended, netrecon: Netrecon) -> None:
    made: dict[str, Any] = {"bridges": {"br0": {"vlan_filtering": False, "mcast_snooping": True, "priority": 7}}}
    netrecon("apply", "-q", made)
    pretended.fault = lambda _n, _request: Failure(errno.EOPNOTSUPP, "no")
    made["bridges"]["br0"] |= {"mcast_snooping": False}
    said = netrecon("apply", made, code=3)
    assert f"{LACKS} (mcast_snooping: CONFIG_BRIDGE_IGMP_SNOOPING)" in said
    made["bridges"]["br0"] |= {"mcast_snooping": True, "priority": 8}
    assert f"{LACKS} (priority)" in netrecon("apply", made, code=3)


def test_an_expression_that_nftables_lacks(pretended: Pretended, netrecon: Netrecon) -> None:
    pretended.fault = lambda _n, request: (
        Failure(errno.ENOENT, "Could not process rule") if isinstance(request, NftFrame) else None
    )
    said = netrecon("apply", {"port_maps": ["8080:10.0.0.2:80"]}, code=3)
    assert f"Could not process rule; {LACKS} (CONFIG_NF_TABLES_INET, CONFIG_NFT_FIB_INET" in said


def test_an_attribute_that_the_kernel_ignores() -> None:
    """Without the option the kernel takes the request, and a dump shows nothing of the attribute."""
    before, after = Bridge("host", "br0"), Bridge("host", "br0", mcast_snooping=False, vlan_default_pvid=7)
    key = Key("bridge", "host", "br0")
    change = Change("update", key, before, after, ("mcast_snooping", "vlan_default_pvid"), "in-place", "case")
    (line,) = failures.remaining_lines([change])
    options = "mcast_snooping: CONFIG_BRIDGE_IGMP_SNOOPING, vlan_default_pvid: CONFIG_BRIDGE_VLAN_FILTERING"
    assert line.endswith(f"vlan_default_pvid is none, not 7; {LACKS} ({options})")
    shown = dataclasses.replace(change, before=after, after=before, differs=("mcast_snooping",))
    assert LACKS not in next(failures.remaining_lines([shown]))


def test_every_option_that_a_hint_names_is_in_the_list() -> None:
    text = (pathlib.Path(__file__).parents[2] / "docs" / "requirements.md").read_text()
    options = {option for kind in KINDS for named in kind.features.values() for option in named.split(", ")}
    assert options
    assert [option for option in sorted(options) if f"`{option}`" not in text] == []
