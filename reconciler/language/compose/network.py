"""Converts one network of a Compose project to a network of a topology."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from reconciler.language.compose import names
from reconciler.language.compose.ipam import Block, addresses, configs
from reconciler.language.compose.words import Left, mapping, number, text, truth
from reconciler.model.data import NamedTuple, dataclass, field
from reconciler.model.names import IPV6_MIN_MTU
from reconciler.model.quoting import Path, quoted

_BRIDGE = "com.docker.network.bridge."
_OF_A_NETWORK = (
    *("driver", "driver_opts", "ipam", "internal", "enable_ipv4", "enable_ipv6", "external", "name"),
    *("attachable", "labels"),  # clusters, and other readers
)
_LAN = ("macvlan", "ipvlan")  # drivers that put services on the host's own network


@dataclass(frozen=True, slots=True)
class Network:
    """``written`` is the network in the topology.

    ``docker_name`` is its name in Docker; ``predefined`` is none, host or bridge where it is one of Docker's own;
    ``subnets`` those in the file, each with its gateway; ``versions`` the IP versions of its endpoints;
    ``host`` the address of the host on which its ports are published by default; ``prefix`` of the names of links.
    """

    written: dict[str, Any]
    docker_name: str
    predefined: str = ""
    outside: bool = False  # of another topology, whose file says what it is
    nameless: bool = False  # Docker resolves no names of services on its own network bridge
    internal: bool = False
    subnets: Mapping[Block, str] = field(default_factory=dict)
    versions: tuple[int, ...] = (4,)
    host: str = ""
    prefix: str = ""


class _Option(NamedTuple):
    word: str  # in the topology
    form: Callable[[str], Any]  # of the value; None where it is none


def _yes_or_no(value: str) -> Any:
    return truth(value) if value.lower() in ("true", "false", "1", "0", "t", "f") else None


def _mtu(value: str) -> Any:
    return number(value) if 68 <= number(value) <= 65535 else None


def _link(value: str) -> Any:
    return value if names.is_link(value) else None


_OPTIONS = {
    f"{_BRIDGE}name": _Option("bridge", _link),
    "com.docker.network.driver.mtu": _Option("mtu", _mtu),
    f"{_BRIDGE}enable_icc": _Option("icc", _yes_or_no),
    f"{_BRIDGE}enable_ip_masquerade": _Option("masquerade", _yes_or_no),
}
_HOST = {f"{_BRIDGE}host_binding_ipv4": 4, f"{_BRIDGE}host_binding_ipv6": 6}
_PREFIX = "com.docker.network.container_iface_prefix"
_FAMILIES = {"com.docker.network.enable_ipv4": "enable_ipv4", "com.docker.network.enable_ipv6": "enable_ipv6"}
_MODES = (f"{_BRIDGE}gateway_mode_ipv4", f"{_BRIDGE}gateway_mode_ipv6")


def network_of(entry: Mapping[str, Any], path: Path, docker_name: str, left: Left) -> Network:
    """The network; ``left`` gets what has no equivalent."""
    left.keys(path, entry, _OF_A_NETWORK)
    at: Path = (*path, "driver_opts")
    options = {key: text(item, (*at, key), left) for key, item in mapping(entry.get("driver_opts"), at, left).items()}
    families = {word: options[key] for key, word in _FAMILIES.items() if key in options} | dict(entry)
    four, six = truth(families.get("enable_ipv4", True)), truth(families.get("enable_ipv6"))
    if not four and not six:
        left.lost((*path, "enable_ipv4"), "without IPv6 it would have no addresses; taken as a network with IPv4")
        four = True
    lan = text(entry.get("driver"), (*path, "driver"), left) in _LAN
    subnets = {} if lan else configs(mapping(entry.get("ipam"), (*path, "ipam"), left), (*path, "ipam"), left)
    versions = tuple(version for version, is_on in ((4, four), (6, six)) if is_on)
    for config in [config for config in subnets.values() if config.subnet.version not in versions]:
        how = "without enable_ipv6" if config.subnet.version == 6 else "with enable_ipv4: false"
        left.noted(config.path, f"{how} Docker gives no address of {config.subnet}; left out")
        del subnets[config.subnet.version]
    _check_driver(entry, path, left)
    written = addresses(subnets, four, six)
    if truth(entry.get("internal")):
        written["internal"] = True
    written |= dict(_options(options, at, left))
    if six and written.get("mtu", IPV6_MIN_MTU) < IPV6_MIN_MTU:
        left.lost(at, f"IPv6 needs an mtu of {IPV6_MIN_MTU} or more; {written.pop('mtu')} is left out")
    blocks = {config.subnet: config.gateway for config in subnets.values()}
    host = next(_hosts(options, at, left), "")
    prefix = options.get(_PREFIX, "")
    return Network(written, docker_name, "", False, False, truth(entry.get("internal")), blocks, versions, host, prefix)


def _check_driver(entry: Mapping[str, Any], path: Path, left: Left) -> None:
    driver = text(entry.get("driver"), (*path, "driver"), left)
    if driver in _LAN:
        why = f"the driver {driver} has no equivalent; taken as a bridge with a subnet of its own, not the LAN's"
        left.lost((*path, "driver"), why)
    elif driver not in ("", "bridge", "default"):
        left.lost((*path, "driver"), f"the driver {quoted(driver)} has no equivalent; taken as a bridge on this host")


# ------------------------------------------------------------------ driver_opts


def _options(options: Mapping[str, str], path: Path, left: Left) -> Iterator[tuple[str, Any]]:
    for key, value in options.items():
        option = _OPTIONS.get(key)
        if option is not None:
            given = option.form(value)
            if given is None:
                left.lost((*path, key), f"{quoted(value)} is no value for {option.word}; left out")
            else:
                yield option.word, given
        elif key in _MODES and value == "nat":
            continue  # what netrecon does
        elif key not in (*_HOST, *_FAMILIES, _PREFIX):
            left.lost((*path, key), f"the option {key}: {quoted(value)} has no equivalent")


def _hosts(options: Mapping[str, str], path: Path, left: Left) -> Iterator[str]:
    """The addresses on which ports are published that name none, without those that are every address."""
    for key, version in _HOST.items():
        value = options.get(key, "")
        try:
            address = ipaddress.ip_address(value) if value else None
        except ValueError:
            left.lost((*path, key), f"{quoted(value)} is no address of the host; ports are published on every address")
            continue
        if address is not None and address.version == version and not address.is_unspecified:
            yield str(address)
