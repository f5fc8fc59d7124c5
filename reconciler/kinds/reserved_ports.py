"""Published ports that the kernel must not use as source ports of connections; they follow from port maps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reconciler.kinds.context import Names, Noting, Parsed, Reading
from reconciler.kinds.kind import RECORD, Kind
from reconciler.kinds.namespace import home
from reconciler.model import data as dataclasses
from reconciler.model import port_ranges
from reconciler.model.changes import Live
from reconciler.model.data import dataclass, field
from reconciler.model.keys import Key
from reconciler.model.port_ranges import PortRanges
from reconciler.model.requests import Request, ReservePorts

RESERVED = "net.ipv4.ip_local_reserved_ports"  # for IPv6 too
EPHEMERAL = "net.ipv4.ip_local_port_range"
_DEFAULT = (32768, 60999)  # the kernel's range where nobody set another (net/ipv4/af_inet.c)


@dataclass(frozen=True, slots=True)
class ReservedPorts:
    """The ports of one topology in the scope's list of reserved ports.

    ``ports`` of a desired object are all published ports, until ``settle`` reduces them to those to reserve.
    ``ephemeral`` is the range (first, last) of the kernel's source ports, None for "as it is".
    ``foreign`` are the ports in the list that no topology reserved.
    """

    scope: str
    name: str
    ports: PortRanges
    ephemeral: tuple[int, int] | None = field(default=None, compare=False)
    foreign: PortRanges = field(default=(), compare=False)


def key_of(scope: str, topology: str) -> Key:
    """The key of a topology's part of the list, which all topologies of a scope share."""
    return Key("reserved_ports", scope, topology)


def imply(names: Names) -> Iterator[Parsed]:
    """One object for each scope with port maps, unless the file declares the sysctl of the whole list."""
    for (scope, kind), keys in names.by_scope.items():
        if kind != "port_map" or not keys or Key("sysctl", scope, RESERVED) in names.objects:
            continue
        published = port_ranges.ranges_of(names.objects[key].port for key in keys)
        declared = names.objects.get(Key("sysctl", scope, EPHEMERAL))
        made = ReservedPorts(scope, names.topology, published, declared and _range(declared.value))
        yield key_of(scope, names.topology), made, names.origins[keys[0]]


def _range(text: str) -> tuple[int, int] | None:
    words = text.split()
    return (int(words[0]), int(words[1])) if len(words) == 2 and all(map(str.isdecimal, words)) else None


def settle(wanted: ReservedPorts, live: ReservedPorts) -> ReservedPorts:
    """``wanted`` with the published ports that the kernel would use and that nobody else has reserved."""
    needed = _lent(wanted, live.ephemeral) - port_ranges.ports_of(live.foreign)
    return dataclasses.replace(wanted, ports=port_ranges.ranges_of(needed))


def _lent(wanted: ReservedPorts, ephemeral: tuple[int, int] | None) -> set[int]:
    """The published ports that the kernel would use as source ports; ``ephemeral`` is its present range."""
    first, last = wanted.ephemeral or ephemeral or _DEFAULT
    return port_ranges.ports_of(port_ranges.clipped(wanted.ports, first, last))


def read(reading: Reading) -> Iterator[tuple[Key, Live]]:
    """The part of the list that each topology reserved and that no other topology still needs.

    A port that two topologies reserved leaves the list only with the last one.  What another topology of the run has
    reserved and does not need any more is reserved already.
    """
    scope = reading.state.scope
    noted = {key: entry.record for key, entry in reading.noted.items() if key.kind == "reserved_ports"}
    recorded = {key: port_ranges.ports_of(ports) for key, ports in noted.items()}
    wanted = {key for name in reading.topologies if (key := key_of(scope, name)) in reading.wanted}
    if not recorded and not wanted:
        return
    listed = port_ranges.ports_of(port_ranges.parse(reading.live.sysctls.get((scope, RESERVED), "")))
    foreign = port_ranges.ranges_of(listed.difference(*recorded.values()))
    ephemeral = _range(reading.live.sysctls.get((scope, EPHEMERAL), ""))
    staying = {key: _staying(reading, key, recorded.get(key, set()), ephemeral) for key in wanted | recorded.keys()}
    for key in sorted(staying):
        others = set().union(*(numbers for other, numbers in staying.items() if other != key))
        ours = (numbers for other, numbers in recorded.items() if other.name in reading.topologies)
        taken_over = set().union(*ours) & staying[key] - others
        own = (recorded.get(key, set()) & listed) - (others - staying[key])
        own |= taken_over & listed if key in wanted else set()
        if own or key in wanted:
            yield key, Live(ReservedPorts(scope, key.name, port_ranges.ranges_of(own), ephemeral, foreign), key.name)


def _staying(reading: Reading, key: Key, recorded: set[int], ephemeral: tuple[int, int] | None) -> set[int]:
    """The ports that a topology needs reserved after this run."""
    if key.name not in reading.topologies:
        return recorded
    wanted = reading.wanted.get(key)
    return _lent(wanted.object, ephemeral) if wanted else set()


def born_with(scope: str, topology: str) -> Iterator[tuple[Key, Live]]:
    """A new namespace has no reserved ports."""
    yield key_of(scope, topology), Live(ReservedPorts(scope, topology, ()), topology)


def settings(_key: Key) -> tuple[str, str]:
    return RESERVED, EPHEMERAL


def record(key: Key, wanted: ReservedPorts, noting: Noting) -> PortRanges | None:
    """The ports that the topology has in the list after the run."""
    change, live = noting.changes.get(key), noting.live.get(key)
    after = change.after if change else live.object if live else wanted
    return after.ports or None


def either(old: PortRanges, new: PortRanges) -> PortRanges:
    """The ports of both records: a port on record that is not in the list does no harm."""
    return port_ranges.ranges_of(port_ranges.ports_of(old) | port_ranges.ports_of(new))


def recall(_name: str, plain: Any) -> PortRanges:
    return tuple((int(first), int(last)) for first, last in plain)


def create(reserved: ReservedPorts, _owner: str) -> Iterator[Request]:
    yield ReservePorts(reserved.scope, reserved.ports, ())


def update(before: ReservedPorts, after: ReservedPorts, _owner: str) -> Iterator[Request]:
    have, want = map(port_ranges.ports_of, (before.ports, after.ports))
    yield ReservePorts(after.scope, port_ranges.ranges_of(want - have), port_ranges.ranges_of(have - want))


def delete(reserved: ReservedPorts) -> Iterator[Request]:
    yield ReservePorts(reserved.scope, (), reserved.ports)


def needs(reserved: ReservedPorts, _names: Names) -> tuple[Key, ...]:
    return home(reserved.scope)


def renamed(key: Key, to: str) -> Key:
    return key_of(key.scope, to)


def shown(reserved: ReservedPorts) -> dict[str, Any]:
    return {"ports": port_ranges.written(reserved.ports)}


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
    renamed=renamed,
    shown=shown,
    harmless=True,
    ownership=RECORD,
    record=record,
    either=either,
    recall=recall,
    settings=settings,
    born_with=born_with,
)
