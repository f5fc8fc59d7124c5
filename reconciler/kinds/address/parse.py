"""From an entry under ``addresses`` to an address, and whether a link can have it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from reconciler.kinds import ipv6
from reconciler.kinds.address.form import Address, key_of
from reconciler.kinds.context import Names, Parsed, Source
from reconciler.model.addresses import ip_interface
from reconciler.model.quoting import Path


def parse(source: Source) -> Iterator[Parsed]:
    for entry in source.ends:
        texts = entry.words.get("addresses")
        yield from _parse_list(source, entry.scope, entry.name, texts, (*entry.at, "addresses"))


def _parse_list(source: Source, scope: str, link: str, texts: list[str] | None, at: Path) -> Iterator[Parsed]:
    seen: dict[str, str] = {}
    last = {4: "", 6: ""}
    for index, text in enumerate(texts or ()):
        try:
            interface = ip_interface(text)
        except ValueError:
            source.problem((*at, index), f'"{text}" is not an IP address with its prefix length')
            continue
        wrong = unusable(interface) or _misplaced(interface, link)
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
    if mapped := getattr(ip, "ipv4_mapped", None):
        example = f"{mapped}/{max(network.prefixlen - 96, 0)}"
        return f"is an IPv4 address in IPv6 form, from which the kernel sends nothing; write {example}"
    if ip.version == 4 and network.prefixlen < 31 and ip in (network.network_address, network.broadcast_address):
        which = "network's own" if ip == network.network_address else "broadcast"
        return f"is the {which} address of {network}; write one in between, such as {network[1]}/{network.prefixlen}"
    return ""


def _misplaced(interface: ipaddress.IPv4Interface | ipaddress.IPv6Interface, link: str) -> str:
    """Why this link cannot have the address: ::1 is for loopback links alone (addrconf_add_ifaddr)."""
    loopback = interface.version == 6 and interface.ip.is_loopback and link != "lo"
    return f"is the loopback address, which the kernel does not give to {link}; lo has it already" if loopback else ""


def check(address: Address, names: Names) -> Iterator[tuple[Path, str]]:
    """An IPv6 address needs a link with IPv6."""
    wrong = ipv6.off(address.scope, address.link, names) if ":" in address.address else ""
    if wrong:
        yield (), wrong
