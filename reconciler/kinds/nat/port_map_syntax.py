"""Parses one entry of port_maps: a string in the form of ssh -L, or a mapping."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from ipaddress import IPv6Address
from typing import Any

from reconciler.model.addresses import ip_address
from reconciler.model.data import NamedTuple
from reconciler.model.patterns import pattern
from reconciler.model.quoting import Path

FORM = "[listen:]port[-end]:target:port[-end][/protocol]"
PROTOCOLS = ("tcp", "udp", "sctp")
ANY = {4: "0.0.0.0", 6: "::"}

_ADDRESS = r"\[[^\]]*\]|[^:\[\]]*"
_WHOLE = pattern(rf"(?:({_ADDRESS}):)?([^:\[\]]*):({_ADDRESS}):([^:\[\]/]*)(?:/(.*))?")
_SIDE = pattern(rf"(?:({_ADDRESS}):)?([^:\[\]]*)")


_NOWHERE: tuple[tuple[str, ...], ...] = ((), (), ())  # an entry that is a string has no keys


class Ports(NamedTuple):
    """The ports first to last, both included."""

    first: int
    last: int


class PortMapEntry(NamedTuple):
    """One entry of port_maps: a range of ports, each mapped to one target port."""

    protocol: str
    listen: str
    ports: Ports
    target: str
    target_ports: Ports


class Wrong(Exception):
    """An error in an entry, with the path of the wrong key in it."""

    def __init__(self, message: str, *path: str) -> None:
        super().__init__(message)
        self.path: Path = path


def entry_of(data: Any) -> PortMapEntry:
    """One entry of port_maps, a string or a mapping, with its addresses in canonical form.  Raises Wrong."""
    if isinstance(data, str):
        listen, ports, target, target_ports, protocol = _split(data.strip())
        in_listen, in_target, in_protocol = _NOWHERE
    else:
        listen, ports = _side(str(data["listen"]), "listen")
        target, target_ports = _side(str(data["target"]), "target")
        protocol = data.get("protocol")
        in_listen, in_target, in_protocol = ("listen",), ("target",), ("protocol",)
    protocol = "tcp" if protocol is None else _protocol(protocol, *in_protocol)
    to = _target(target, *in_target)
    entry = PortMapEntry(
        protocol,
        _listen(listen, to, *in_listen) if listen else ANY[version_of(to)],
        ports_of(ports, *in_listen),
        to,
        ports_of(target_ports, *in_target),
    )
    if entry.ports.last - entry.ports.first != entry.target_ports.last - entry.target_ports.first:
        raise _unequal(entry, *in_target)
    return entry


def _split(text: str) -> Sequence[Any]:
    """Listen address, ports, target address, target ports and protocol; None for what is not there."""
    sides, slash, protocol = text.partition("/")
    parts = sides.split(":")
    if len(parts) == 3 and "[" not in sides:  # nearly all are so; the pattern takes three times as long
        return None, *parts, protocol if slash else None
    match = _WHOLE.fullmatch(text)
    if match:
        return match.groups()
    if "[" not in text and (text.count(":") > 3 or "::" in text):
        raise Wrong(f'"{text}": an IPv6 address stands in brackets, as in "8443:[fd00::2]:443"')
    if _SIDE.fullmatch(text.partition("/")[0]):
        raise Wrong(f'"{text}" lacks a target address or a target port: {FORM}')
    raise Wrong(f'"{text}" is not a port map: {FORM}')


def _side(text: str, key: str) -> tuple[str | None, str]:
    match = _SIDE.fullmatch(text.strip())
    if match is None:
        example = "[fd00::2]:443" if text.count(":") > 1 else "172.16.0.2:80"
        raise Wrong(f'"{text}" is not address:port, as in "{example}"', key)
    address, ports = match.groups()
    if key == "target" and not address:
        raise Wrong(f'"{text}" lacks its {"port" if "." in ports else "address"}: address:port[-end]', key)
    return address, ports


@functools.lru_cache(1 << 16)
def _canonical(text: str) -> str | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return None if "%" in str(address) else str(address)


def version_of(address: str) -> int:
    """4 or 6, of an address in canonical form."""
    return 6 if ":" in address else 4


def _protocol(text: str, *path: str) -> str:
    if text.lower() not in PROTOCOLS:
        raise Wrong(f'no protocol "{text}": tcp, udp or sctp', *path)
    return text.lower()


@functools.lru_cache(1 << 16)  # thousands of ports have few targets
def _target(text: str, *path: str) -> str:
    target = _address(text, "target", *path)
    if odd := _oddity(target):
        raise Wrong(f"{target} is {odd} address: no target that packets can be forwarded to", *path)
    return target


def _listen(text: str, target: str, *path: str) -> str:
    listen = _address(text, "listen", *path)
    if version_of(listen) != version_of(target):
        raise Wrong(f"listen {listen} and target {target} are of two families; both must be of one", *path)
    if listen == "::1":
        raise Wrong("::1 cannot be published: the kernel routes it to no other link; try [::]", *path)
    if _oddity(listen) in ("a multicast", "a broadcast"):
        raise Wrong(f"{listen} is no address that a host can have; listen on one of its own", *path)
    return listen


def _address(text: str, what: str, *path: str) -> str:
    inner = text[1:-1] if text.startswith("[") else text
    address = _canonical(inner)
    if address is not None and address.startswith("::ffff:") and (four := IPv6Address(address).ipv4_mapped):
        raise Wrong(f"{address} is an IPv4 address in IPv6 form, which no packet carries; write {four}", *path)
    if address is None or (version_of(address) == 6) != text.startswith("["):
        hint = f"{what} must be an IP address (a name would have to be looked up)"
        if address is not None:
            hint = "an IPv6 address stands in brackets, an IPv4 address does not"
        elif re.fullmatch(r"[0-9.]*", inner):
            hint = f"{what} must be an IPv4 address or an IPv6 address in brackets"
        raise Wrong(f'"{text}": {hint}', *path)
    return address


def ports_of(text: str, *path: str) -> Ports:
    """One port or a range from its text.  Raises Wrong with ``path``."""
    if text.isdecimal() and text.isascii() and len(text) <= 5 and 1 <= (port := int(text)) <= 65535:
        return Ports(port, port)
    words = text.split("-")
    if len(words) > 2 or not all(word.isdecimal() and word.isascii() and len(word) < 100 for word in words):
        raise Wrong(f'"{text}" is not a port or a range of ports (1 to 65535)', *path)
    first, last = int(words[0]), int(words[-1])
    if 1 <= first <= last <= 65535:
        return Ports(first, last)
    for port in (first, last):
        if not 1 <= port <= 65535:
            raise Wrong(f"no port {port}: ports are 1 to 65535", *path)
    raise Wrong(f"the range {first}-{last} is reversed; write {last}-{first}", *path)


@functools.lru_cache(1 << 16)
def _oddity(address: str) -> str:
    """Why an address cannot be a host's, "" where it can."""
    ip = ip_address(address)
    if ip.is_loopback:
        return "a loopback"
    if ip.is_multicast:
        return "a multicast"
    if ip.is_unspecified:
        return "the unspecified"
    return "a broadcast" if address == "255.255.255.255" else ""


def _unequal(entry: PortMapEntry, *path: str) -> Wrong:
    here, there = (ports.last - ports.first + 1 for ports in (entry.ports, entry.target_ports))
    first = entry.target_ports.first
    example = f"{first}-{first + here - 1}" if here > 1 else str(first)
    return Wrong(f"{here} ports map to {there}: the ranges must be of equal length, as {example}", *path)
