"""What was read from the kernel, as objects with owners."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import field
from types import MappingProxyType

from reconciler.kinds import BY_NAME, KINDS, dns_file, namespace, reserved_ports
from reconciler.kinds.address import Address, key_of
from reconciler.kinds.kind import Reading
from reconciler.kinds.links import interface
from reconciler.model.changes import KERNEL, Desired, Live
from reconciler.model.data import dataclass
from reconciler.model.keys import HOST, Key
from reconciler.model.port_ranges import PortRanges
from reconciler.model.rows import LiveState, ScopeState


@dataclass(frozen=True, slots=True)
class Memory:
    """What the kernel cannot remember for us (see records.py).

    ``shared``: key -> topology of what lies on links that nobody stamped;
    ``sysctls``: key -> (topology, value before our first write, value that we wrote);
    ``reserved``: key -> the ports that we put into the list of reserved ones.
    """

    shared: Mapping[Key, str] = field(default_factory=dict)
    sysctls: Mapping[Key, tuple[str, str, str]] = field(default_factory=dict)
    reserved: Mapping[Key, PortRanges] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class View:
    """Through whose eyes live is seen: the topologies of this run and what they want.

    ``relaxed`` names the namespaces that are not exclusive; ``adopting``: a wanted namespace without
    a stamp is seen as if it were ours already, so that the plan shows all that this will mean.
    """

    topologies: frozenset[str]
    wanted: Mapping[Key, Desired]
    relaxed: frozenset[str] = frozenset()
    memory: Memory = field(default_factory=Memory)
    adopting: bool = False

    def owner_of(self, state: ScopeState) -> str:
        """The topology that a namespace belongs to, "" for the host's and for nobody's."""
        if state.scope == HOST or state.owner or not self.adopting:
            return "" if state.scope == HOST else state.owner
        wanted = self.wanted.get(namespace.key_of(state.scope))
        return wanted.owner if wanted else ""


def settings(keys: Iterable[Key]) -> dict[str, set[str]]:
    """By scope, the sysctls that must be read to know the objects of these keys."""
    found: dict[str, set[str]] = {}
    for key in keys:
        if key.kind == "sysctl":
            found.setdefault(key.scope, set()).add(key.name)
        elif key.kind == "reserved_ports":
            found.setdefault(key.scope, set()).update((reserved_ports.RESERVED, reserved_ports.EPHEMERAL))
    return found


_BORN = ("namespace", "reserved_ports")  # what is there, or brings along what is, before it is made


def _every(_scope: str) -> Container[str]:
    return BY_NAME


def objects(live: LiveState, view: View, only: Callable[[str], Container[str]] = _every) -> dict[Key, Live]:
    """All live objects of the scopes read, by key, each with its owner; ``only`` tells which kinds of a scope."""
    found: dict[Key, Live] = {}
    adopted = _adopted(view)
    for state in live.scopes.values():
        names = only(state.scope)
        if names:
            reading = _reading(live, state, view, adopted)
            for kind in KINDS:
                if kind.name in names:
                    found.update(kind.read(reading))
    found.update(_left_behind(live, view, only))
    for key, wanted in view.wanted.items():
        if key.kind not in _BORN or key in found or key.kind not in only(key.home):
            continue
        if key.kind == "namespace":
            found.update(_newborn(key.name, wanted.owner))
        else:
            found.update([reserved_ports.newborn(key.scope, wanted.owner)])
    return found


def _adopted(view: View) -> dict[tuple[str, str], str]:
    """The links that a run may take over, as (scope, name), each with the topology that wants it."""
    if not view.adopting:
        return {}
    made = ((key, wanted) for key, wanted in view.wanted.items() if not BY_NAME[key.kind].existing)
    return {where: wanted.owner for key, wanted in made for where in BY_NAME[key.kind].links(wanted.object)}


def _reading(
    live: LiveState, state: ScopeState, view: View, adopted: Mapping[tuple[str, str], str] = MappingProxyType({})
) -> Reading:
    return Reading(
        state=state,
        live=live,
        owner=view.owner_of(state),
        exclusive=state.scope != HOST and state.scope not in view.relaxed,
        wanted=view.wanted,
        shared=view.memory.shared,
        sysctls=view.memory.sysctls,
        reserved=view.memory.reserved,
        topologies=view.topologies,
        relaxed=view.relaxed,
        adopted=adopted,
    )


def _left_behind(live: LiveState, view: View, only: Callable[[str], Container[str]]) -> Iterator[tuple[Key, Live]]:
    """Files of namespaces that are gone."""
    gone = {scope for scope, _ in live.files} - set(live.scopes)
    for scope in sorted(scope for scope in gone if dns_file.KIND.name in only(scope)):
        yield from dns_file.read(_reading(live, ScopeState(scope), view))


def _newborn(scope: str, owner: str) -> Iterator[tuple[Key, Live]]:
    """What a namespace brings along when it is created: nobody needs to make it."""
    key, held = interface.newborn(scope)
    yield key, Live(held.object, owner)
    for address in ("127.0.0.1/8", "::1/128"):
        yield key_of(scope, "lo", address), Live(Address(scope, "lo", address), KERNEL)
