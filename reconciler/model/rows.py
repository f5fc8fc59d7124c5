"""What was read from the kernel: a row for each message of a dump, and the state of each namespace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.model.data import NamedTuple, dataclass, field
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
    peer: int  # IFLA_LINK: the ifindex of a veth's peer, or of the link below (a VLAN's parent); 0 for none
    peer_nsid: int  # IFLA_LINK_NETNSID: the namespace of that link as an nsid of this one, -1 for this namespace
    addr_gen_mode: int  # IFLA_INET6_ADDR_GEN_MODE: 0 eui64, 1 none, ...; -1 where IPv6 is absent
    group: int  # IFLA_GROUP
    data: Mapping[str, Any] = field(default_factory=dict)  # IFLA_INFO_DATA by word (see attributes.py)
    port: Mapping[str, Any] = field(default_factory=dict)  # IFLA_INFO_SLAVE_DATA by word
    explains: Mapping[str, Any] = field(default_factory=dict, compare=False)  # of IFLA_INFO_DATA, what is only read


@dataclass(frozen=True, slots=True)
class AddressRow:
    """One RTM_NEWADDR of a dump (linux/if_addr.h)."""

    index: int  # of its link
    address: str  # "172.16.0.1/24": IFA_LOCAL (else IFA_ADDRESS) in canonical form, with its prefix length
    permanent: bool  # IFA_F_PERMANENT
    protocol: int  # IFA_PROTO, 0 where the kernel has none
    scope: int
    flags: int  # IFA_FLAGS, all 32 bits
    lifetimes: tuple[int, int] = (FOREVER, FOREVER)  # preferred and valid, in seconds (IFA_CACHEINFO)
    far: str = ""  # IFA_ADDRESS where it is another one than IFA_LOCAL: the address at the far end
    rest: tuple[tuple[str, Any], ...] = ()  # IFA_LABEL, IFA_BROADCAST and IFA_RT_PRIORITY as RTM_NEWADDR takes them


class Hop(NamedTuple):
    """One next hop: ``via`` is the gateway, "" for none; ``oif`` the ifindex of its link, 0 for none."""

    via: str
    oif: int
    weight: int  # 1 and more (rtnh_hops + 1)
    onlink: bool


@dataclass(frozen=True, slots=True)
class RouteRow:
    """One RTM_NEWROUTE of a dump (linux/rtnetlink.h); cloned routes and table local are left out."""

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
    raw: bytes = field(default=b"", compare=False)  # the message's body, which can be sent as an RTM_NEWROUTE


@dataclass(frozen=True, slots=True)
class RuleRow:
    """One RTM_NEWRULE of a dump (linux/fib_rules.h)."""

    family: int
    priority: int
    protocol: int
    table: int
    action: int
    text: str  # "from 10.0.0.0/8 lookup 100", in the words of ip-rule(8): shown to people, and the rule's identity
    raw: bytes  # the message's body (fib_rule_hdr and attributes), which can be sent as an RTM_DELRULE


@dataclass(frozen=True, slots=True)
class NeighbourRow:
    """One RTM_NEWNEIGH of a dump (linux/neighbour.h) that somebody set: permanent or proxy, not learned."""

    index: int  # of its link
    address: str
    mac: str  # "" for a proxy entry
    proxy: bool  # NTF_PROXY
    flags: int  # NTF_*


@dataclass(frozen=True, slots=True)
class LearnedRow:
    """One RTM_NEWNEIGH of a dump that the kernel learned from packets: a neighbour, or an entry of a bridge's FDB."""

    index: int  # of its link; of an FDB entry the port
    address: str  # "" for an FDB entry
    mac: str  # "" for a neighbour that is still asked for
    bridge: int = 0  # of an FDB entry
    vlan: int = 0


@dataclass(frozen=True, slots=True)
class TableRow:
    """One of our nftables tables (inet netrecon-<topology>) with all that is in it.

    ``frame`` has each fixed part of the table ("chain forward", "set isolated", ...) with its exact
    form as text: tables with equal frames have the same chains, rules and sets.  ``elements`` has,
    by set name, key -> value; both are tuples of strings and ints, the value of a plain set is ().
    """

    name: str
    frame: Mapping[str, str]
    elements: Mapping[str, Mapping[tuple[Any, ...], tuple[Any, ...]]]


@dataclass(slots=True)
class ScopeState:
    """All that was read from one namespace."""

    scope: str
    links: dict[int, LinkRow] = field(default_factory=dict)  # by ifindex
    addresses: list[AddressRow] = field(default_factory=list)
    routes: list[RouteRow] = field(default_factory=list)
    rules: list[RuleRow] = field(default_factory=list)
    tables: dict[str, TableRow] = field(default_factory=dict)  # by table name
    peers: dict[int, tuple[str, int]] = field(default_factory=dict)  # veth's ifindex -> (scope, ifindex) of its peer
    below: dict[int, tuple[str, int]] = field(default_factory=dict)  # other link's ifindex -> those of the link below
    neighbours: list[NeighbourRow] = field(default_factory=list)  # read only where a plan may delete some
    foreign_tables: list[tuple[str, str]] = field(default_factory=list)  # (family, name) of nftables; read likewise

    @property
    def owner(self) -> str:
        """The topology stamped on ``lo``, "" where there is none."""
        return stamped(self.lo.alias) if self.lo else ""

    @property
    def shared(self) -> bool:
        """Whether the group of ``lo`` says that the namespace may have objects of others (exclusive: false)."""
        return self.lo is not None and self.lo.group == SHARED_GROUP

    @property
    def lo(self) -> LinkRow | None:
        for link in self.links.values():
            if link.loopback:
                return link
        return None


@dataclass(slots=True)
class LiveState:
    """All that was read: the state of each namespace, sysctls and DNS files.

    ``keeps_protocol``: the kernel stores the protocol of an address (IFA_PROTO), as Linux does since 5.18;
    ``changes_protocol``: it also changes that of one that exists; Linux 6.1 does not, 6.12 does.
    """

    scopes: dict[str, ScopeState] = field(default_factory=dict)
    sysctls: dict[tuple[str, str], str] = field(default_factory=dict)  # (scope, key) -> value
    files: dict[tuple[str, str], str] = field(default_factory=dict)  # (scope, name) -> text
    keeps_protocol: bool = True
    changes_protocol: bool = True


class Listener(NamedTuple):
    """A listening socket of the scope; ``process`` is "" and ``pid`` 0 where the process could not be found."""

    protocol: str
    address: str  # "0.0.0.0"; "::" is every address of both families unless ``only6``
    port: int
    only6: bool
    pid: int
    process: str


class Ask(NamedTuple):
    """A packet to ask about: addresses without a prefix length, ifindexes of the links (0: none), firewall mark.

    With ``iif`` it comes in by that link and is forwarded or delivered; else it is sent by this host.  ``protocol``
    is the number of IP (6 TCP, 17 UDP, 0 any) that rules with ports look at.
    """

    to: str
    source: str = ""
    iif: int = 0
    oif: int = 0
    mark: int = 0
    protocol: int = 0
    source_port: int = 0
    port: int = 0


class Way(NamedTuple):
    """How the kernel sends a packet.

    ``type`` is local, unicast, broadcast, blackhole, ... ("": no route); ``oif`` the ifindex of the link (0: none),
    ``gateway`` and ``source`` addresses ("" for none).  ``error`` is the kernel's own text where no route takes the
    packet, ``errno`` its number.  ``mtu`` is that of the route, 0 for none: the link's counts.
    """

    type: str = ""
    oif: int = 0
    gateway: str = ""
    source: str = ""
    error: str = ""
    mtu: int = 0
    errno: int = 0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What else decides whether a packet gets through one scope.

    ``ways`` are the kernel's answers, ``programs`` the programs on links that may take packets, and ``settings`` those
    of links for IPv4: (link, name) -> value.  ``bridge_nf`` are the IP versions (4, 6) of which netfilter sees packets
    between two ports of a bridge.
    """

    scope: str
    forwarding4: bool
    forwarding6: bool
    listeners: tuple[Listener, ...] = ()
    ways: Mapping[Ask, Way] = field(default_factory=dict)
    programs: tuple[str, ...] = ()
    settings: Mapping[tuple[str, str], int] = field(default_factory=dict)
    bridge_nf: frozenset[int] = frozenset()

    def setting(self, link: str, name: str) -> int:
        """A setting of the link, -1 where it was not read."""
        return self.settings.get((link, name), -1)


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """The settings under /proc/sys/net/*/conf/<link> that all ``links``, as (scope, name), have in common.

    ``arrays`` is the form of most settings in a link dump; ``values`` has all: family -> name -> value, such as
    ipv4, rp_filter, "1".
    """

    arrays: bytes
    values: Mapping[str, Mapping[str, str]]
    links: tuple[tuple[str, str], ...]
