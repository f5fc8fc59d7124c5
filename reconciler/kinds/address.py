"""An IP address on a link."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field

from reconciler.kinds import address_order, kind, sysctl
from reconciler.kinds.context import Names, Noting, Parsed, Reading, Source
from reconciler.kinds.grounds import After, Ground, Taking
from reconciler.kinds.kind import Kind
from reconciler.kinds.links.link import IPV6_MIN_MTU, declared_end
from reconciler.kinds.namespace import home
from reconciler.model.changes import KERNEL, NOBODY, UNKNOWN, Change, Live
from reconciler.model.data import dataclass
from reconciler.model.keys import HOST, PROTOCOL, STAMP, Key, stamped
from reconciler.model.quoting import Path
from reconciler.model.requests import NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, LinkRef, Netlink, Request
from reconciler.model.rows import FOREVER, AddressRow, LinkRow

AF_INET, AF_INET6 = 2, 10
IFA_F_SECONDARY, IFA_F_NODAD, IFA_F_DADFAILED = 0x01, 0x02, 0x08
# IFA_F_NODAD, _OPTIMISTIC, _HOMEADDRESS, _MANAGETEMPADDR, _NOPREFIXROUTE, _MCAUTOJOIN; the kernel sets all others
SETTABLE = 0x716
RT_SCOPE_LINK, RT_SCOPE_HOST = 253, 254
KERNEL_PROTOCOLS = (1, 2, 3)  # IFAPROT_KERNEL_LO, _RA, _LL (linux/if_addr.h)
LINK_LOCAL = ipaddress.IPv6Network("fe80::/10")


@dataclass(frozen=True, slots=True)
class Address:
    """An address, canonical and with its prefix length; ``duplicate``: another host has it (DAD failed).

    ``lease``: it expires; ``lifetimes`` are its preferred and valid lifetime in seconds.
    ``behind`` is the address of the same family before it on the link, "" for none.
    ``out_of_order``: it is not at its place in that order.
    ``protocol``, ``reach`` (IFA_SCOPE) and ``flags`` are those of a live address.  They are never compared, but
    an address that is created again gets them again.
    """

    scope: str
    link: str
    address: str
    duplicate: bool = False
    out_of_order: bool = False
    lease: bool = False
    secondary: bool = field(default=False, compare=False)  # IPv4: another address of its subnet came before it
    protocol: int = field(default=PROTOCOL, compare=False)
    reach: int | None = field(default=None, compare=False)
    flags: int | None = field(default=None, compare=False)
    lifetimes: tuple[int, int] = field(default=(FOREVER, FOREVER), compare=False)
    behind: str = field(default="", compare=False)


def key_of(scope: str, link: str, address: str) -> Key:
    return Key("address", scope, f"{link}/{address}")


def parse(source: Source) -> Iterator[Parsed]:
    for entry in source.ends:
        texts = entry.words.get("addresses")
        yield from _parse_list(source, entry.scope, entry.name, texts, (*entry.at, "addresses"))


def _parse_list(source: Source, scope: str, link: str, texts: list[str] | None, at: Path) -> Iterator[Parsed]:
    seen: dict[str, str] = {}
    last = {4: "", 6: ""}
    for index, text in enumerate(texts or ()):
        try:
            interface = ipaddress.ip_interface(text)
        except ValueError:
            source.problem((*at, index), f'"{text}" is not an IP address with its prefix length')
            continue
        wrong = unusable(interface)
        if wrong:
            source.problem((*at, index), f'"{text}" {wrong}')
            continue
        address = str(interface)
        other = seen.setdefault(str(interface.ip), address) if interface.version == 6 else address
        if other != address:
            said = f"{interface.ip} is on {link} already, as {other}; IPv6 takes an address once per link"
            source.problem((*at, index), said)
            continue
        made = Address(scope, link, address, behind=last[interface.version])
        last[interface.version] = address
        yield key_of(scope, link, address), made, source.at((*at, index))


def unusable(interface: ipaddress.IPv4Interface | ipaddress.IPv6Interface) -> str:
    """Why no link can have this address, "" when it can."""
    ip, network = interface.ip, interface.network
    if ip.is_multicast or ip.is_unspecified:
        return f"is {'a multicast' if ip.is_multicast else 'the unspecified'} address; a link needs a unicast one"
    if ip.version == 6 and getattr(ip, "scope_id", None):
        return "has a zone; write the address without %"
    if ip.version == 4 and network.prefixlen < 31 and ip in (network.network_address, network.broadcast_address):
        which = "network's own" if ip == network.network_address else "broadcast"
        return f"is the {which} address of {network}; write one in between, such as {network[1]}/{network.prefixlen}"
    return ""


def check(address: Address, names: Names) -> Iterator[tuple[Path, str]]:
    """An IPv6 address needs a link with an MTU of at least 1280: below that the kernel has no IPv6 on it."""
    end = declared_end(address.scope, address.link, names) if ":" in address.address else None
    if end is not None and end.mtu is not None and end.mtu < IPV6_MIN_MTU:
        yield (), f"{address.link} has an mtu of {end.mtu}; IPv6 needs {IPV6_MIN_MTU} or more"


def read(reading: Reading) -> Iterator[tuple[Key, Live]]:
    state = reading.state
    # Since Linux 5.18 the kernel sets IFA_PROTO on the addresses that it adds by itself.
    sets_protocol = any(row.protocol in KERNEL_PROTOCOLS for row in state.addresses)
    misplaced = _misplaced(reading)
    last: dict[tuple[int, bool], str] = {}
    for row in _as_made(state.addresses):
        link = state.links.get(row.index)
        if link is None:
            continue
        key = key_of(state.scope, link.name, row.address)
        own = KERNEL if _automatic(row, link, sets_protocol) else _owner(reading, row, link, key)
        place = (row.index, ":" in row.address)
        found = Address(
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
        )
        last[place] = row.address
        yield key, Live(found, own)


def _as_made(rows: Sequence[AddressRow]) -> list[AddressRow]:
    """The addresses in the order of their creation: the kernel lists the IPv6 addresses of a scope newest first."""
    return [*(row for row in rows if ":" not in row.address), *(row for row in reversed(rows) if ":" in row.address)]


def _misplaced(reading: Reading) -> frozenset[Key]:
    """The desired addresses that are not at their place in the order of their link."""
    state, wanted = reading.state, reading.wanted
    places: dict[tuple[int, bool], list[AddressRow]] = {}
    ordered: set[tuple[int, bool]] = set()
    for row in state.addresses:
        place = (row.index, ":" in row.address)
        places.setdefault(place, []).append(row)
        link = state.links.get(row.index)
        one = wanted.get(key_of(state.scope, link.name, row.address)) if link else None
        if one is not None and one.object.behind:
            ordered.add(place)
    return frozenset(
        key for place in ordered for key in _out_of_order(reading, state.links[place[0]].name, places[place])
    )


def _out_of_order(reading: Reading, link: str, rows: Sequence[AddressRow]) -> Iterator[Key]:
    def behind(address: str) -> str | None:
        one = reading.wanted.get(key_of(reading.state.scope, link, address))
        return (
            None if one is None or one.owner == KERNEL else str(one.object.behind)
        )  # the kernel orders its own addresses

    there = [row.address for row in rows]
    reach = {row.address: row.scope for row in rows}
    for chain in address_order.chains(there, behind):
        for address in address_order.misplaced(there, reach, chain):
            yield key_of(reading.state.scope, link, address)


def _owner(reading: Reading, row: AddressRow, link: LinkRow, key: Key) -> str:
    if key in reading.noted and row.protocol == PROTOCOL:
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


def _foreign(reading: Reading, link: LinkRow) -> dict[str, str]:
    """What to do with foreign addresses on a link ("keep", "remove"), and the topology that declares it."""
    found = (reading.wanted.get(Key(kind, reading.state.scope, link.name)) for kind in ("interface", "bridge"))
    return {str(one.object.foreign_addresses): one.owner for one in found if one is not None}


def _automatic(row: AddressRow, link: LinkRow, sets_protocol: bool) -> bool:
    """Whether the kernel added it without IFA_PROTO: 127.0.0.1, and before Linux 5.18 ::1 and link-local addresses."""
    if row.protocol:
        return False
    if link.loopback:
        return row.address in ("127.0.0.1/8", "::1/128")
    linked = row.scope == RT_SCOPE_LINK and row.address.endswith("/64") and row.address.startswith("fe80:")
    return linked and not sets_protocol


def create(address: Address, _owner: str) -> Iterator[Request]:
    yield _request(address, NLM_F_CREATE | NLM_F_EXCL)


def mask(wanted: Address, live: Address) -> Address:
    """The live address with ``out_of_order`` relative to ``wanted``: a snapshot's order is the one to restore."""
    return dataclasses.replace(live, out_of_order=live.out_of_order != wanted.out_of_order)


def update(before: Address, after: Address, _owner: str) -> Iterator[Request]:
    """In place; only for another place in the order the address is deleted and created again."""
    flags = before.flags if after.flags is None else after.flags
    reach = before.reach if after.reach is None else after.reach
    after = dataclasses.replace(after, flags=flags, reach=reach)
    if before.out_of_order != after.out_of_order:
        yield from delete(after)
        yield _request(after, NLM_F_CREATE | NLM_F_EXCL)
    else:
        yield _request(after, NLM_F_REPLACE)


def adopt(address: Address, _wanted: Address, _owner: str) -> Iterator[Request]:
    yield _request(dataclasses.replace(address, protocol=PROTOCOL), NLM_F_REPLACE)


def stamp(address: Address) -> int:
    return address.protocol


def restamp(address: Address) -> Iterator[Request]:
    yield _request(address, NLM_F_REPLACE)


def _request(address: Address, flags: int) -> Request:
    ip, _, length = address.address.partition("/")
    family = AF_INET6 if ":" in ip else AF_INET
    attributes: list[tuple[str, object]] = [("IFA_LOCAL", ip), ("IFA_ADDRESS", ip), ("IFA_PROTO", address.protocol)]
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
    yield Netlink(address.scope, "deladdr", fields, (("IFA_LOCAL", ip), ("IFA_ADDRESS", ip)))


def needs(address: Address, names: Names) -> Iterator[Key]:
    yield from home(address.scope)
    if ":" in address.address:  # the kernel refuses an IPv6 address where IPv6 is switched off
        yield from sysctl.ipv6_switches(address.scope, address.link, names)
    if (address.scope, address.link) in names.links:
        yield names.links[address.scope, address.link]


# ------------------------------------------------------------------------------------------------ consequences


def lies_on(address: Address) -> tuple[tuple[str, str]]:
    return ((address.scope, address.link),)


def stands_on(address: Address) -> tuple[Ground, ...]:
    return (Ground("ipv6", address.scope, address.link),) if ":" in address.address else ()


def goes_last(changes: Sequence[Change], live: Mapping[Key, Live]) -> Iterator[Key]:
    """IPv4 addresses that are deleted only after new ones exist, so that no routes are lost.

    When a link loses its last IPv4 address, the kernel flushes its IPv4 routes (fib_disable_ip in
    net/ipv4/fib_frontend.c).  When a scope loses an address, it deletes the routes that prefer that address as their
    source (fib_sync_down_addr in net/ipv4/fib_semantics.c).
    """
    going = [one for one in changes if one.action == "delete" and ":" not in one.before.address]
    if not going:
        return
    staying, coming = _staying(changes, live), _coming(changes)
    subnets = {(*_place(one), _subnet(one)) for one in staying}
    places = {_place(one) for one in coming}
    elsewhere = {(one.scope, _ip(one)) for one in coming}
    for change in going:
        old: Address = change.before
        if _place(old) in places or (*_place(old), _subnet(old)) in subnets or (old.scope, _ip(old)) in elsewhere:
            yield change.key


def during(changes: Sequence[Change], live: Mapping[Key, Live]) -> Iterator[tuple[Key, str, str]]:
    """promote_secondaries = 1 while a primary address is deleted: else the kernel deletes the others of its subnet.

    On a link whose addresses are put in order it must hold for creations too, so that all end in their order.
    """
    moving = {_place(change.after) for change in changes if _moves(change)}
    for change in changes if moving else ():
        if _is_made(change) and _place(change.after) in moving and ":" not in change.after.address:
            yield change.key, _promotion(change.after), "1"
    going = [one for one in changes if one.action in ("delete", "replace") and _leads_others(one.before)]
    if not going:
        return
    last = set(goes_last(changes, live))
    there = {(*_place(one), _subnet(one)) for one in _staying(changes, live)}
    then = there | {(*_place(one), _subnet(one)) for one in _coming(changes)}
    for change in going:
        old: Address = change.before
        if (*_place(old), _subnet(old)) in (then if change.key in last else there):
            yield change.key, _promotion(old), "1"


def _promotion(address: Address) -> str:
    return f"net.ipv4.conf.{address.link.replace('.', '/')}.promote_secondaries"


def _leads_others(address: Address) -> bool:
    return not (address.secondary or ":" in address.address)


def _moves(change: Change) -> bool:
    """Whether the address is deleted and created again at once, for another place in the order of its link."""
    return change.action == "update" and "out_of_order" in change.differs


def _is_made(change: Change) -> bool:
    return change.action in ("create", "replace") or _moves(change)


def takes(changes: Sequence[Change], live: Mapping[Key, Live]) -> Iterator[Taking]:
    """The links that lose their last IPv4 address, and the addresses that the scope loses."""
    listed = [change for change in changes if change.action in ("delete", "replace") or _moves(change)]
    if not listed:
        return
    late = set(goes_last(changes, live))
    bare = {_place(one) for one in _staying(changes, live)}
    settled = bare | {_place(one) for one in _coming(changes)}
    left = {(one.scope, _ip(one)) for one in _others(changes, live)}
    made = {(change.after.scope, _ip(change.after)) for change in changes if _is_made(change)}
    for change in listed:
        old: Address = change.before
        there = (old.scope, _ip(old))
        if there not in left and not (there in made and change.key in late):
            yield Taking(Ground("source", *there), change.key, there not in made)
        if _moves(change):
            continue
        if ":" not in old.address and _place(old) not in (settled if change.key in late else bare):
            yield Taking(Ground("ipv4", *_place(old)), change.key, _place(old) not in settled)


def _staying(changes: Sequence[Change], live: Mapping[Key, Live]) -> list[Address]:
    """The IPv4 addresses that exist during the whole plan."""
    return [one for one in _others(changes, live) if ":" not in one.address]


def _coming(changes: Sequence[Change]) -> list[Address]:
    """The IPv4 addresses that the plan creates."""
    made = (one.after for one in changes if _is_made(one))
    return [one for one in made if ":" not in one.address]


def _others(changes: Sequence[Change], live: Mapping[Key, Live]) -> list[Address]:
    gone = {change.key for change in changes if change.action in ("delete", "replace") or _moves(change)}
    return [held.object for key, held in live.items() if key.kind == "address" and key not in gone]


def _place(address: Address) -> tuple[str, str]:
    return address.scope, address.link


def _ip(address: Address) -> str:
    return address.address.partition("/")[0]


def _subnet(address: Address) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_interface(address.address).network


def returns(address: Address, after: After) -> bool:
    return _place(address) in after.links and not any(ground in after.lasting for ground in stands_on(address))


def put_back(address: Address, _anew: bool) -> Iterator[Request]:
    yield _request(address, NLM_F_CREATE | NLM_F_REPLACE)


def shown(address: Address) -> dict[str, object]:
    found: dict[str, object] = {"valid_lft": address.lifetimes[1]} if address.lease else {}
    found |= {"out_of_order": True} if address.out_of_order else {}
    return found | ({"duplicate": True} if address.duplicate else {})


def record(_key: Key, wanted: Address, noting: Noting) -> bool | None:
    """True for an address of the host on a link that we did not create: nothing in the kernel shows its owner."""
    made = noting.names.links.get((wanted.scope, wanted.link)) if wanted.scope == HOST else None
    return True if wanted.scope == HOST and (made is None or made.kind == "interface") else None


def born_with(scope: str, _owner: str) -> Iterator[tuple[Key, Live]]:
    """The loopback addresses of a new namespace."""
    for address in ("127.0.0.1/8", "::1/128"):
        yield key_of(scope, "lo", address), Live(Address(scope, "lo", address), KERNEL)


def connects(address: Address) -> tuple[str, str]:
    return str(_subnet(address)), address.link


def holds(address: Address) -> tuple[str, str]:
    return address.link, address.address.partition("/")[0]


KIND = Kind(
    name="address",
    form=Address,
    schema="address",
    parse=parse,
    check=check,
    read=read,
    needs=needs,
    mask=mask,
    create=create,
    update=update,
    delete=delete,
    adopt=adopt,
    stamp=stamp,
    restamp=restamp,
    lies_on=lies_on,
    stands_on=stands_on,
    goes_last=goes_last,
    during=during,
    takes=takes,
    returns=returns,
    put_back=put_back,
    shown=shown,
    replace_on=frozenset({"duplicate"}),
    disruptive_on=frozenset({"out_of_order"}),
    ownership=kind.PROTOCOL,
    dumps=("addresses",),
    record=record,
    born_with=born_with,
    holds=holds,
    connects=connects,
)
