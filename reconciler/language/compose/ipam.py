"""Converts the subnets of a network, and judges fixed addresses."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.language.compose.words import Left, mapping, text
from reconciler.model.data import NamedTuple
from reconciler.model.quoting import Path, quoted

Block = ipaddress.IPv4Network | ipaddress.IPv6Network


class Config(NamedTuple):
    path: Path
    subnet: Block
    gateway: str
    ip_range: str
    reserved: tuple[str, ...]


def addresses(found: Mapping[int, Config], four: bool, six: bool) -> dict[str, Any]:
    """The keys of the topology for the subnets, by IP version; one value stands without a list."""
    listed = [found[version] for version in sorted(found)]
    written: dict[str, Any] = {"subnets": [str(config.subnet) for config in listed]}
    for word in ("gateway", "ip_range"):
        values = [getattr(config, word) for config in listed if getattr(config, word)]
        written[word] = values[0] if len(values) == 1 else values
    written["reserved"] = [address for config in listed for address in config.reserved]
    written = {word: value for word, value in written.items() if value}
    if four and listed and 4 not in found:
        written["ipv4"] = True
    if not four and not listed:
        written["ipv4"] = False
    return written | ({"ipv6": True} if six and 6 not in found else {})


def configs(ipam: Mapping[str, Any], path: Path, left: Left) -> dict[int, Config]:
    """IP version -> the subnet; Docker's bridges have one of each."""
    left.keys(path, ipam, ("driver", "config", "options"))
    driver = text(ipam.get("driver"), (*path, "driver"), left)
    if driver not in ("", "default"):
        left.lost((*path, "driver"), f"the address driver {quoted(driver)} has no equivalent")
    for key in mapping(ipam.get("options"), (*path, "options"), left):
        left.lost((*path, "options", key), f"the option {key} of an address driver has no equivalent")
    found: dict[int, Config] = {}
    listed = ipam.get("config")
    for index, entry in enumerate(listed if isinstance(listed, list) else ()):
        at: Path = (*path, "config", index)
        config = _config(mapping(entry, at, left), at, left)
        if config is None:
            continue
        first = found.setdefault(config.subnet.version, config)
        if first is not config:
            why = f"a second IPv{config.subnet.version} subnet, which a bridge does not have in Docker either; left out"
            left.lost(at, why)
    return found


def _config(entry: Mapping[str, Any], path: Path, left: Left) -> Config | None:
    left.keys(path, entry, ("subnet", "gateway", "ip_range", "aux_addresses"))
    given = text(entry.get("subnet"), (*path, "subnet"), left)
    try:
        subnet = ipaddress.ip_network(given, strict=False)
    except ValueError:
        if any(entry.values()):
            left.lost(path, f"{quoted(given)} is no subnet; left out" if given else "without a subnet it says nothing")
        return None
    if given.partition("/")[0] != str(subnet.network_address) and ":" not in given:
        left.noted((*path, "subnet"), f"taken as {subnet}")
    gateway = text(entry.get("gateway"), (*path, "gateway"), left)
    if gateway and not _is_host_of(gateway, subnet):
        left.lost((*path, "gateway"), f"{quoted(gateway)} is no address of a host in {subnet}; left out")
        gateway = ""
    ip_range = _range(text(entry.get("ip_range"), (*path, "ip_range"), left), subnet)
    if ip_range is None:
        left.lost((*path, "ip_range"), f"this is no part of {subnet}; left out")
    reserved = tuple(_reserved(entry.get("aux_addresses"), subnet, (*path, "aux_addresses"), left))
    return Config(path, subnet, gateway, ip_range or "", reserved)


def _range(given: str, subnet: Block) -> str | None:
    """The range in the form of a topology, "" for none; None where it is no part of the subnet."""
    try:
        block = ipaddress.ip_network(given, strict=False) if given else None
    except ValueError:
        return None
    if block is None:
        return ""
    return str(block) if block[0] in subnet and block[-1] in subnet else None


def _reserved(listed: Any, subnet: Block, path: Path, left: Left) -> Iterator[str]:
    for name, given in mapping(listed, path, left).items():
        address = text(given, (*path, name), left)
        if name.startswith("DefaultGatewayIPv"):
            left.lost(
                (*path, name), "a default gateway other than the host has no equivalent; its address is kept free"
            )
        if _is_in(address, subnet):
            yield str(ipaddress.ip_address(address))
        else:
            left.lost((*path, name), f"{quoted(address)} is no address in {subnet}; left out")


def _is_in(address: str, subnet: Block) -> bool:
    try:
        return ipaddress.ip_address(address) in subnet
    except ValueError:
        return False


def _is_host_of(address: str, subnet: Block) -> bool:
    """Whether a host can have the address: not that of the subnet itself, nor for broadcasts."""
    if not _is_in(address, subnet):
        return False
    given, bits = ipaddress.ip_address(address), subnet.max_prefixlen - subnet.prefixlen
    return bits < 2 or (given != subnet[0] and (given != subnet[-1] or subnet.version == 6))


def why_not(address: str, version: int, subnets: Mapping[Block, str]) -> str:
    """Why an endpoint cannot have a fixed address in one of the subnets, each with its gateway; "" where it can."""
    try:
        given = ipaddress.ip_address(address)
    except ValueError:
        return f"{quoted(address)} is no address"
    if given.version != version or getattr(given, "scope_id", None):
        return f"{address} is no IPv{version} address"
    subnet = next((block for block in subnets if block.version == version), None)
    if subnet is None:
        return f"{address} is in no subnet that the network has here"
    gateway = subnets[subnet]
    first = subnet[0] if subnet.max_prefixlen - subnet.prefixlen < 2 else subnet[1]
    if given == (ipaddress.ip_address(gateway) if gateway else first):
        return f"{address} is the gateway's"
    return "" if _is_host_of(address, subnet) else f"{address} is no address of a host in {subnet}"
