"""Published ports that the kernel must not lend to a client's connection: they follow from port maps."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from reconciler import ports
from reconciler.kinds.kind import Kind, Names, Parsed, Reading
from reconciler.kinds.namespace import home
from reconciler.model import Held, Key, Request, ReservePorts
from reconciler.ports import PortRanges

RESERVED = "net.ipv4.ip_local_reserved_ports"  # IPv6 too has no other list
EPHEMERAL = "net.ipv4.ip_local_port_range"
_DEFAULT = (32768, 60999)  # the kernel's range where nobody set another (net/ipv4/af_inet.c)


@dataclass(frozen=True, slots=True)
class ReservedPorts:
    """The ports of one topology in the scope's list.

    Desired, ``ports`` are all that are published, until ``settle`` has seen the kernel.  ``ephemeral`` is the
    range from which the kernel lends, None for "as it is"; ``foreign`` are the ports in the list that no
    topology put there, ``shared`` those that another topology needs too.
    """

    scope: str
    name: str
    ports: PortRanges
    ephemeral: tuple[int, int] | None = field(default=None, compare=False)
    foreign: PortRanges = field(default=(), compare=False)
    shared: PortRanges = field(default=(), compare=False)


def key_of(scope: str, topology: str) -> Key:
    """The list is one for the scope, and each topology has its part of it."""
    return Key("reserved_ports", scope, topology)


def imply(names: Names) -> Iterator[Parsed]:
    """One for each scope with port maps, unless the file itself says what the whole list is to be."""
    for (scope, kind), keys in names.by_scope.items():
        if kind != "port_map" or not keys or Key("sysctl", scope, RESERVED) in names.objects:
            continue
        published = ports.ranges_of(names.objects[key].port for key in keys)
        declared = names.objects.get(Key("sysctl", scope, EPHEMERAL))
        made = ReservedPorts(scope, names.topology, published, declared and _range(declared.value))
        yield key_of(scope, names.topology), made, names.origins[keys[0]]


def _range(text: str) -> tuple[int, int] | None:
    words = text.split()
    return (int(words[0]), int(words[1])) if len(words) == 2 and all(map(str.isdecimal, words)) else None


def settle(wanted: ReservedPorts, live: ReservedPorts) -> ReservedPorts:
    """Of the published ports those that the kernel would lend, and that are not reserved by somebody else already."""
    first, last = wanted.ephemeral or live.ephemeral or _DEFAULT
    needed = ports.ports_of(ports.clipped(wanted.ports, first, last)) - ports.ports_of(live.foreign)
    return dataclasses.replace(wanted, ports=ports.ranges_of(needed))


def read(reading: Reading) -> Iterator[tuple[Key, Held]]:
    scope = reading.state.scope
    recorded = {key: held for key, held in reading.reserved.items() if key.scope == scope}
    wanted = {key for name in reading.topologies if (key := key_of(scope, name)) in reading.wanted}
    if not recorded and not wanted:
        return
    listed = ports.ports_of(ports.parse(reading.live.sysctls.get((scope, RESERVED), "")))
    ours = {key: ports.ports_of(held) & listed for key, held in recorded.items()}
    foreign = ports.ranges_of(listed - set().union(*ours.values()))
    ephemeral = _range(reading.live.sysctls.get((scope, EPHEMERAL), ""))
    for key in sorted(wanted.union(key for key, held in ours.items() if held)):
        others = set().union(*(held for other, held in ours.items() if other != key))
        own = ours.get(key, set())
        live = ReservedPorts(scope, key.name, ports.ranges_of(own), ephemeral, foreign, ports.ranges_of(others))
        yield key, Held(live, key.name)


def newborn(scope: str, topology: str) -> tuple[Key, Held]:
    """What a namespace that is just made has: nothing reserved."""
    return key_of(scope, topology), Held(ReservedPorts(scope, topology, ()), topology)


def create(reserved: ReservedPorts, _owner: str) -> Iterator[Request]:
    yield ReservePorts(reserved.scope, reserved.ports, ())


def update(before: ReservedPorts, after: ReservedPorts, _owner: str) -> Iterator[Request]:
    have, want, shared = map(ports.ports_of, (before.ports, after.ports, before.shared))
    yield ReservePorts(after.scope, ports.ranges_of(want - have), ports.ranges_of(have - want - shared))


def delete(reserved: ReservedPorts) -> Iterator[Request]:
    gone = ports.ports_of(reserved.ports) - ports.ports_of(reserved.shared)
    if gone:
        yield ReservePorts(reserved.scope, (), ports.ranges_of(gone))


def needs(reserved: ReservedPorts, _names: Names) -> tuple[Key, ...]:
    return home(reserved.scope)


def shown(reserved: ReservedPorts) -> dict[str, Any]:
    return {"ports": ports.written(reserved.ports)}


KIND = Kind(
    name="reserved_ports",
    form=ReservedPorts,
    imply=imply,
    settle=settle,
    read=read,
    needs=needs,
    create=create,
    update=update,
    delete=delete,
    shown=shown,
    harmless=True,
)
