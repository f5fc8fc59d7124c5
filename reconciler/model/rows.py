"""What is read from the kernel: one row for each message of a dump, and the state of each namespace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, NamedTuple

from reconciler.model.data import dataclass
from reconciler.model.keys import SHARED_GROUP, stamped

FOREVER = 0xFFFFFFFF  # the lifetime of an address that does not end


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
    peer: int  # IFLA_LINK: the ifindex of a veth's peer, or of the link that this one lies on; 0 for none
    peer_nsid: int  # IFLA_LINK_NETNSID: the namespace of that one as an nsid of this, -1 for "this one"
    addr_gen_mode: int  # IFLA_INET6_ADDR_GEN_MODE: 0 eui64, 1 none, ...; -1 where IPv6 is absent
    group: int  # IFLA_GROUP
    data: Mapping[str, Any] = field(default_factory=dict)  # what its type has (see attributes.py): our word -> value
    port: Mapping[str, Any] = field(default_factory=dict)  # what it has as its master's port: the same


@dataclass(frozen=True, slots=True)
class AddressRow:
    """One RTM_NEWADDR of a dump (linux/if_addr.h)."""

    index: int  # of its link
    address: str  # "172.16.0.1/24": IFA_LOCAL (else IFA_ADDRESS) in canonical form, with its length
    permanent: bool  # IFA_F_PERMANENT
    protocol: int  # IFA_PROTO, 0 where the kernel has none
    scope: int
    flags: int  # IFA_FLAGS, all 32 bits
    lifetimes: tuple[int, int] = (FOREVER, FOREVER)  # preferred and valid, in seconds (IFA_CACHEINFO)


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
class NeighbourRow:
    """One permanent RTM_NEWNEIGH of a dump (linux/neighbour.h): what somebody set, not what was learned."""

    index: int  # of its link
    address: str
    mac: str  # "" for a proxy entry
    proxy: bool  # NTF_PROXY
    flags: int  # NTF_*


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
    below: dict[int, tuple[str, int]] = field(default_factory=dict)  # of others: what they lie on, in the same form
    neighbours: list[NeighbourRow] = field(default_factory=list)  # read where a plan may take them along

    @property
    def owner(self) -> str:
        """The topology stamped on ``lo``, "" where there is none."""
        return stamped(self.lo.alias) if self.lo else ""

    @property
    def shared(self) -> bool:
        """Whether ``lo`` says that others may have things of their own here."""
        return self.lo is not None and self.lo.group == SHARED_GROUP

    @property
    def lo(self) -> LinkRow | None:
        for link in self.links.values():
            if link.loopback:
                return link
        return None


@dataclass(slots=True)
class LiveState:
    """The kernel as it was read: one state per namespace, and what lies beside netlink."""

    scopes: dict[str, ScopeState] = field(default_factory=dict)
    sysctls: dict[tuple[str, str], str] = field(default_factory=dict)  # (scope, key) -> value
    files: dict[tuple[str, str], str] = field(default_factory=dict)  # (scope, name) -> text


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


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """Links, as (scope, name), whose IP settings under /proc/sys are the same.

    ``arrays`` is what a dump tells of most of them, ``values`` has all by family and name: ipv4, rp_filter, "1".
    """

    arrays: bytes
    values: Mapping[str, Mapping[str, str]]
    links: tuple[tuple[str, str], ...]
