"""Arithmetic of addresses and subnets on integers, and the choice of free ones."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from reconciler.model.data import NamedTuple

BITS = {4: 32, 6: 128}


class Block(NamedTuple):
    """A prefix: the addresses whose first ``length`` bits are those of ``start``."""

    version: int
    start: int
    length: int

    @property
    def last(self) -> int:
        return self.start | ((1 << (BITS[self.version] - self.length)) - 1)

    def holds(self, other: Block) -> bool:
        """Whether ``other`` is a part of this prefix, or equal to it."""
        return self.version == other.version and self.start <= other.start and other.last <= self.last

    def overlaps(self, other: Block) -> bool:
        return self.version == other.version and self.start <= other.last and other.start <= self.last

    @property
    def first_host(self) -> int:
        """The first address for a host: not that of the network, which in IPv6 is the subnet-router anycast address.

        A prefix of one or two addresses has no such address (RFC 3021, RFC 6164).
        """
        return self.start + (BITS[self.version] - self.length > 1)

    @property
    def last_host(self) -> int:
        """The last address for a host: in IPv4 the very last one is for broadcasts, except in a /31 or /32."""
        return self.last - (self.version == 4 and self.length < 31)

    def __str__(self) -> str:
        return f"{written(self.version, self.start)}/{self.length}"


@lru_cache(1 << 12)
def block(text: str) -> Block:
    """The prefix in a text; ValueError, with a message for the user, where it is none."""
    address, slash, length = text.partition("/")
    try:
        start = ip_address(address)
        network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f'"{text}" is not a prefix such as 172.20.0.0/24') from None
    if not slash or getattr(start, "scope_id", None):
        raise ValueError(f'"{text}" is not a prefix such as 172.20.0.0/24')
    if network.network_address != start:
        raise ValueError(f'"{text}" has host bits set; did you mean "{network}"?')
    return Block(network.version, int(start), int(length))


def network_of(address: str) -> Block:
    """The subnet of an address with its prefix length, such as ``172.20.0.1/24``."""
    network = ip_network(address, strict=False)
    return Block(network.version, int(network.network_address), network.prefixlen)


def number(text: str) -> tuple[int, int]:
    """(version, number) of an address; ValueError where the text is none or has a zone (``fe80::1%eth0``)."""
    address = ip_address(text)
    if getattr(address, "scope_id", None):
        raise ValueError(text)
    return address.version, int(address)


def is_address(text: str) -> bool:
    try:
        number(text)
    except ValueError:
        return False
    return True


def written(version: int, value: int) -> str:
    """An address in canonical form."""
    return str(IPv4Address(value) if version == 4 else IPv6Address(value))


# ------------------------------------------------------------------ addresses of one subnet


class Pool(NamedTuple):
    """A subnet, the part of it from which free addresses are chosen, and the address of the gateway.

    ``reserved`` are never chosen; an endpoint for which one is fixed, or that has one, keeps it.
    """

    subnet: Block
    within: Block
    gateway: int
    reserved: frozenset[int] = frozenset()


class Asked(NamedTuple):
    """What an endpoint needs: the fixed address ``wanted``, or else one of those in ``present``, which it has now."""

    wanted: int | None
    present: tuple[int, ...] = ()


class Clash(NamedTuple):
    """Why an endpoint gets no address: outside, gateway, network, broadcast, taken, held or exhausted.

    ``other`` is the index of the endpoint for which the address is fixed (taken) or that has it now (held).
    """

    why: str
    other: int = -1


def assign(pool: Pool, asked: Sequence[Asked]) -> list[int | Clash]:
    """An address or a Clash for each endpoint, in their order: the fixed one, else the one it has, else a free one.

    Free addresses are given from the lowest.  An address that one endpoint has now is never given to another: where it
    is fixed for another one, that is a clash.
    """
    given: dict[int, int | Clash] = {}
    holders: dict[int, int] = {}
    for index, need in enumerate(asked):
        if need.wanted is None:
            kept = next((n for n in need.present if n not in holders and _refused(pool, n) is None), None)
            if kept is not None:
                given[index] = kept
                holders[kept] = index
    fixed: dict[int, int] = {}
    for index, need in enumerate(asked):
        if need.wanted is not None:
            given[index] = _fix(pool, need.wanted, index, fixed, holders)
    free = _free(pool, holders.keys() | fixed.keys())
    return [given[index] if index in given else next(free, Clash("exhausted")) for index in range(len(asked))]


def _fix(pool: Pool, wanted: int, index: int, fixed: dict[int, int], holders: dict[int, int]) -> int | Clash:
    refused = _refused(pool, wanted)
    if refused is not None:
        return refused
    if wanted in holders:
        return Clash("held", holders[wanted])
    other = fixed.setdefault(wanted, index)
    return wanted if other == index else Clash("taken", other)


def _refused(pool: Pool, value: int) -> Clash | None:
    subnet = pool.subnet
    if not subnet.start <= value <= subnet.last:
        return Clash("outside")
    if value == pool.gateway:
        return Clash("gateway")
    if value < subnet.first_host:
        return Clash("network")
    return Clash("broadcast") if value > subnet.last_host else None


def _free(pool: Pool, taken: set[int]) -> Iterator[int]:
    first = max(pool.within.start, pool.subnet.first_host)
    last = min(pool.within.last, pool.subnet.last_host)
    not_free = taken | pool.reserved | {pool.gateway}
    return (value for value in range(first, last + 1) if value not in not_free)


# ------------------------------------------------------------------ subnets

# Docker's default-address-pools for local networks, in its order.
POOLS = (
    *(Block(4, 172 << 24 | second << 16, 16) for second in range(17, 32)),
    *(Block(4, 192 << 24 | 168 << 16 | third << 8, 20) for third in range(0, 256, 16)),
)


def free_pool(taken: Sequence[Block]) -> Block | None:
    """The first of Docker's pools that overlaps none of ``taken``."""
    return next((pool for pool in POOLS if not any(pool.overlaps(other) for other in taken)), None)


def unique_local(topology: str, network: str) -> Block:
    """An IPv6 subnet in fd00::/8 (RFC 4193), whose other 56 bits are a hash of the names.

    A network gets the same subnet each time, and two networks hardly ever get the same one.
    """

    words = f"{topology}/{network}".encode()
    digest = zlib.crc32(words) << 24 | zlib.crc32(words[::-1]) >> 8
    return Block(6, 0xFD << 120 | digest << 64, 64)


def is_local(subnet: Block) -> bool:
    """Whether ``unique_local`` could have made the subnet, of some names."""
    return subnet.version == 6 and subnet.length == 64 and subnet.start >> 120 == 0xFD


def meetings(blocks: Sequence[Block], others: Sequence[Block]) -> Iterator[tuple[int, int]]:
    """Pairs of indexes (into blocks, into others) that overlap, without comparing all pairs.

    If two prefixes overlap, one contains the other.  The wider one is found in a dict, by the start of the narrower
    one cut to each length that occurs.
    """
    lengths = {(prefix.version, prefix.length) for prefix in blocks}
    by_start: dict[Block, list[int]] = {}
    for index, prefix in enumerate(blocks):
        by_start.setdefault(prefix, []).append(index)
    for there, other in enumerate(others):
        for version, length in lengths:
            if version == other.version and length <= other.length:
                for here in by_start.get(_cut(other, length), ()):
                    yield here, there
    wider = {(prefix.version, prefix.length) for prefix in others}
    others_by_start: dict[Block, list[int]] = {}
    for there, other in enumerate(others):
        others_by_start.setdefault(other, []).append(there)
    for here, prefix in enumerate(blocks):
        for version, length in wider:
            if version == prefix.version and length < prefix.length:
                for there in others_by_start.get(_cut(prefix, length), ()):
                    yield here, there


def _cut(narrow: Block, length: int) -> Block:
    spare = BITS[narrow.version] - length
    return Block(narrow.version, narrow.start >> spare << spare, length)
