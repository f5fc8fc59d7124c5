"""Addresses and subnets for those that were given none: plain arithmetic on integers."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import NamedTuple

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
        """Whether the other one lies in it."""
        return self.version == other.version and self.start <= other.start and other.last <= self.last

    def overlaps(self, other: Block) -> bool:
        return self.version == other.version and self.start <= other.last and other.start <= self.last

    @property
    def first_host(self) -> int:
        """Not the network's own address, which in IPv6 means "any router"; a prefix of one or two has none such."""
        return self.start + (BITS[self.version] - self.length > 1)

    @property
    def last_host(self) -> int:
        """IPv4 keeps the last address for broadcasts."""
        return self.last - (self.version == 4 and self.length < 31)

    def __str__(self) -> str:
        return f"{written(self.version, self.start)}/{self.length}"


@lru_cache(1 << 12)
def block(text: str) -> Block:
    """The prefix; ValueError says in people's words why it is none."""
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
    """The subnet that an address with its length (``172.20.0.1/24``) is in."""
    network = ip_network(address, strict=False)
    return Block(network.version, int(network.network_address), network.prefixlen)


def number(text: str) -> tuple[int, int]:
    """An address as (version, number); ValueError when it is none."""
    address = ip_address(text)
    if getattr(address, "scope_id", None):
        raise ValueError(text)
    return address.version, int(address)


def written(version: int, value: int) -> str:
    """An address in canonical form."""
    return str(IPv4Address(value) if version == 4 else IPv6Address(value))


# ------------------------------------------------------------------ addresses of one subnet


class Pool(NamedTuple):
    """A subnet, the part of it that automatic addresses come from, and what is the gateway's."""

    subnet: Block
    within: Block
    gateway: int


class Asked(NamedTuple):
    """An endpoint's wish: a fixed address, or else any of those it holds, the likeliest first."""

    wanted: int | None
    held: tuple[int, ...] = ()


class Clash(NamedTuple):
    """Why there is no address: outside, gateway, network, broadcast, taken or held (by ``other``), exhausted."""

    why: str
    other: int = -1


def assign(pool: Pool, asked: Sequence[Asked]) -> list[int | Clash]:
    """An address for each, in the order asked: the fixed ones, then the ones held, then the lowest free ones.

    Nobody who holds an address loses it to another: to fix it elsewhere is a clash.
    """
    given: dict[int, int | Clash] = {}
    holders: dict[int, int] = {}
    for index, one in enumerate(asked):
        if one.wanted is None:
            present = next((n for n in one.held if n not in holders and _refused(pool, n) is None), None)
            if present is not None:
                given[index] = present
                holders[present] = index
    fixed: dict[int, int] = {}
    for index, one in enumerate(asked):
        if one.wanted is not None:
            given[index] = _fix(pool, one.wanted, index, fixed, holders)
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
    return (value for value in range(first, last + 1) if value not in taken and value != pool.gateway)


# ------------------------------------------------------------------ subnets

# Docker's default-address-pools for local networks, in its order.
POOLS = (
    *(Block(4, 172 << 24 | second << 16, 16) for second in range(17, 32)),
    *(Block(4, 192 << 24 | 168 << 16 | third << 8, 20) for third in range(0, 256, 16)),
)


def free_pool(taken: Sequence[Block]) -> Block | None:
    """The first of Docker's pools that meets none of those taken."""
    return next((one for one in POOLS if not any(one.overlaps(other) for other in taken)), None)


def unique_local(topology: str, network: str) -> Block:
    """An IPv6 subnet in fd00::/8 that is always the same for one network, and hardly ever another one's (RFC 4193)."""
    words = f"{topology}/{network}".encode()
    digest = zlib.crc32(words) << 24 | zlib.crc32(words[::-1]) >> 8
    return Block(6, 0xFD << 120 | digest << 64, 64)


def meetings(blocks: Sequence[Block], others: Sequence[Block]) -> Iterator[tuple[int, int]]:
    """Pairs of indexes (into blocks, into others) that overlap; no walk over all pairs.

    One of two prefixes that overlap holds the other: it is found under the other's start, cut to its length.
    """
    lengths = {(one.version, one.length) for one in blocks}
    by_start: dict[Block, list[int]] = {}
    for index, one in enumerate(blocks):
        by_start.setdefault(one, []).append(index)
    for there, other in enumerate(others):
        for version, length in lengths:
            if version == other.version and length <= other.length:
                for here in by_start.get(_cut(other, length), ()):
                    yield here, there
    wider = {(one.version, one.length) for one in others}
    others_by_start: dict[Block, list[int]] = {}
    for there, other in enumerate(others):
        others_by_start.setdefault(other, []).append(there)
    for here, one in enumerate(blocks):
        for version, length in wider:
            if version == one.version and length < one.length:
                for there in others_by_start.get(_cut(one, length), ()):
                    yield here, there


def _cut(one: Block, length: int) -> Block:
    spare = BITS[one.version] - length
    return Block(one.version, one.start >> spare << spare, length)
