"""Addresses as the kernel lists them, and the requests that change them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reconciler.kinds.address import order
from reconciler.kinds.address.form import AF_INET, AF_INET6, Address, at, key_of, network_of
from reconciler.kinds.context import Reading
from reconciler.model import data as dataclasses
from reconciler.model.changes import KERNEL, NOBODY, UNKNOWN, Live
from reconciler.model.keys import PROTOCOL, STAMP, Key, stamped
from reconciler.model.requests import NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, LinkRef, Netlink, Request
from reconciler.model.rows import AddressRow, LinkRow

IFA_F_SECONDARY, IFA_F_NODAD, IFA_F_DADFAILED = 0x01, 0x02, 0x08
# IFA_F_NODAD, _OPTIMISTIC, _HOMEADDRESS, _MANAGETEMPADDR, _NOPREFIXROUTE, _MCAUTOJOIN; the kernel sets all others
SETTABLE = 0x716
RT_SCOPE_LINK, RT_SCOPE_HOST = 253, 254
KERNEL_PROTOCOLS = (1, 2, 3)  # IFAPROT_KERNEL_LO, _RA, _LL (linux/if_addr.h)


def read(reading: Reading) -> Iterator[tuple[Key, Live]]:
    state = reading.state
    misplaced = _misplaced(reading)
    last: dict[tuple[int, bool], str] = {}
    for row in _as_made(state.addresses):
        link = state.links.get(row.index)
        if link is None:
            continue
        key = _key_of_row(state.scope, link.name, row)
        own = KERNEL if _automatic(row, link, reading.live.keeps_protocol) else _owner(reading, row, link, key)
        place = (row.index, ":" in row.address)
        address = Address(
            state.scope,
            link.name,
            row.address,
            duplicate=bool(row.flags & IFA_F_DADFAILED),
            out_of_order=key in misplaced,
            lease=not row.permanent,
            secondary=bool(row.flags & IFA_F_SECONDARY) and ":" not in row.address,
            protocol=row.protocol,
            reach=row.scope,
            flags=row.flags & SETTABLE,
            lifetimes=row.lifetimes,
            behind=last.get(place, ""),
            far=row.far,
            rest=tuple(attribute for attribute in row.rest if attribute != ("IFA_LABEL", link.name)),
        )
        last[place] = row.address
        yield key, Live(address, own)


def _key_of_row(scope: str, link: str, row: AddressRow) -> Key:
    """In IPv4 a far end in another subnet makes it another address; in IPv6 a link has an address only once."""
    if row.far and ":" not in row.far and network_of(row.address) != network_of(at(row.far, row.address)):
        return key_of(scope, link, f"{row.address} peer {row.far}")
    return key_of(scope, link, row.address)


def _as_made(rows: Sequence[AddressRow]) -> list[AddressRow]:
    """The addresses in the order of their creation: the kernel lists the IPv6 addresses of a scope newest first."""
    return [*(row for row in rows if ":" not in row.address), *(row for row in reversed(rows) if ":" in row.address)]


def _misplaced(reading: Reading) -> frozenset[Key]:
    """The desired addresses that are not at their place in the order of their link."""
    state, wanted = reading.state, reading.wanted
    places: dict[tuple[int, bool], list[AddressRow]] = {}
    ordered: set[tuple[int, bool]] = set()
    for row in state.addresses:
        if row.far:
            continue
        place = (row.index, ":" in row.address)
        places.setdefault(place, []).append(row)
        link = state.links.get(row.index)
        desired = wanted.get(key_of(state.scope, link.name, row.address)) if link else None
        if desired is not None and desired.object.behind:
            ordered.add(place)
    return frozenset(
        key for place in ordered for key in _out_of_order(reading, state.links[place[0]].name, places[place])
    )


def _out_of_order(reading: Reading, link: str, rows: Sequence[AddressRow]) -> Iterator[Key]:
    def behind(address: str) -> str | None:
        desired = reading.wanted.get(key_of(reading.state.scope, link, address))
        return (
            None if desired is None or desired.owner == KERNEL else str(desired.object.behind)
        )  # the kernel orders its own addresses

    there = [row.address for row in rows]
    reach = {row.address: row.scope for row in rows}
    for chain in order.chains(there, behind):
        for address in order.misplaced(there, reach, chain):
            yield key_of(reading.state.scope, link, address)


def _owner(reading: Reading, row: AddressRow, link: LinkRow, key: Key) -> str:
    if key in reading.noted and _may_be_ours(reading, row):
        return reading.noted[key].topology
    if not row.permanent and key in reading.wanted:
        return reading.wanted[key].owner
    if not row.permanent or row.protocol in KERNEL_PROTOCOLS:
        return KERNEL
    if link.alias.startswith(STAMP) and not link.loopback:
        others = key not in reading.wanted and row.protocol != PROTOCOL
        return NOBODY if others and _foreign(reading, link).get("keep") else stamped(link.alias)
    if reading.exclusive and reading.owner:
        return reading.owner
    # On an adopted link, addresses that are not desired are drift; those that are desired are adopted themselves.
    taker = "" if link.alias.startswith(STAMP) or key in reading.wanted else reading.adopted.get((key.scope, link.name))
    if taker:
        return taker
    # The alias of lo is the stamp of the namespace: it does not show who owns the addresses on lo.
    if row.protocol == PROTOCOL:
        return reading.owner or UNKNOWN
    return NOBODY if key in reading.wanted else _foreign(reading, link).get("remove", NOBODY)


def _may_be_ours(reading: Reading, row: AddressRow) -> bool:
    """Whether it bears our protocol number; a kernel that keeps none, or cannot change it, leaves that to the record.

    Ours have no lifetime: one that has is another's, who set it after us.
    """
    return row.protocol == PROTOCOL or (row.permanent and not reading.live.changes_protocol)


def _foreign(reading: Reading, link: LinkRow) -> dict[str, str]:
    """What to do with foreign addresses on a link ("keep", "remove"), and the topology that declares it."""
    declared = (reading.wanted.get(Key(kind, reading.state.scope, link.name)) for kind in ("interface", "bridge"))
    return {str(desired.object.foreign_addresses): desired.owner for desired in declared if desired is not None}


def _automatic(row: AddressRow, link: LinkRow, keeps_protocol: bool) -> bool:
    """Whether the kernel added it without IFA_PROTO: 127.0.0.1, and before Linux 5.18 ::1 and link-local addresses.

    Those of the kernel undergo duplicate address detection, ours do not (IFA_F_NODAD).
    """
    if row.protocol:
        return False
    if link.loopback:
        return row.address in ("127.0.0.1/8", "::1/128")
    linked = row.scope == RT_SCOPE_LINK and row.address.endswith("/64") and row.address.startswith("fe80:")
    return linked and not keeps_protocol and not row.flags & IFA_F_NODAD


def create(address: Address, _owner: str) -> Iterator[Request]:
    yield _request(address, NLM_F_CREATE | NLM_F_EXCL)


def mask(wanted: Address, live: Address) -> Address:
    """The live address with ``out_of_order`` relative to ``wanted``: a snapshot's order is the one to restore."""
    return dataclasses.replace(live, out_of_order=not live.out_of_order) if wanted.out_of_order else live


def update(before: Address, after: Address, _owner: str) -> Iterator[Request]:
    """In place; only for another place in the order the address is deleted and created again."""
    flags = before.flags if after.flags is None else after.flags
    reach = before.reach if after.reach is None else after.reach
    after = dataclasses.replace(after, flags=flags, reach=reach, rest=after.rest or before.rest)
    if before.out_of_order != after.out_of_order:
        yield from delete(after)
        yield _request(after, NLM_F_CREATE | NLM_F_EXCL)
    else:
        yield _request(after, NLM_F_REPLACE)


def adopt(address: Address, _wanted: Address, _owner: str) -> Iterator[Request]:
    yield _request(dataclasses.replace(address, protocol=PROTOCOL), NLM_F_REPLACE)


def stamp(address: Address) -> int:
    return address.protocol


def restamp(_now: Address, address: Address) -> Iterator[Request]:
    yield _request(address, NLM_F_REPLACE)


def _request(address: Address, flags: int) -> Request:
    ip, _, length = address.address.partition("/")
    family = AF_INET6 if ":" in ip else AF_INET
    far = address.far or ip
    attributes: list[tuple[str, object]] = [("IFA_LOCAL", ip), ("IFA_ADDRESS", far), ("IFA_PROTO", address.protocol)]
    attributes += address.rest
    # Without IFA_F_NODAD an IPv6 address is unusable until duplicate address detection ends: for a second or two, and
    # on a bridge without a running port for ever.
    born_with = IFA_F_NODAD if family == AF_INET6 else 0
    attributes.append(("IFA_FLAGS", born_with if address.flags is None else address.flags))
    if address.lease:
        lifetimes = {"ifa_preferred": address.lifetimes[0], "ifa_valid": address.lifetimes[1]}
        attributes.append(("IFA_CACHEINFO", lifetimes))
    scope = RT_SCOPE_HOST if ip.startswith("127.") else 0
    scope = scope if address.reach is None else address.reach
    fields = {
        "family": family,
        "prefixlen": int(length),
        "scope": scope,
        "index": LinkRef(address.scope, address.link),
    }
    return Netlink(address.scope, "newaddr", fields, tuple(attributes), flags)


def delete(address: Address) -> Iterator[Request]:
    ip, _, length = address.address.partition("/")
    fields = {
        "family": AF_INET6 if ":" in ip else AF_INET,
        "prefixlen": int(length),
        "index": LinkRef(address.scope, address.link),
    }
    yield Netlink(address.scope, "deladdr", fields, (("IFA_LOCAL", ip), ("IFA_ADDRESS", address.far or ip)))


def put_back(address: Address, _anew: bool) -> Iterator[Request]:
    yield _request(address, NLM_F_CREATE | NLM_F_REPLACE)
