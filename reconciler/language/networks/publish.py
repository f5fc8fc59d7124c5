"""Turns the ports that sandboxes publish, in Docker's syntax, into port maps of the host."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from reconciler.kinds.nat.port_map_syntax import ANY, Ports, Wrong, entry_of, ports_of, version_of
from reconciler.language.networks.ipam import number, written
from reconciler.language.networks.leases import Leases
from reconciler.language.networks.model import Endpoint, Network, Note, Part, Sandbox
from reconciler.model.data import dataclass
from reconciler.model.patterns import pattern
from reconciler.model.quoting import Path

FREE = range(32768, 61000)  # free ports are chosen from these, as by Docker (net.ipv4.ip_local_port_range)
_FORM = pattern(r"(?:(\[[^\]]*\]|[0-9]+(?:\.[0-9]+)+):)?(?:([0-9-]*):)?([0-9-]+)(?:/(.*))?")


@dataclass(frozen=True, slots=True)
class Publication:
    """One entry of ``publish``: the sandbox's ports ``targets`` and the host's ``ports`` for them.

    ``ports`` is None where free ones are chosen; a range of ports for one target means a free one of the range.
    ``ends`` are (address of the host to listen on, address of the sandbox), one for each IP version.
    """

    path: Path
    protocol: str
    ports: Ports | None
    targets: Ports
    ends: tuple[tuple[str, str], ...]
    present: tuple[str, ...]  # the addresses that the sandbox has now

    @property
    def fixed(self) -> bool:
        """Whether the entry names the host's port for each of its targets."""
        return self.ports is not None and (_length(self.ports) == _length(self.targets))


def port_maps(
    data: Mapping[str, Any],
    sandboxes: Sequence[Sandbox],
    networks: Mapping[str, Network],
    leases: Leases,
    used: frozenset[tuple[str, int]],
    note: Note,
) -> Iterator[Part]:
    """The port maps of all sandboxes; ``used`` are (protocol, port) that others on the host use."""
    present = _addresses_now(leases)
    listed = [
        publication
        for sandbox in sandboxes
        for publication in _publications(sandbox, networks, present.get(sandbox.name, ()), note)
    ]
    chosen = _choose(listed, leases, set(_claimed(listed, data)), used, note)
    for entry in listed:
        for shift in range(_length(entry.targets)) if not entry.fixed else ():
            port = chosen.get((entry.path, shift))
            if port:
                target = entry.targets.first + shift
                yield from _parts(entry, Ports(port, port), Ports(target, target))
        if entry.fixed and entry.ports:
            yield from _parts(entry, entry.ports, entry.targets)


def _parts(entry: Publication, ports: Ports, targets: Ports) -> Iterator[Part]:
    for listen, target in entry.ends:
        on = "" if listen == ANY[version_of(listen)] else f"{_bracketed(listen)}:"
        protocol = "" if entry.protocol == "tcp" else f"/{entry.protocol}"
        text = f"{on}{_range(ports)}:{_bracketed(target)}:{_range(targets)}{protocol}"
        yield Part(("port_maps",), text, entry.path, item=True)


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _range(ports: Ports) -> str:
    return str(ports.first) if ports.first == ports.last else f"{ports.first}-{ports.last}"


def _length(ports: Ports) -> int:
    return ports.last - ports.first + 1


# ------------------------------------------------------------------ free ports


def _claimed(listed: Iterable[Publication], data: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """(protocol, port) of the host that the file names, in ``publish`` and in ``port_maps``."""
    for entry in listed:
        if entry.fixed and entry.ports:
            yield from ((entry.protocol, port) for port in range(entry.ports.first, entry.ports.last + 1))
    yield from listening(data.get("port_maps") or ())


def named(data: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """(protocol, port) of the host that a file names, before anything is chosen; wrong entries are left out."""
    for sandbox in (data.get("sandboxes") or {}).values():
        for entry in (sandbox or {}).get("publish") or ():
            with contextlib.suppress(Wrong):
                _, ports, targets, protocol = _entry(entry)
                if ports and _length(ports) == _length(targets):
                    yield from ((protocol, port) for port in range(ports.first, ports.last + 1))
    yield from listening(data.get("port_maps") or ())


def listening(port_maps: Iterable[Any]) -> Iterator[tuple[str, int]]:
    """(protocol, port) that the port maps listen on."""
    for entry in port_maps:
        try:
            protocol, _, ports, _, _ = entry_of(entry)
        except Wrong:  # the kind port_map reports it
            continue
        yield from ((protocol, port) for port in range(ports.first, ports.last + 1))


def _choose(
    listed: Sequence[Publication],
    leases: Leases,
    taken: set[tuple[str, int]],
    used: frozenset[tuple[str, int]],
    note: Note,
) -> dict[tuple[Path, int], int]:
    """(path of the entry, index of the target) -> port of the host: the one that it has now, else the lowest free one.

    ``taken`` are the ports that the file names.  An entry keeps the port that it has even if it is in ``used``.
    """
    chosen: dict[tuple[Path, int], int] = {}
    wishes = [
        (entry, shift) for entry in listed if not entry.fixed and entry.ends for shift in range(_length(entry.targets))
    ]
    for entry, shift in wishes:
        for port in _present(entry, shift, leases):
            if (entry.protocol, port) not in taken and port in _allowed(entry):
                chosen[entry.path, shift] = port
                taken.add((entry.protocol, port))
                break
    taken.update(used)
    lowest: dict[tuple[str, range], Iterator[int]] = {}
    for entry, shift in wishes:
        if (entry.path, shift) in chosen:
            continue
        free = lowest.setdefault((entry.protocol, _allowed(entry)), iter(_allowed(entry)))
        port = next((port for port in free if (entry.protocol, port) not in taken), 0)
        if not port:
            note(entry.path, "no port of the host is free for it; name one")
        else:
            chosen[entry.path, shift] = port
            taken.add((entry.protocol, port))
    return chosen


def _allowed(entry: Publication) -> range:
    return FREE if entry.ports is None else range(entry.ports.first, entry.ports.last + 1)


def _present(entry: Publication, shift: int, leases: Leases) -> list[int]:
    target = entry.targets.first + shift
    places = [(entry.protocol, listen, ip, target) for listen, _ in entry.ends for ip in entry.present]
    return [port for place in places for port in leases.ports.get(place, ())]


# ------------------------------------------------------------------ one entry


def _publications(
    sandbox: Sandbox, networks: Mapping[str, Network], present: tuple[str, ...], note: Note
) -> Iterator[Publication]:
    if sandbox.network or not sandbox.endpoints:
        return
    for index, data in enumerate(sandbox.data.get("publish") or ()):
        path: Path = (*sandbox.path, "publish", index)
        try:
            listen, ports, targets, protocol = _entry(data)
            ends = tuple(_ends(sandbox, networks, listen))
        except Wrong as wrong:
            note((*path, *wrong.path), str(wrong))
            continue
        yield Publication(path, protocol, ports, targets, ends, present)


def _entry(data: Any) -> tuple[str, Ports | None, Ports, str]:
    """(listen, ports, targets, protocol) of an entry; Wrong where it is malformed."""
    if isinstance(data, dict):
        given = data.get("published")
        listen, host, inner = data.get("host_ip", ""), "" if given is None else str(given), str(data["target"])
        protocol = data.get("protocol", "tcp")
        keys: tuple[str, ...] = ("published", "target")
    else:
        match = _FORM.fullmatch(str(data))
        if match is None:
            hint = "; an IPv6 address stands in brackets" if str(data).count(":") > 2 and "[" not in str(data) else ""
            raise Wrong(f'"{data}" is not [host_ip:][host_port[-end]:]port[-end][/protocol]{hint}')
        listen, host, inner = (match[1] or "").strip("[]"), match[2] or "", match[3]
        protocol, keys = match[4] or "tcp", ()
    protocol = protocol.lower()
    if protocol not in ("tcp", "udp", "sctp"):
        raise Wrong(f'no protocol "{protocol}": tcp, udp or sctp')
    targets = ports_of(inner, *keys[1:])
    ports = ports_of(host, *keys[:1]) if host else None
    if ports and _length(ports) != _length(targets) and _length(targets) > 1:
        raise Wrong(f"{_length(ports)} ports map to {_length(targets)}: the ranges must be of equal length", *keys[1:])
    return listen, ports, targets, protocol


def _ends(sandbox: Sandbox, networks: Mapping[str, Network], listen: str) -> Iterator[tuple[str, str]]:
    """(listen, address) for each IP version that the sandbox has, or only for that of ``listen``; Wrong for none."""
    on = ""
    if listen:
        try:
            on = written(*number(listen))
        except ValueError:
            raise Wrong(f'"{listen}" is not an IP address') from None
    reached = [endpoint for endpoint in sandbox.endpoints if not networks[endpoint.network].internal]
    if not reached:
        raise Wrong(f"{sandbox.name} is on internal networks only, into which nothing gets; leave it out")
    versions = (version_of(on),) if on else (4, 6)
    reached.sort(key=lambda endpoint: not endpoint.default_route)
    targets = [(version, endpoint) for version in versions for endpoint in [_first(reached, version)] if endpoint]
    if not targets and any(endpoint.addresses for endpoint in reached):
        raise Wrong(f"{sandbox.name} has no IPv{versions[0]} address for {on or 'it'} to lead to")
    for version, target in targets:
        address = target.of(version)
        if address:
            yield on or ANY[version], address.ip


def _first(endpoints: Iterable[Endpoint], version: int) -> Endpoint | None:
    return next((endpoint for endpoint in endpoints if endpoint.of(version)), None)


def _addresses_now(leases: Leases) -> dict[str, tuple[str, ...]]:
    """Sandbox -> the addresses that it has now, without prefix lengths."""
    addresses: dict[str, tuple[str, ...]] = {}
    for lease in leases.endpoints.values():
        own = tuple(text.partition("/")[0] for text in lease.addresses)
        addresses[lease.sandbox] = (*addresses.get(lease.sandbox, ()), *own)
    return addresses
