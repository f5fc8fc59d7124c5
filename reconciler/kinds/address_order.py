"""The order of a link's addresses in the kernel, and which of them are made again so that it is that of the file.

IPv4: the first address of a subnet is its primary one; primary addresses stand in the order in which they were made
(those of a wider scope behind), and the secondary ones behind all of them, in theirs (__inet_insert_ifa).
IPv6 has no primary addresses: within a scope the newest stands first (ipv6_link_dev_addr).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache

Reach = Mapping[str, int]  # address -> its scope (IFA_SCOPE); an address that is not there yet has none


def chains(there: Iterable[str], behind: Callable[[str], str | None]) -> list[list[str]]:
    """The addresses that are wanted, in their order, with those that are not there yet.

    ``behind`` tells the address that one stands behind: "" for the first, None where it is not wanted.  Several
    topologies that configure one link have a chain each.
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
    found = [first]
    while found[-1] in after:
        found.append(after[found[-1]])
    return found


def misplaced(there: Sequence[str], reach: Reach, chain: Sequence[str]) -> set[str]:
    """The addresses of a chain that must be made again, in its order, for all to stand as if just made.

    ``there`` are all addresses of the link and the family as the kernel lists them.  Those of others may have come
    before ours or after them: as just made counts either.
    """
    six = ":" in chain[0]
    listed = _six(reversed(there)) if six else list(there)
    grown = _grown_six if six else _grown
    wanted = frozenset(chain)
    ours = [one for one in listed if one in wanted]
    if ours == list(chain):  # of most links: nothing is worked out
        return set()
    others = [one for one in listed if one not in wanted]
    goals = [[one for one in grown(first, chain, reach) if one in wanted] for first in ((), others)]
    if ours in goals:
        return set()
    for kept in range(_in_order(listed, chain), -1, -1):
        staying = [one for one in listed if one not in wanted or one in chain[:kept]]
        if [one for one in grown(staying, chain[kept:], reach) if one in wanted] in goals:
            break
    return set(chain[kept:]).intersection(listed)


def _in_order(listed: Sequence[str], chain: Sequence[str]) -> int:
    """How many of a chain, from its start, are there in its order."""
    count = 0
    for address in listed:
        if count < len(chain) and address == chain[count]:
            count += 1
    return count


def _grown(staying: Iterable[str], coming: Iterable[str], reach: Reach) -> list[str]:
    """The IPv4 addresses as the kernel lists them once others are made."""
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
    """Behind the last one whose scope is not wider."""
    return max((number for number, one in enumerate(primary, start=1) if reach.get(one, 0) >= wide), default=0)


def _grown_six(staying: Iterable[str], coming: Collection[str], _reach: Reach) -> list[str]:
    return _six((*staying, *coming))


def _six(made: Iterable[str]) -> list[str]:
    """IPv6 addresses in the order in which they were made, as far as the kernel's list tells: by scope."""
    return sorted(made, key=lambda address: address.startswith("fe80:"))


@cache
def _subnet(address: str) -> object:
    from ipaddress import ip_interface

    return ip_interface(address).network
