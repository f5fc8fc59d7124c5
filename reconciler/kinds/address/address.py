"""An IP address on a link."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from reconciler.kinds import ipv6, kind, sysctl
from reconciler.kinds.address import disrupts, effects, kernel_form, parse
from reconciler.kinds.address.form import Address, key_of, place_of, subnet_of
from reconciler.kinds.context import Names, Noting
from reconciler.kinds.kind import Kind
from reconciler.kinds.links.link import declared_end
from reconciler.kinds.namespace import home
from reconciler.model.changes import KERNEL, Change, Live
from reconciler.model.keys import Key

if TYPE_CHECKING:
    from reconciler.kinds.ahead import Ahead


def needs(address: Address, names: Names) -> Iterator[Key]:
    yield from home(address.scope)
    if ":" in address.address:  # the kernel refuses an IPv6 address where IPv6 is switched off
        yield from sysctl.ipv6_switches(address.scope, address.link, names)
    if (address.scope, address.link) in names.links:
        yield names.links[address.scope, address.link]


def asks(change: Change) -> Iterator[tuple[str, str]]:
    if ":" in change.after.address and change.action != "update":
        yield from ipv6.asks(change.after.scope, change.after.link)


def refused(change: Change, ahead: Ahead) -> str:
    """Why the kernel has no IPv6 for the address."""
    after: Address = change.after
    needs_ipv6 = ":" in after.address and change.action != "update"
    return ipv6.off_on_host(after.scope, after.link, ahead) if needs_ipv6 else ""


def shown(address: Address) -> dict[str, object]:
    attributes: dict[str, object] = {"valid_lft": address.lifetimes[1]} if address.lease else {}
    attributes |= {"out_of_order": True} if address.out_of_order else {}
    attributes |= {"peer": address.far} if address.far else {}
    return attributes | ({"duplicate": True} if address.duplicate else {})


def told(address: Address, _written: bool) -> Iterator[tuple[tuple[str, str], str]]:
    yield place_of(address), address.address + (f" peer {address.far}" if address.far else "")


def record(_key: Key, wanted: Address, noting: Noting) -> bool | None:
    """True where others may have addresses too: there nothing in the kernel shows the topology of an address.

    That is on a link that we did not create, outside of the namespaces that are a topology's as a whole, and on a
    bridge that keeps the addresses of others.
    """
    scope, link = wanted.scope, wanted.link
    if scope in noting.names.exclusive:
        return None
    made = noting.names.links.get((scope, link))
    end = declared_end(scope, link, noting.names)
    shared = made is None or made.kind == "interface" or getattr(end, "foreign_addresses", None) == "keep"
    return shared or None


def born_with(scope: str, _owner: str) -> Iterator[tuple[Key, Live]]:
    """The loopback addresses of a new namespace."""
    for address in ("127.0.0.1/8", "::1/128"):
        yield key_of(scope, "lo", address), Live(Address(scope, "lo", address), KERNEL)


def connects(address: Address) -> tuple[str, str]:
    return str(subnet_of(address)), address.link


def holds(address: Address) -> tuple[str, str]:
    return address.link, address.address.partition("/")[0]


KIND = Kind(
    name="address",
    features={":": "CONFIG_IPV6"},
    form=Address,
    schema="address",
    parse=parse.parse,
    check=parse.check,
    read=kernel_form.read,
    needs=needs,
    asks=asks,
    refused=refused,
    mask=kernel_form.mask,
    create=kernel_form.create,
    update=kernel_form.update,
    delete=kernel_form.delete,
    adopt=kernel_form.adopt,
    stamp=kernel_form.stamp,
    restamp=kernel_form.restamp,
    lies_on=effects.lies_on,
    stands_on=effects.stands_on,
    goes_last=effects.goes_last,
    during=effects.during,
    takes=effects.takes,
    returns=effects.returns,
    put_back=kernel_form.put_back,
    shown=shown,
    told=told,
    replace_on=frozenset({"duplicate", "peer"}),
    disrupts=disrupts.disrupts,
    ownership=kind.PROTOCOL,
    dumps=("addresses",),
    record=record,
    born_with=born_with,
    holds=holds,
    connects=connects,
)
