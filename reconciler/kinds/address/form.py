"""What an address is, in the one form in which desired and live ones are compared."""

from __future__ import annotations

import ipaddress
from functools import cache
from typing import Any

from reconciler.model.addresses import ip_interface
from reconciler.model.data import dataclass, field
from reconciler.model.keys import PROTOCOL, Key
from reconciler.model.rows import FOREVER

AF_INET, AF_INET6 = 2, 10


@dataclass(frozen=True, slots=True)
class Address:
    """An address, canonical and with its prefix length; ``duplicate``: another host has it (DAD failed).

    ``lease``: it expires; ``lifetimes`` are its preferred and valid lifetime in seconds.
    ``behind`` is the address of the same family before it on the link, "" for none.
    ``out_of_order``: it is not at its place in that order.
    ``far`` is the address at the other end of a point-to-point link (IFA_ADDRESS), "" for none; only live ones have it.
    ``protocol``, ``reach`` (IFA_SCOPE), ``flags`` and ``rest`` (label, broadcast, metric) are those of a live address.
    They are never compared, but an address that is created again gets them again.
    """

    scope: str
    link: str
    address: str
    duplicate: bool = False
    out_of_order: bool = False
    lease: bool = False
    far: str = ""
    secondary: bool = field(default=False, compare=False)  # IPv4: another address of its subnet came before it
    protocol: int = field(default=PROTOCOL, compare=False)
    reach: int | None = field(default=None, compare=False)
    flags: int | None = field(default=None, compare=False)
    lifetimes: tuple[int, int] = field(default=(FOREVER, FOREVER), compare=False)
    behind: str = field(default="", compare=False)
    rest: tuple[tuple[str, Any], ...] = field(default=(), compare=False)


def key_of(scope: str, link: str, address: str) -> Key:
    return Key("address", scope, f"{link}/{address}")


def place_of(address: Address) -> tuple[str, str]:
    return address.scope, address.link


def ip_of(address: Address) -> str:
    return address.address.partition("/")[0]


def subnet_of(address: Address) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return network_of(at(address.far, address.address) if address.far else address.address)


@cache
def network_of(address: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ip_interface(address).network


def at(far: str, address: str) -> str:
    """The far end with the prefix length of the address: in IPv4 that is the subnet of the address."""
    return f"{far}/{address.partition('/')[2]}"
