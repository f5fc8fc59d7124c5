"""What is sent to the kernel, as plain data: the writer alone sends it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from reconciler.model.data import dataclass
from reconciler.model.port_ranges import PortRanges

# Netlink.flags of what makes something: it may not be there yet; it must not be there; what is there is replaced.
NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE = 0x400, 0x200, 0x100


class LinkRef(NamedTuple):
    """Stands in a request for the ifindex of a link; looked up when it is sent."""

    scope: str
    name: str


class NamespaceRef(NamedTuple):
    """Stands in a request for a file descriptor of the namespace."""

    scope: str


@dataclass(frozen=True, slots=True)
class Netlink:
    """One rtnetlink message.

    ``command`` is new/set/del + link/addr/route/rule; ``fields`` are the header's fields and
    ``attributes`` the (name, value) pairs, both as pyroute2's message class calls them;
    nested attributes are tuples of pairs under ``{"attrs": ...}``.  What only one kind of link, or a port, has is named
    by the Attribute of its table (see attributes.py) in place of a name.  LinkRef and NamespaceRef
    may stand for any integer.  ``flags`` are extra NLM_F_* bits (REQUEST and ACK go without saying).
    ``optional``: a refusal by the kernel is no failure.
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
    ]
    fields: Mapping[str, Any]
    attributes: tuple[tuple[str, Any], ...] = ()
    flags: int = 0
    body: bytes = b""  # sent as it is in place of fields and attributes (a rule read from a dump)
    optional: bool = False


@dataclass(frozen=True, slots=True)
class CreateNamespace:
    """Make /run/netns/<name> with ``lo`` stamped, in its group and up before anyone can see it.

    ``parked``: bring back the one that a DeleteNamespace put aside.
    """

    name: str
    alias: str
    parked: bool = False
    group: int = 0


@dataclass(frozen=True, slots=True)
class DeleteNamespace:
    """Unmount and remove /run/netns/<name>."""

    name: str


@dataclass(frozen=True, slots=True)
class WriteSysctl:
    """Write a /proc/sys value in one namespace; ``key`` in sysctl(8) spelling."""

    scope: str
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class WriteFile:
    """Write a DNS file of a scope atomically; ``text`` None removes it.

    In a namespace it is the whole file; in the host scope only the topology's marked block in it.
    """

    scope: str
    name: str
    text: str | None
    owner: str


@dataclass(frozen=True, slots=True)
class NftFrame:
    """nft commands (native syntax) that make, rewrite or delete the fixed part of a table.

    All NftFrame and NftElement requests of one scope go out as one atomic transaction:
    element deletions first, then frames, then element additions.  ``stamp`` asks that the
    rules be read back and stamped afterwards (False when the table is deleted).
    """

    scope: str
    table: str
    text: str
    stamp: bool = True


@dataclass(frozen=True, slots=True)
class NftElement:
    """One element of a set or map; ``text`` as nft writes it: ``tcp . 80 : 10.0.0.2 . 80``."""

    scope: str
    table: str
    set: str
    action: Literal["add", "delete"]
    text: str


@dataclass(frozen=True, slots=True)
class ForgetFlows:
    """Remove the conntrack entries that still do what a port map did before it changed.

    Those of ``protocol`` that were opened to ``listen`` (0.0.0.0 or ::, any address) and ``port`` and went to
    ``target``; with ``others``, those to an address of the scope itself that went anywhere else, and with
    ``unanswered`` those too to which nobody has answered.
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
class ForgetUntranslated:
    """As ForgetFlows with ``others`` and ``unanswered``, for every port that the table publishes when it is sent."""

    scope: str
    table: str


@dataclass(frozen=True, slots=True)
class ReservePorts:
    """Add port ranges (first, last) to net.ipv4.ip_local_reserved_ports and take others out of it.

    The setting is one list that many share: it is read and written back when this is sent.
    """

    scope: str
    add: PortRanges
    drop: PortRanges


Request = (
    Netlink
    | CreateNamespace
    | DeleteNamespace
    | WriteSysctl
    | WriteFile
    | NftFrame
    | NftElement
    | ForgetFlows
    | ForgetUntranslated
    | ReservePorts
)
