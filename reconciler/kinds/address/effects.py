"""What an address depends on, and what the kernel deletes or changes with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from reconciler.kinds.address.form import Address, ip_of, place_of, subnet_of
from reconciler.kinds.grounds import After, Ground, Taking
from reconciler.model.changes import Change, Live
from reconciler.model.keys import Key


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
    subnets = {(*place_of(one), subnet_of(one)) for one in staying}
    places = {place_of(one) for one in coming}
    elsewhere = {(one.scope, ip_of(one)) for one in coming}
    for change in going:
        old: Address = change.before
        place = place_of(old)
        if place in places or (*place, subnet_of(old)) in subnets or (old.scope, ip_of(old)) in elsewhere:
            yield change.key


def during(changes: Sequence[Change], live: Mapping[Key, Live]) -> Iterator[tuple[Key, str, str]]:
    """promote_secondaries = 1 while a primary address is deleted: else the kernel deletes the others of its subnet.

    On a link whose addresses are put in order it must hold for creations too, so that all end in their order.
    """
    moving = {place_of(change.after) for change in changes if _moves(change)}
    for change in changes if moving else ():
        if _is_made(change) and place_of(change.after) in moving and ":" not in change.after.address:
            yield change.key, _promotion(change.after), "1"
    going = [one for one in changes if one.action in ("delete", "replace") and _leads_others(one.before)]
    if not going:
        return
    last = set(goes_last(changes, live))
    there = {(*place_of(one), subnet_of(one)) for one in _staying(changes, live)}
    then = there | {(*place_of(one), subnet_of(one)) for one in _coming(changes)}
    for change in going:
        old: Address = change.before
        if (*place_of(old), subnet_of(old)) in (then if change.key in last else there):
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
    """The links that lose their last IPv4 address, the addresses that the scope loses, and the prefixes of a link.

    With the last IPv6 address of a prefix the kernel deletes the first route of the link to it, whoever created it
    (cleanup_prefix_route in net/ipv6/addrconf.c).
    """
    listed = [change for change in changes if change.action in ("delete", "replace") or _moves(change)]
    if not listed:
        return
    late = set(goes_last(changes, live))
    bare = {place_of(address) for address in _staying(changes, live)}
    settled = bare | {place_of(address) for address in _coming(changes)}
    left = {(address.scope, ip_of(address)) for address in _others(changes, live)}
    made = {(change.after.scope, ip_of(change.after)) for change in changes if _is_made(change)}
    prefixes = {
        (*place_of(address), subnet_of(address)) for address in _others(changes, live) if ":" in address.address
    }
    for change in listed:
        old: Address = change.before
        there = (old.scope, ip_of(old))
        if ":" in old.address and (*place_of(old), subnet_of(old)) not in prefixes:
            yield Taking(Ground("prefix", old.scope, f"{old.link} {subnet_of(old)}"), change.key)
        if there not in left and not (there in made and change.key in late):
            yield Taking(Ground("source", *there), change.key, there not in made)
        if _moves(change):
            continue
        if ":" not in old.address and place_of(old) not in (settled if change.key in late else bare):
            yield Taking(Ground("ipv4", *place_of(old)), change.key, place_of(old) not in settled)


def _staying(changes: Sequence[Change], live: Mapping[Key, Live]) -> list[Address]:
    """The IPv4 addresses that exist during the whole plan."""
    return [address for address in _others(changes, live) if ":" not in address.address]


def _coming(changes: Sequence[Change]) -> list[Address]:
    """The IPv4 addresses that the plan creates."""
    made = (one.after for one in changes if _is_made(one))
    return [one for one in made if ":" not in one.address]


def _others(changes: Sequence[Change], live: Mapping[Key, Live]) -> list[Address]:
    gone = {change.key for change in changes if change.action in ("delete", "replace") or _moves(change)}
    return [entry.object for key, entry in live.items() if key.kind == "address" and key not in gone]


def returns(address: Address, after: After) -> bool:
    return place_of(address) in after.links and not any(ground in after.lasting for ground in stands_on(address))
