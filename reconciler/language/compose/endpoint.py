"""Converts the endpoints of a service on its networks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.language.compose import names
from reconciler.language.compose.ipam import why_not
from reconciler.language.compose.network import Network
from reconciler.language.compose.service import Service
from reconciler.language.compose.words import Left, mapping, number, text, words
from reconciler.model.quoting import Path, quoted

_OF_AN_ENDPOINT = (
    *("ipv4_address", "ipv6_address", "link_local_ips", "aliases", "mac_address", "interface_name", "driver_opts"),
    *("priority", "gw_priority"),
)
_MAC = re.compile(r"(?!00:00:00:00:00:00$)[0-9a-f][02468ace](:[0-9a-f]{2}){5}")
_NAME_OF_AN_ENDPOINT = "com.docker.network.endpoint.ifname"


SYSCTLS = "com.docker.network.endpoint.sysctls"


class Given:
    """The fixed addresses, MAC addresses and names of links that were given already, each once to a network."""

    def __init__(self) -> None:
        self._holders: dict[tuple[str, str], str] = {}

    def to(self, network: str, what: str, sandbox: str) -> str:
        """Who has it: the sandbox itself if it is given now."""
        return self._holders.setdefault((network, what), sandbox)


def endpoints(
    service: Service, sandbox: str, networks: Mapping[str, Network], given: Given, left: Left
) -> dict[str, dict[str, Any]]:
    """The endpoints of one container; ``aliases`` are those in the file."""
    made = {key: _endpoint(service, key, sandbox, networks[key], given, left) for key in service.networks}
    mac = text(service.entry.get("mac_address"), (*service.path, "mac_address"), left)
    if mac and made:
        first = service.networks[0]
        made[first].update(
            {**dict(_mac(mac, (*service.path, "mac_address"), first, sandbox, given, left)), **made[first]}
        )
    _name_links(service, made, networks)
    best = _gateway(service, networks)
    others = [key for key in service.networks if not networks[key].internal]
    if best and others and best != others[0]:
        made[best]["default_route"] = True
    return made


def _gateway(service: Service, networks: Mapping[str, Network]) -> str:
    """The network of the default route, as Docker chooses it: by gw_priority, then by its name; "" for none."""
    out = [key for key in service.networks if not networks[key].internal]
    return min(
        out, key=lambda key: (-number(service.of(key).get("gw_priority")), networks[key].docker_name), default=""
    )


def gateway(service: Service, networks: Mapping[str, Network]) -> Network | None:
    """The network by which the ports of the service are published, None where all are internal."""
    best = _gateway(service, networks)
    return networks[best] if best else None


def _endpoint(service: Service, key: str, sandbox: str, network: Network, given: Given, left: Left) -> dict[str, Any]:
    path: Path = (*service.path, "networks", key)
    entry = mapping(service.of(key), path, left)
    left.keys(path, entry, _OF_AN_ENDPOINT)
    for index, address in enumerate(words(entry.get("link_local_ips"), (*path, "link_local_ips"), left)):
        left.lost(
            (*path, "link_local_ips", index), f"a second address {address} on the link has no equivalent; left out"
        )
    endpoint: dict[str, Any] = {}
    addresses = list(_addresses(entry, path, key, sandbox, network, given, left))
    if addresses:
        endpoint["address"] = addresses[0] if len(addresses) == 1 else addresses
    mac = text(entry.get("mac_address"), (*path, "mac_address"), left)
    endpoint |= dict(_mac(mac, (*path, "mac_address"), key, sandbox, given, left)) if mac else {}
    endpoint |= dict(_link_name(entry, path, sandbox, given, left))
    aliases = list(_aliases(entry.get("aliases"), (*path, "aliases"), left))
    return endpoint | ({"aliases": aliases} if aliases else {})


def _addresses(
    entry: Mapping[str, Any], path: Path, key: str, sandbox: str, network: Network, given: Given, left: Left
) -> Iterator[str]:
    for word, version in (("ipv4_address", 4), ("ipv6_address", 6)):
        address = text(entry.get(word), (*path, word), left)
        why = why_not(address, version, network.subnets) if address and not network.outside else ""
        if address and not why:
            holder = given.to(key, address, sandbox)
            why = "" if holder == sandbox else f"{address} is the address of {holder} already"
        if why:
            left.lost((*path, word), f"{why}; left out")
        elif address:
            yield address


def _mac(mac: str, path: Path, key: str, sandbox: str, given: Given, left: Left) -> Iterator[tuple[str, str]]:
    digits = re.sub(r"[-:.]", "", mac).lower()
    plain = ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))
    holder = given.to(key, plain, sandbox)
    if not _MAC.fullmatch(plain):
        left.lost(path, f"{quoted(mac)} is no MAC address of one machine; left out")
    elif holder != sandbox:
        left.lost(path, f"{mac} is the MAC address of {holder} already; left out")
    else:
        yield "mac", plain


def _aliases(listed: Any, path: Path, left: Left) -> Iterator[str]:
    for index, alias in enumerate(words(listed, path, left)):
        if names.is_host(alias):
            yield alias
        else:
            left.lost((*path, index), f"{quoted(alias)} is no host name; left out")


def _link_name(
    entry: Mapping[str, Any], path: Path, sandbox: str, given: Given, left: Left
) -> Iterator[tuple[str, str]]:
    options = mapping(entry.get("driver_opts"), (*path, "driver_opts"), left)
    for word in options:
        if word not in (SYSCTLS, _NAME_OF_AN_ENDPOINT):
            left.lost((*path, "driver_opts", word), f"the option {word} of an endpoint has no equivalent")
    at: Path = (*path, "interface_name")
    name = text(entry.get("interface_name"), at, left) or text(options.get(_NAME_OF_AN_ENDPOINT), at, left)
    if not name:
        return
    if names.is_link(name) and name != "lo" and given.to(f"links of {sandbox}", name, str(path)) == str(path):
        yield "name", name
    else:
        left.lost(at, f"{quoted(name)} cannot be the name of the link; left out")


def _name_links(service: Service, made: Mapping[str, dict[str, Any]], networks: Mapping[str, Network]) -> None:
    """Name links by the prefix of their networks where it is not eth."""
    counts: dict[str, int] = {}
    used = {endpoint.get("name") for endpoint in made.values()}
    for key in service.networks:
        prefix = networks[key].prefix
        if prefix in ("", "eth") or "name" in made[key]:
            continue
        while f"{prefix}{counts.setdefault(prefix, 0)}" in used:
            counts[prefix] += 1
        name = f"{prefix}{counts[prefix]}"
        if names.is_link(name):
            made[key]["name"] = name
            used.add(name)


def link_names(made: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Network -> the name that its link will have in the sandbox."""
    used = {endpoint["name"] for endpoint in made.values() if "name" in endpoint}
    numbers = (f"eth{index}" for index in range(2 * len(made)) if f"eth{index}" not in used)
    return {key: endpoint.get("name") or next(numbers) for key, endpoint in made.items()}
