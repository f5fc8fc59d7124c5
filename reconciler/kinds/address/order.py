"""The order of a link's addresses in the kernel, and which addresses to create again to get the order of the file.

IPv4: the first address of a subnet is primary, the others are secondary.  First come the primary addresses in the
order of their creation (those of a wider scope after the others), then the secondary ones in theirs
(__inet_insert_ifa in net/ipv4/devinet.c).
IPv6 has no primary addresses: within a scope the newest comes first (ipv6_link_dev_addr in net/ipv6/addrconf.c).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache

Reach = Mapping[str, int]  # address -> its scope (IFA_SCOPE), for addresses that exist


def chains(there: Iterable[str], behind: Callable[[str], str | None]) -> list[list[str]]:
    """The desired addresses in their order, including those that do not exist yet: one chain for each topology.

    ``there`` are the addresses that exist.  ``behind(address)`` is the desired address before it, "" for the first,
    None for an address that is not desired.
    """
    before: dict[str, str] = {}
    waiting = [*there]
    while waiting:
        address = waiting.pop(0)
        ahead = behind(address)
        if ahead is not None and address not in before:
            before[address] = ahead
            waiting.append(ahead)
    after = {ahead: address for address, ahead in before.items() if ahead in before}
    return [_chain(first, after) for first, ahead in before.items() if ahead not in before]


def _chain(first: str, after: Mapping[str, str]) -> list[str]:
    chain = [first]
    while chain[-1] in after:
        chain.append(after[chain[-1]])
    return chain


def misplaced(there: Sequence[str], reach: Reach, chain: Sequence[str]) -> set[str]:
    """The addresses of a chain that must be created again, in its order, to get the order of a new link.

    ``there`` are all addresses of the link and the family as the kernel lists them.  Foreign addresses may have been
    created before ours or after them: both orders count as right.
    """
    six = ":" in chain[0]
    listed = _six(reversed(there)) if six else list(there)
    grown = _grown_six if six else _grown
    wanted = frozenset(chain)
    ours = [address for address in listed if address in wanted]
    if ours == list(chain):  # true of most links, and fast
        return set()
    others = [address for address in listed if address not in wanted]
    goals = [[address for address in grown(first, chain, reach) if address in wanted] for first in ((), others)]
    if ours in goals:
        return set()
    for kept in range(_in_order(listed, chain), -1, -1):
        staying = [address for address in listed if address not in wanted or address in chain[:kept]]
        if [address for address in grown(staying, chain[kept:], reach) if address in wanted] in goals:
            break
    return set(chain[kept:]).intersection(listed)


def _in_order(listed: Sequence[str], chain: Sequence[str]) -> int:
    """How many addresses of a chain, from its start, exist in its order."""
    count = 0
    for address in listed:
        if count < len(chain) and address == chain[count]:
            count += 1
    return count


def _grown(staying: Iterable[str], coming: Iterable[str], reach: Reach) -> list[str]:
    """The IPv4 addresses as the kernel lists them after ``coming`` are created besides ``staying``."""
    primary: list[str] = []
    secondary: list[str] = []
    subnets: set[object] = set()
    for address in (*staying, *coming):
        if _subnet(address) in subnets:
            secondary.append(address)
        else:
            subnets.add(_subnet(address))
            wide = reach.get(address, 0)
            primary.insert(_place(primary, wide, reach), address)
    return primary + secondary


def _place(primary: Sequence[str], wide: int, reach: Reach) -> int:
    """The index of a new primary address: after the last one whose scope is not wider."""
    return max((number for number, address in enumerate(primary, start=1) if reach.get(address, 0) >= wide), default=0)


def _grown_six(staying: Iterable[str], coming: Collection[str], _reach: Reach) -> list[str]:
    return _six((*staying, *coming))


def _six(made: Iterable[str]) -> list[str]:
    """IPv6 addresses by scope, within a scope in the order of their creation; the kernel's list shows no more."""
    return sorted(made, key=lambda address: address.startswith("fe80:"))


@cache
def _subnet(address: str) -> object:
    from ipaddress import ip_interface

    return ip_interface(address).network
