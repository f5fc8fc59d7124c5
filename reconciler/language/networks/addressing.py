"""Gives endpoints their addresses: those in the file, else those that they have now, else the lowest free ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from reconciler.language.networks import naming
from reconciler.language.networks.ipam import Asked, Clash, Pool, assign, number, written
from reconciler.language.networks.leases import Leases
from reconciler.language.networks.model import Address, Endpoint, Held, Network, Note, Sandbox
from reconciler.model import data as dataclasses
from reconciler.model.keys import Origin
from reconciler.model.quoting import Path

Place = Callable[[Path], Origin]


def with_addresses(
    sandboxes: Sequence[Sandbox],
    networks: Mapping[str, Network],
    leases: Leases,
    held: Sequence[Held],
    place: Place,
    note: Note,
) -> list[Sandbox]:
    """The sandboxes with an address for each endpoint and family; a clash is noted with the line of the other entry.

    ``held`` are addresses of endpoints of other topologies.
    """
    members: dict[str, list[Endpoint]] = {}
    for sandbox in sandboxes:
        for endpoint in sandbox.endpoints:
            members.setdefault(endpoint.network, []).append(endpoint)
    addresses: dict[str, list[Address]] = {}
    for name, endpoints in members.items():
        for endpoint in endpoints:
            _check_families(endpoint, networks[name], note)
        for pool in networks[name].pools:
            version, length = pool.subnet.version, pool.subnet.length
            others = [one for one in held if (one.bridge, one.version) == (networks[name].bridge, version)]
            for endpoint, value in _assigned(pool, networks[name], endpoints, leases, others, place, note):
                addresses.setdefault(endpoint.link, []).append(Address(version, value, length))
    _note_same_macs(members, addresses, place, note)
    return [
        dataclasses.replace(one, endpoints=tuple(_complete(each, addresses) for each in one.endpoints))
        for one in sandboxes
    ]


def _complete(endpoint: Endpoint, addresses: Mapping[str, list[Address]]) -> Endpoint:
    own = tuple(addresses.get(endpoint.link, ()))
    return dataclasses.replace(endpoint, addresses=own, mac=_mac(endpoint, own))


def _mac(endpoint: Endpoint, addresses: Sequence[Address]) -> str:
    return endpoint.mac or (naming.mac(addresses[0].number) if addresses else "")


def _check_families(endpoint: Endpoint, network: Network, note: Note) -> None:
    for version in endpoint.wanted:
        if network.pools and not any(pool.subnet.version == version for pool in network.pools):
            text = f"{network.name} has no IPv{version} subnet; add one to its subnets"
            note(_path_of(endpoint, version), text)


def _assigned(
    pool: Pool,
    network: Network,
    endpoints: Sequence[Endpoint],
    leases: Leases,
    held: Sequence[Held],
    place: Place,
    note: Note,
) -> Iterator[tuple[Endpoint, int]]:
    version = pool.subnet.version
    firm, named = ([one for one in held if one.firm is state] for state in (True, False))
    asked = [
        Asked(member.wanted[version]) if version in member.wanted else Asked(None, _present(member, version, leases))
        for member in endpoints
    ]
    before, after = [Asked(None, (one.number,)) for one in firm], [Asked(one.number) for one in named]
    own = assign(pool, [*before, *asked, *after])[len(before) : len(before) + len(asked)]
    for endpoint, value in zip(endpoints, own, strict=True):
        if isinstance(value, int):
            yield endpoint, value
        elif 0 <= value.other < len(firm):
            note(_path_of(endpoint, version), _words(Clash("taken"), pool, network, endpoint, firm[value.other].whose))
        else:
            other = _with_place(endpoints[value.other - len(firm)], version, place) if value.other >= 0 else ""
            note(_path_of(endpoint, version), _words(value, pool, network, endpoint, other))


def _present(endpoint: Endpoint, version: int, leases: Leases) -> tuple[int, ...]:
    """The addresses that the endpoint has now.

    The first is the one in its MAC address, which shows what we gave it even if somebody removed the address.
    """
    lease = leases.endpoints.get(endpoint.link)
    if lease is None or lease.sandbox != endpoint.sandbox:
        return ()
    numbers = [number(text.partition("/")[0]) for text in lease.addresses]
    values = [value for family, value in numbers if family == version]
    in_mac = None if version == 6 or endpoint.mac else naming.address_in(lease.mac)
    return tuple(values) if in_mac is None else (in_mac, *values)


def _path_of(endpoint: Endpoint, version: int) -> Path:
    return (*endpoint.path, "address") if version in endpoint.wanted else endpoint.path


def _with_place(endpoint: Endpoint, version: int, place: Place) -> str:
    return f"{endpoint.sandbox} (at {place(_path_of(endpoint, version))})"


def _words(clash: Clash, pool: Pool, network: Network, endpoint: Endpoint, other: str) -> str:
    subnet = pool.subnet
    if clash.why == "exhausted":
        where = pool.within if pool.within != subnet else subnet
        return f"no address is left for it in {where} of {network.name}; give the network a larger one"
    ip = written(subnet.version, endpoint.wanted[subnet.version])
    if clash.why == "taken":
        return f"{ip} is the address of {other} already; take another one"
    if clash.why == "held":
        return f"{ip} is what {other} has now, and keeps; give that one an address, or take another one"
    why = {
        "outside": f"lies outside {subnet}",
        "gateway": "is the gateway's",
        "network": f"is the network's own address in {subnet}",
        "broadcast": f"is the broadcast address of {subnet}",
    }[clash.why]
    first = subnet.first_host + (subnet.first_host == pool.gateway)
    last = subnet.last_host - (subnet.last_host == pool.gateway)
    return f"{ip} {why}; {network.name} takes {written(subnet.version, first)} to {written(subnet.version, last)}"


def _note_same_macs(
    members: Mapping[str, Iterable[Endpoint]], addresses: Mapping[str, list[Address]], place: Place, note: Note
) -> None:
    for name, endpoints in members.items():
        seen: dict[str, Endpoint] = {}
        for endpoint in endpoints:
            mac = _mac(endpoint, addresses.get(endpoint.link, ()))
            other = seen.setdefault(mac, endpoint) if mac else endpoint
            if other is not endpoint:
                where = place(other.path)
                note((*endpoint.path, "mac"), f"{mac} is what {other.sandbox} has on {name} already, at {where}")
