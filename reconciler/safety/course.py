"""Follows a session's packets from its server towards the peer, as the kernel would send them now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import path
from reconciler.kernel.observe import sock_diag, tracked
from reconciler.kernel.proc import ssh_session, sysctl
from reconciler.kinds import BY_NAME, having
from reconciler.kinds.course import Course, Passage
from reconciler.model import data as dataclasses
from reconciler.model.changes import KERNEL, Live
from reconciler.model.data import NamedTuple, dataclass
from reconciler.model.errors import KernelError
from reconciler.model.keys import HOST, Key
from reconciler.model.rows import ScopeState, Way
from reconciler.planning import route_lookup
from reconciler.planning.intent import Planned
from reconciler.planning.route_lookup import Found, Packet

_HOLDS = having(lambda kind: kind.holds)
_MOST = 8  # scopes on the way: a loop must end
TCP = 6  # IPPROTO_TCP


@dataclass(frozen=True, slots=True)
class Protected:
    """A remote address that must stay reachable.

    ``local``, ``port`` and ``peer_port`` are those of its session ("", 0: none).  ``dev`` is the link of a link-local
    peer, ``mark`` the firewall mark of the session's socket.
    """

    peer: str
    local: str = ""
    port: int = 0
    dev: str = ""
    peer_port: int = 0
    mark: int = 0

    @property
    def ends(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """Address and port of the server and of the client."""
        return (self.local, self.port), (self.peer, self.peer_port)

    def packet(self, passage: Passage) -> Packet:
        """A packet to the peer in one scope of the way."""
        mark = 0 if passage.into else self.mark
        return Packet(self.peer, self.local, passage.into, mark, self.port, self.peer_port)

    def back(self, passage: Passage) -> Packet:
        """A packet of the peer to the server in one scope of the way."""
        return Packet(self.local, self.peer, passage.out, 0, self.peer_port, self.port)


class _Place(NamedTuple):
    scope: str
    link: str


def follow(kernel: Kernel, planned: Planned, user: Protected) -> tuple[Protected, Course]:
    """The course of the packets, and the protected address with the mark of its socket."""
    scope, holder = _home(planned, user.local)
    user = _marked(kernel, planned, user, scope)
    passages: list[Passage] = []
    into = ""
    before: Passage | None = None
    while scope and len(passages) < _MOST and scope not in [one.scope for one in passages]:
        before, beyond = _pass(kernel, planned, user, _Place(scope, into), before)
        passages.append(before)
        scope, into = beyond
        if scope and _held(planned, scope, user.peer):
            links = {into, _bridge_of(planned, scope, into) or into}
            passages.append(Passage(scope, into=into, links=frozenset(_below(planned, scope, links)), ends=True))
            break
    course = _course(planned, user, tuple(passages), holder, _opened(kernel, user, passages))
    crooked = course.family == "ipv4" and course.arrival != course.home.out
    return user, dataclasses.replace(
        course, loose=_loose(kernel, course.home.scope, course.arrival)
    ) if crooked else course


def _loose(kernel: Kernel, scope: str, link: str) -> frozenset[str]:
    names = {f"net.ipv4.conf.{place.replace('.', '/')}.rp_filter": place for place in ("all", link)}
    found = sysctl.read_many(kernel, {scope: names.keys()})
    return frozenset(names[name] for (_, name), value in found.items() if value == "2")


def _marked(kernel: Kernel, planned: Planned, user: Protected, scope: str) -> Protected:
    """With the mark of the session's socket, where a rule asks for marks."""
    state: ScopeState | None = planned.found.scopes.get(scope)
    if state is None or not user.peer_port or not any("fwmark" in rule.text for rule in state.rules):
        return user
    return dataclasses.replace(user, mark=sock_diag.mark_of(kernel, scope, *user.ends))


def _opened(kernel: Kernel, user: Protected, passages: Sequence[Passage]) -> tuple[str, int] | None:
    """What the client opened: the outermost scope that forwards and knows the session has it as it was."""
    if not user.peer_port:
        return None
    known = [tracked.opened(kernel, one.scope, *user.ends) for one in passages if not (one.bridged or one.ends)]
    return next((one for one in reversed(known) if one not in (None, ("", 0))), known[-1] if known else None)


def _course(
    planned: Planned, user: Protected, passages: tuple[Passage, ...], holder: str, opened: tuple[str, int] | None
) -> Course:
    home, out = passages[0].scope, passages[0].out
    rows = planned.found.scopes[home].links.values() if home in planned.found.scopes else ()
    silent = any(row.name == holder and (row.loopback or row.kind == "dummy") for row in rows)
    arrival = out if silent or not holder else holder
    maps = (entry.object for key, entry in planned.live.items() if BY_NAME[key.kind].publishes)
    led = any((one.protocol, one.target, one.target_port) == ("tcp", user.local, user.port) for one in maps)
    learned = _learned(planned, user, passages[0])
    return Course(user.peer, user.local, user.port, passages, holder, arrival, led, opened, learned)


def _learned(planned: Planned, user: Protected, home: Passage) -> bool:
    """Whether router advertisements gave the route to the peer, or the local address that expires."""
    found = _present(planned, user.packet(home), home.scope)
    leased = (entry for key, entry in planned.live.items() if _has(key, entry, home.scope, user.local))
    return route_lookup.is_learned(found) or any(entry.owner == KERNEL and entry.object.lease for entry in leased)


def _has(key: Key, entry: Live, scope: str, address: str) -> bool:
    return key.scope == scope and key.kind in _HOLDS and _HOLDS[key.kind](entry.object)[1] == address


def _home(planned: Planned, local: str) -> _Place:
    """The scope and the link that have the server's address; the host where that is not known."""
    places = [
        _Place(key.scope, _HOLDS[key.kind](entry.object)[0])
        for key, entry in planned.live.items()
        if local and key.kind in _HOLDS and _HOLDS[key.kind](entry.object)[1] == local
    ]
    return min(places, key=lambda place: place.scope != HOST, default=_Place(HOST, ""))


def _held(planned: Planned, scope: str, address: str) -> bool:
    return any(_has(key, entry, scope, address) for key, entry in planned.live.items())


# ------------------------------------------------------------------------------------------------ one scope


def _pass(
    kernel: Kernel, planned: Planned, user: Protected, place: _Place, before: Passage | None
) -> tuple[Passage, _Place]:
    """How the packets pass one scope, and where they get to from there: the next scope and its link, or "" and "".

    They come in by the link of ``place`` from the scope ``before``; into the server's own they do not come.
    """
    scope, into = place
    state = planned.found.scopes.get(scope, ScopeState(scope))
    bridge = _bridge_of(planned, scope, into)
    if before is not None and bridge and not _held(planned, scope, before.neighbour):
        asked, near = Passage(scope, bridge, before.neighbour, bridge, bridged=True), (before.scope, before.out)
    else:
        asked, near = _sent(kernel, planned, user, Passage(scope, into=bridge or into), state), None
    port = ssh_session.port_towards(kernel, scope, asked.out, asked.neighbour, near) if asked.out else ""
    links = _below(planned, scope, {link for link in (asked.out, port, asked.into, into) if link})
    return dataclasses.replace(asked, links=frozenset(links)), _beyond(planned, state, port or asked.out)


def _sent(kernel: Kernel, planned: Planned, user: Protected, passage: Passage, state: ScopeState) -> Passage:
    """With the link and the neighbour to which the scope sends a packet to the peer: the kernel says it."""
    if user.dev and not passage.into:
        return dataclasses.replace(passage, out=user.dev, neighbour=user.peer)
    packet = user.packet(passage)
    names = {index: row.name for index, row in state.links.items()}
    indexes = {name: index for index, name in names.items()}
    ports = (TCP, packet.source_port, packet.port)
    asked = path.Packet(packet.to, packet.source, indexes.get(packet.into, 0), 0, packet.mark, *ports)
    try:
        answer = path.way(kernel, passage.scope, asked)
    except KernelError:
        answer = Way()
    if answer.oif in names:
        return dataclasses.replace(passage, out=names[answer.oif], neighbour=answer.gateway or user.peer)
    found = _present(planned, packet, passage.scope)
    link, neighbour = min(found.hops, default=("", "")) if found is not None else ("", "")
    return dataclasses.replace(passage, out=link, neighbour=neighbour)


def _present(planned: Planned, packet: Packet, scope: str) -> Found | None:
    """The present route of a packet, looked up among the live objects."""
    state = planned.found.scopes.get(scope)
    return route_lookup.look_up(route_lookup.now(planned), scope, state.rules if state else (), packet)


def _below(planned: Planned, scope: str, links: set[str]) -> set[str]:
    """The links, and those of the scope that they lie on, at any depth."""
    places = {place: key for key, entry in planned.live.items() for place in BY_NAME[key.kind].links(entry.object)}
    found, waiting = set(links), list(links)
    while waiting:
        key = places.get((scope, waiting.pop()))
        below = BY_NAME[key.kind].lies_on(planned.live[key].object) if key is not None else ()
        new = {name for where, name in below if where == scope} - found
        found |= new
        waiting += new
    return found


def _bridge_of(planned: Planned, scope: str, link: str) -> str:
    """The bridge that a link is a port of, "" for none."""
    return next((bridge for place, bridge in _ports(planned) if place == (scope, link)), "")


def _ports(planned: Planned) -> Iterator[tuple[tuple[str, str], str]]:
    for key, entry in planned.live.items():
        ports = BY_NAME[key.kind].ports
        if ports is not None:
            yield from ports(entry.object)


def _beyond(planned: Planned, state: ScopeState, link: str) -> _Place:
    """The other end of a veth, where it is in a scope that was read."""
    index = next((row.index for row in state.links.values() if row.name == link), 0)
    scope, far = state.peers.get(index, ("", 0))
    known = planned.found.scopes.get(scope)
    return _Place(scope, known.links[far].name) if known is not None and far in known.links else _Place("", "")
