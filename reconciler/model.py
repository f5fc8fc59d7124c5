"""The plain data that travels through a run: keys, rows read, requests, changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal, NamedTuple

from reconciler.data import dataclass
from reconciler.ports import PortRanges

HOST = "host"
STAMP = "netrecon:"  # a link of ours carries the alias "netrecon:<topology>"
# The kernel takes an alias only from a second message, after the link exists.  A link is therefore born in
# this group: if we are killed in between, the next run still knows it for one of ours.
BIRTH_GROUP = 28274
PROTOCOL = 110  # rtm_protocol, FRA_PROTOCOL and IFA_PROTO of what we create ("n"; free in rt_protos)


class Key(NamedTuple):
    """An object's identity; ``scope`` is ``host`` or the name of a namespace."""

    kind: str
    scope: str
    name: str

    @property
    def home(self) -> str:
        """The scope that the object lies in; a namespace counts as its own."""
        return self.name if self.kind == "namespace" else self.scope

    def __str__(self) -> str:
        return f"{self.kind}/{self.scope}/{self.name}"


class Origin(NamedTuple):
    """Where the user wrote an object; lines and columns count from 1."""

    file: str
    line: int
    column: int
    path: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


# --------------------------------------------------------------------------- rows: what the dumps say


@dataclass(frozen=True, slots=True)
class LinkRow:
    """One RTM_NEWLINK of a dump (linux/if_link.h)."""

    index: int
    name: str
    kind: str  # IFLA_INFO_KIND, "" for a physical link and for lo
    up: bool  # IFF_UP, the administrative state
    loopback: bool  # IFF_LOOPBACK
    mtu: int
    mac: str  # lower case, colons; "" where there is none
    master: int  # ifindex, 0 for none
    alias: str  # IFLA_IFALIAS, "" for none
    txqueuelen: int
    peer: int  # IFLA_LINK: of a veth, the ifindex of its peer in the peer's namespace; 0 for none
    peer_nsid: int  # IFLA_LINK_NETNSID: the peer's namespace as an nsid of this one, -1 for "this one"
    addr_gen_mode: int  # IFLA_INET6_ADDR_GEN_MODE: 0 eui64, 1 none, ...; -1 where IPv6 is absent
    group: int  # IFLA_GROUP
    bridge: Mapping[str, int] = field(default_factory=dict)  # our attribute name -> raw value
    port: Mapping[str, int] = field(default_factory=dict)  # as a bridge's port: the same


@dataclass(frozen=True, slots=True)
class AddressRow:
    """One RTM_NEWADDR of a dump (linux/if_addr.h)."""

    index: int  # of its link
    address: str  # "172.16.0.1/24": IFA_LOCAL (else IFA_ADDRESS) in canonical form, with its length
    permanent: bool  # IFA_F_PERMANENT
    protocol: int  # IFA_PROTO, 0 where the kernel has none
    scope: int
    flags: int  # IFA_FLAGS, all 32 bits


class Hop(NamedTuple):
    """One next hop: ``via`` is "" for none, ``oif`` the ifindex of its link, 0 for none."""

    via: str
    oif: int
    weight: int  # 1 and more (rtnh_hops + 1)
    onlink: bool


@dataclass(frozen=True, slots=True)
class RouteRow:
    """One RTM_NEWROUTE of a dump (linux/rtnetlink.h); cloned and local-table routes are left out."""

    family: int  # socket.AF_INET or AF_INET6
    to: str  # "10.9.0.0/16"; a default is "0.0.0.0/0" or "::/0"
    table: int
    metric: int
    tos: int
    type: int  # RTN_*
    scope: int  # RT_SCOPE_*
    protocol: int
    source: str  # RTA_PREFSRC, "" for none
    mtu: int  # RTAX_MTU, 0 for none
    hops: tuple[Hop, ...]  # one, or several for a multipath route; empty for a blackhole
    nexthop: int = 0  # RTA_NH_ID: the nexthop object (ip-nexthop(8)) that the hops come from, 0 for none
    raw: bytes = field(default=b"", compare=False)  # the message's body: what RTM_NEWROUTE takes back


@dataclass(frozen=True, slots=True)
class RuleRow:
    """One RTM_NEWRULE of a dump (linux/fib_rules.h), whole, so that it can be named and deleted."""

    family: int
    priority: int
    protocol: int
    table: int
    action: int
    text: str  # "from 10.0.0.0/8 lookup 100": for people and as identity
    raw: bytes  # the message's body (fib_rule_hdr and attributes): what RTM_DELRULE takes back


@dataclass(frozen=True, slots=True)
class TableRow:
    """One of our nftables tables (inet netrecon-<topology>) with all that is in it.

    ``frame`` names each fixed part of the table and its exact form as text, so that two
    tables with equal frames are the same to the last attribute.  ``elements`` holds, by set
    name, the elements in our notation: a key (a tuple of strings and ints), or for maps
    key -> value tuples.
    """

    name: str
    frame: Mapping[str, str]
    elements: Mapping[str, Mapping[tuple[Any, ...], tuple[Any, ...]]]


@dataclass(slots=True)
class ScopeState:
    """All that was read from one namespace in one go."""

    scope: str
    links: dict[int, LinkRow] = field(default_factory=dict)  # by ifindex
    addresses: list[AddressRow] = field(default_factory=list)
    routes: list[RouteRow] = field(default_factory=list)
    rules: list[RuleRow] = field(default_factory=list)
    tables: dict[str, TableRow] = field(default_factory=dict)  # by table name
    peers: dict[int, tuple[str, int]] = field(default_factory=dict)  # veth ifindex -> (scope, ifindex)

    @property
    def owner(self) -> str:
        """The topology stamped on ``lo``, "" where there is none."""
        for link in self.links.values():
            if link.loopback:
                return stamped(link.alias)
        return ""


def stamped(alias: str) -> str:
    """The topology that an alias names, "" when it is not a stamp of ours."""
    return alias[len(STAMP) :] if alias.startswith(STAMP) else ""


@dataclass(slots=True)
class LiveState:
    """The kernel as it was read: one state per namespace, and what lies beside netlink."""

    scopes: dict[str, ScopeState] = field(default_factory=dict)
    sysctls: dict[tuple[str, str], str] = field(default_factory=dict)  # (scope, key) -> value
    files: dict[tuple[str, str], str] = field(default_factory=dict)  # (scope, name) -> text


# --------------------------------------------------------------------------- surroundings: what is nobody's object


class Listener(NamedTuple):
    """A socket of the scope that takes what comes to a port; ``process`` is "" where it could not be found."""

    protocol: str
    address: str  # "0.0.0.0"; "::" is every address of both families unless ``only6``
    port: int
    only6: bool
    pid: int
    process: str


class Barrier(NamedTuple):
    """A chain of somebody else's that drops what no rule of it accepts."""

    family: str  # ip, ip6 or inet
    table: str
    chain: str
    hook: str
    legacy: bool = False  # of iptables' old kernel interface, which nft does not show


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What decides, beside our own objects, whether a packet gets through one scope."""

    scope: str
    forwarding4: bool
    forwarding6: bool
    barriers: tuple[Barrier, ...] = ()
    listeners: tuple[Listener, ...] = ()


# --------------------------------------------------------------------------- requests: what will be sent


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
    nested attributes are tuples of pairs under ``{"attrs": ...}``.  LinkRef and NamespaceRef
    may stand for any integer.  ``flags`` are extra NLM_F_* bits (REQUEST and ACK go without saying).
    ``optional``: a refusal by the kernel is no failure.
    """

    scope: str
    command: Literal[
        "newlink", "setlink", "dellink", "newaddr", "deladdr", "newroute", "delroute", "newrule", "delrule"
    ]
    fields: Mapping[str, Any]
    attributes: tuple[tuple[str, Any], ...] = ()
    flags: int = 0
    body: bytes = b""  # sent as it is in place of fields and attributes (a rule read from a dump)
    optional: bool = False


@dataclass(frozen=True, slots=True)
class CreateNamespace:
    """Make /run/netns/<name> with ``lo`` stamped and up before anyone can see it.

    ``parked``: bring back the one that a DeleteNamespace put aside.
    """

    name: str
    alias: str
    parked: bool = False


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

# --------------------------------------------------------------------------- objects, and what happens to them

NOBODY = ""  # owner of a live object that bears no stamp
KERNEL = "<kernel>"  # made by the kernel, DHCP, RA or a routing daemon: never touched, but it may satisfy
UNKNOWN = "<netrecon>"  # bears our protocol number, but which topology's is not known any more


@dataclass(frozen=True, slots=True)
class Wanted:
    """A desired object, the topology that wants it, and where it is written."""

    object: Any
    owner: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class Held:
    """A live object and its owner: a topology's name, NOBODY, KERNEL or UNKNOWN.

    ``whole`` is False when the stamp is on a part of it only (one end of a veth).
    """

    object: Any
    owner: str
    whole: bool = True


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """Links, as (scope, name), whose IP settings under /proc/sys are the same.

    ``arrays`` is what a dump tells of most of them, ``values`` has all by family and name: ipv4, rp_filter, "1".
    """

    arrays: bytes
    values: Mapping[str, Mapping[str, str]]
    links: tuple[tuple[str, str], ...]


Action = Literal["create", "update", "replace", "delete", "adopt"]
Impact = Literal["none", "in-place", "disruptive"]


@dataclass(frozen=True, slots=True)
class Change:
    """One object's way from live to desired.

    ``before`` is None for a create, ``after`` None for a delete.  ``differs`` names the
    attributes that an update or a replace changes; ``owner`` is the topology.
    """

    action: Action
    key: Key
    before: Any
    after: Any
    differs: tuple[str, ...]
    impact: Impact
    owner: str
    origin: Origin | None
