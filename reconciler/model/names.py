"""Names that netrecon gives to its nftables objects and DNS blocks: one room writes them, others recognise them."""

from __future__ import annotations

import re

TOPOLOGY_RULE = "lower-case letters, digits and hyphens, starting with a letter, at most 31"
TABLE_PREFIX = "netrecon-"  # a topology's nftables table (family inet) in a scope is called netrecon-<topology>
STAMP_CHAIN = "stamp"  # empty; its comment has the version of the table's fixed part and a digest of each chain's rules
RENAMED_CHAIN = (
    "netrecon-renamed"  # empty; only in a table that waits to be deleted, since a copy with a new name is there
)
ADMIN_CHAIN = "admin"  # belongs to the administrator: its rules are never read or changed
# Maps of the published ports by IP version: on every address of the scope, and on one address.
PUBLISHED_ANY = {4: "pub_any4", 6: "pub_any6"}
PUBLISHED_ADDRESS = {4: "pub_addr4", 6: "pub_addr6"}

BORN_MAC = "6e:72"  # the first two bytes, locally administered, of a MAC address that netrecon draws for a new bridge
HIGH_MAC = "fe:ff"  # the same for a port of somebody else's bridge, which takes the lowest MAC address of its ports

FILE_STAMP = "# netrecon:"  # and the topology: the first line of a DNS file in /etc/netns/<name>
BLOCK_BEGIN = "# BEGIN netrecon:"  # and the topology: the lines around its block in the host's own DNS file
BLOCK_END = "# END netrecon:"


def is_topology(name: str) -> bool:
    """Whether a topology can have this name."""
    return re.fullmatch(r"[a-z][a-z0-9-]{0,30}", name) is not None


def table_name(topology: str) -> str:
    """The nftables table of a topology, the same in every scope."""
    return TABLE_PREFIX + topology


def table_owner(table: str) -> str:
    """The topology of a table; "" where the table is not ours."""
    return table[len(TABLE_PREFIX) :] if table.startswith(TABLE_PREFIX) else ""


def block_owner(line: str) -> str:
    """The topology whose block this line of a DNS file begins; "" for any other line."""
    return line[len(BLOCK_BEGIN) :] if line.startswith(BLOCK_BEGIN) else ""


MOST_SERVERS = 3  # MAXNS in resolv.conf(5): name servers below the third are never asked
IPV6_MIN_MTU = 1280  # RFC 8200: below that the kernel removes IPv6 from a link
