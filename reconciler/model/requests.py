"""Requests to the kernel as plain data; only ``kernel/writer.py`` sends them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from reconciler.model.data import NamedTuple, dataclass
from reconciler.model.names import BORN_MAC
from reconciler.model.port_ranges import PortRanges

# Netlink.flags: make it if it is missing; fail with EEXIST if it exists; replace it if it exists (netlink(7)).
NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE = 0x400, 0x200, 0x100


class LinkRef(NamedTuple):
    """Stands for the ifindex of a link, which is looked up when the request is sent."""

    scope: str
    name: str


class NamespaceRef(NamedTuple):
    """Stands for a file descriptor of the namespace, which is opened when the request is sent."""

    scope: str


class NewMac(NamedTuple):
    """Stands for a MAC address of the link, drawn when the request is sent: no other link has it."""

    scope: str
    name: str
    begins: str = BORN_MAC


@dataclass(frozen=True, slots=True)
class Netlink:
    """One rtnetlink message.

    ``command`` is new/set/del + link/addr/route/rule/neigh.  ``fields`` are the header's fields and ``attributes`` the
    (name, value) pairs, both with pyroute2's names; the value of a nested attribute is ``{"attrs": (pairs)}``.  An
    attribute of one link type, or of a port, has its Attribute (see attributes.py) in place of the name.  A LinkRef
    or NamespaceRef may stand in place of any integer, a NewMac in place of a MAC address.  ``flags`` are NLM_F_* bits
    beside REQUEST and ACK, which are always set.  ``optional``: if the kernel refuses the request, it does not count
    as a failure.
    """

    scope: str
    command: Literal[
        "newlink",
        "setlink",
        "dellink",
        "newaddr",
        "deladdr",
        "newroute",
        "delroute",
        "newrule",
        "delrule",
        "newneigh",
        "delneigh",
    ]
    fields: Mapping[str, Any]
    attributes: tuple[tuple[str, Any], ...] = ()
    flags: int = 0
    body: bytes = b""  # sent unchanged in place of fields and attributes (a rule or route as it was dumped)
    optional: bool = False


@dataclass(frozen=True, slots=True)
class CreateNamespace:
    """Make /run/netns/<name>; ``lo`` is up and has its alias and group before the name can be seen.

    ``parked``: bring back the namespace that a DeleteNamespace parked, with all that is in it.
    """

    name: str
    alias: str
    parked: bool = False
    group: int = 0


@dataclass(frozen=True, slots=True)
class DeleteNamespace:
    """Unmount and remove /run/netns/<name>; the writer may park the namespace until the run has ended well."""

    name: str


@dataclass(frozen=True, slots=True)
class WriteSysctl:
    """Write a /proc/sys value in one namespace; ``key`` is spelled as in sysctl(8).

    ``optional``: if the kernel has no such setting or refuses the value, it does not count as a failure.
    """

    scope: str
    key: str
    value: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class WriteFile:
    """Write a DNS file of a scope atomically; ``text`` None removes it.

    In a namespace this is the whole file /etc/netns/<scope>/<name>; in the host scope it is the block of topology
    ``owner`` in /etc/<name>, with its two marker lines.
    """

    scope: str
    name: str
    text: str | None
    owner: str


@dataclass(frozen=True, slots=True)
class RenameBlock:
    """Write the topology ``to`` in place of ``owner`` into the two marker lines of its block in /etc/<name>."""

    name: str
    owner: str
    to: str


@dataclass(frozen=True, slots=True)
class NftFrame:
    """nft commands (native syntax) that make, rewrite or delete the fixed part of a table.

    All NftFrame and NftElement requests of one scope are sent as one atomic transaction:
    element deletions first, then frames, then element additions.  With ``stamp``, the rules are
    read back afterwards and their digests stored in the table; False where the table is deleted.
    """

    scope: str
    table: str
    text: str
    stamp: bool = True


@dataclass(frozen=True, slots=True)
class RenameTable:
    """Give a table (family inet) the name ``to``, with all that is in it, in one transaction."""

    scope: str
    table: str
    to: str


@dataclass(frozen=True, slots=True)
class NftElement:
    """One element of a set or map to add or delete; ``text`` in nft's syntax: ``tcp . 80 : 10.0.0.2 . 80``."""

    scope: str
    table: str
    set: str
    action: Literal["add", "delete"]
    text: str


@dataclass(frozen=True, slots=True)
class NftLateElement(NftElement):
    """An element that is not in the transaction of the other requests, but in one after it."""


@dataclass(frozen=True, slots=True)
class ForgetFlows:
    """Delete the conntrack entries that a changed port map left behind; running flows keep to their entry.

    All are of ``protocol`` and were opened to ``listen`` (0.0.0.0 or :: for any address) and ``port``.  Deleted are
    those that were translated to ``target`` and ``target_port``.  With ``others``, instead: those to an address of the
    scope itself that went elsewhere; with ``unanswered`` also those that went to the target and had no answer yet.
    """

    scope: str
    protocol: str
    listen: str
    port: int
    target: str
    target_port: int
    others: bool = False
    unanswered: bool = False


@dataclass(frozen=True, slots=True)
class ForgetUnmasqueraded:
    """Delete the conntrack entries of flows from ``source`` (a prefix) that leave with a source that is not declared.

    Those that leave by a link of ``kept`` stay, and those that leave with their own source and get answers.  The
    declared source is ``to``, "" for whatever address the kernel chose; flows with ``instead_of`` are deleted too.
    """

    scope: str
    source: str
    kept: tuple[str, ...]
    to: str = ""
    instead_of: str = ""


@dataclass(frozen=True, slots=True)
class ForgetUntranslated:
    """As ForgetFlows with ``others`` and ``unanswered``, for every port in the table when the request is sent.

    And as ForgetUnmasqueraded for every masquerade in it.
    """

    scope: str
    table: str


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell neighbours where an address is: by gratuitous ARP, or by an unsolicited neighbour advertisement.

    They correct the entries that they have.  ``holder`` is the link that has ``address`` and ``mac``, as (scope, name).
    The packet leaves by ``link``: the same one, or another through which it need not pass a large bridge.
    """

    scope: str
    link: str
    mac: str
    address: str
    holder: tuple[str, str]


@dataclass(frozen=True, slots=True)
class ForgetForbidden:
    """Delete the conntrack entries of the flows that an isolation of ``link`` forbids: running flows keep to theirs.

    These are flows into the link's subnets, unless they are translated or come from the subnets of ``allow``, and with
    ``internal`` those out of them too.  Flows of the scope itself are never among them.
    """

    scope: str
    link: str
    allow: tuple[str, ...]
    internal: bool


@dataclass(frozen=True, slots=True)
class ReservePorts:
    """Add ranges (first, last) to net.ipv4.ip_local_reserved_ports and remove others from it.

    The setting is one list that other programs use too: it is read, changed and written when this is sent.
    """

    scope: str
    add: PortRanges
    drop: PortRanges


Forget = ForgetFlows | ForgetUnmasqueraded | ForgetUntranslated  # what is sent to conntrack
Request = (
    Netlink
    | CreateNamespace
    | DeleteNamespace
    | WriteSysctl
    | WriteFile
    | RenameBlock
    | NftFrame
    | NftElement
    | RenameTable
    | Forget
    | Announce
    | ForgetForbidden
    | ReservePorts
)
