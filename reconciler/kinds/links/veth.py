"""A veth pair: one object with two ends, which may be in two namespaces."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from reconciler.kinds import sysctl
from reconciler.kinds.context import Entry, Names, Noting, Parsed, Reading, Source
from reconciler.kinds.fields import attributes
from reconciler.kinds.grounds import Place
from reconciler.kinds.kind import ENDS, Kind
from reconciler.kinds.links import borrowed, bridge_ports, cuts, disrupts, effects, going_back, link, requests
from reconciler.kinds.links import told as link_told
from reconciler.kinds.links.link import NEW_MAC, End
from reconciler.kinds.links.no_link_local import quiet_links
from reconciler.kinds.namespace import home, key_of
from reconciler.kinds.nat.target_links import publishers
from reconciler.model import data as dataclasses
from reconciler.model.changes import KERNEL, NOBODY, Change, Live
from reconciler.model.data import dataclass
from reconciler.model.keys import BIRTH_GROUP, HOST, STAMP, Key
from reconciler.model.names import HIGH_MAC
from reconciler.model.quoting import Path
from reconciler.model.requests import NamespaceRef, NewMac, Request
from reconciler.model.rows import LinkRow, ScopeState

if TYPE_CHECKING:
    from reconciler.kinds.ahead import Ahead

_FAR = "peer."  # the prefix of the peer's words
_BIRTHS = {"cost": 2}  # of a port with 10 Gbit/s (port_cost() in net/bridge/br_if.c)


@dataclass(frozen=True, slots=True)
class Veth:
    """``end`` is the end whose name is the veth's in the topology; ``peer`` of a live pair may be link.UNREAD."""

    end: End
    peer: End


def ends(source: Source) -> Iterator[Entry]:
    for name, entry in (source.data.get("veths") or {}).items():
        far = entry["peer"]
        yield Entry(source.scope, name, entry, ("veths", name))
        yield Entry(far.get("namespace", source.scope), far["name"], far, ("veths", name, "peer"))


def parse(source: Source) -> Iterator[Parsed]:
    entries = ends(source)
    for near, far in zip(entries, entries, strict=True):
        end, peer = (link.parse_end(entry.scope, entry.name, entry.words, ours=True) for entry in (near, far))
        key = Key("veth", source.scope, near.name)
        for entry, word in ((near, "isolated"), (far, f"{_FAR}isolated")):
            if entry.words.get("isolated"):
                source.note_line(key, word, (*entry.at, "isolated"))
        yield key, Veth(end, peer), source.at(near.at)


def imply(names: Names) -> Iterator[Parsed]:
    """The veths with ``quiet`` (see no_link_local.py) and ``high`` ends; hairpin mode where a port map needs it."""
    quiet = quiet_links(names)
    published: dict[str, dict[str, Key]] = {}
    for key in [key for key in names.objects if key.kind == "veth"]:
        veth = names.objects[key]
        ends = []
        for word, end in (("hairpin", veth.end), (f"{_FAR}hairpin", veth.peer)):
            if end.scope not in published:
                published[end.scope] = publishers(names, end.scope)
            if end.hairpin is None and end.master in published[end.scope]:
                names.lines[key, word] = names.origins[published[end.scope][end.master]]
            hairpin, is_quiet = link.hairpin(end, published[end.scope]), (end.scope, end.name) in quiet
            high = end.mac is None and any(master.kind == "interface" for master in link.master_of(end, names))
            if (hairpin, is_quiet, high) != (end.hairpin, end.quiet, end.high):
                end = dataclasses.replace(end, hairpin=hairpin, quiet=is_quiet, high=high)
            ends.append(end)
        yield key, Veth(*ends), names.origins[key]


def check(veth: Veth, names: Names) -> Iterator[tuple[Path, str]]:
    far = veth.peer.scope
    declared = far == HOST or Key("namespace", HOST, far) in names.objects
    if not declared and not names.elsewhere(far):
        text = f'no namespace "{far}"; declare it under namespaces, or give the file of the topology that has it'
        yield ("peer", "namespace"), text
    else:
        yield from link.check_port(veth.peer, names, ("peer",))
    yield from link.check_port(veth.end, names)


def refused(change: Change, ahead: Ahead) -> str:
    """Why the pair cannot be: nobody's namespace is no place for an end of it, or what its bridge says."""
    for end in (change.after.end, change.after.peer):
        there = ahead.rows.get(end.scope) if end.scope != HOST and change.action != "update" else None
        if there is not None and not there.owner and all(one.key != key_of(end.scope) for one in ahead.changes):
            return f"namespace {end.scope} belongs to no topology; declare it under namespaces"
    return bridge_ports.refused(change, ahead)


def read(reading: Reading) -> Iterator[tuple[Key, Live]]:
    state = reading.state
    for row in state.links.values():
        if row.kind != "veth":
            continue
        far = state.peers.get(row.index)
        if borrowed.only_configured(reading, row, functools.partial(_keys, reading, row, far)):
            continue
        if far is None:
            owner = link.owner_of(row, reading.owner, reading.exclusive)
            yield Key("veth", state.scope, row.name), Live(Veth(link.read_end(state, row), link.UNREAD), owner)
        elif _speaks(reading, row, far):
            yield Key("veth", state.scope, row.name), _pair(reading, row, far)


def _keys(reading: Reading, row: LinkRow, far: tuple[str, int] | None) -> Iterator[Key]:
    """The keys that the pair may have."""
    yield Key("veth", reading.state.scope, row.name)
    if far is not None:
        yield Key("veth", far[0], reading.live.scopes[far[0]].links[far[1]].name)


def _speaks(reading: Reading, row: LinkRow, far: tuple[str, int]) -> bool:
    """Whether this end gives the pair its key: the end that the topology names, else the first by scope and name."""
    scope, index = far
    other = reading.live.scopes[scope].links[index]
    here, there = (reading.state.scope, row.name), (scope, other.name)
    wanted = (Key("veth", *here) in reading.wanted, Key("veth", *there) in reading.wanted)
    if wanted[0] != wanted[1]:
        return wanted[0]
    return (here[0] != HOST, here) < (there[0] != HOST, there)


def _pair(reading: Reading, row: LinkRow, far: tuple[str, int]) -> Live:
    state = reading.live.scopes[far[0]]
    other = state.links[far[1]]
    wanted = Key("veth", reading.state.scope, row.name) in reading.wanted
    owners = [link.owner_of(row, reading.owner, reading.exclusive), _far_owner(reading, other, state, wanted)]
    owner = next((name for name in owners if name not in (NOBODY, KERNEL)), NOBODY)
    whole = row.alias == other.alias == STAMP + owner
    end, peer = _read_end(reading, row, reading.state, owner), _read_end(reading, other, state, owner)
    noted = reading.noted.get(Key("veth", reading.state.scope, row.name))
    if noted is not None and noted.topology == owner:
        mine, others = _apart(noted.record)
        end = dataclasses.replace(end, back=going_back.back(end, mine, going_back.births(reading.state, row) | _BIRTHS))
        peer = dataclasses.replace(peer, back=going_back.back(peer, others, going_back.births(state, other) | _BIRTHS))
    return Live(Veth(end, peer), owner, whole)


def _read_end(reading: Reading, row: LinkRow, state: ScopeState, owner: str) -> End:
    end = link.read_end(state, row)
    if not end.master or state is not reading.state:  # the records of another scope are not here
        return end
    lent = borrowed.lent(reading, row, owner, end.master)
    return dataclasses.replace(end, lent=lent) if lent else end


def _apart(noted: going_back.Noted) -> tuple[going_back.Noted, going_back.Noted]:
    """The record of a pair as those of its two ends."""
    mine = {word: pair for word, pair in noted.items() if not word.startswith(_FAR)}
    return mine, {word.removeprefix(_FAR): pair for word, pair in noted.items() if word not in mine}


def record(key: Key, wanted: Veth, noting: Noting) -> dict[str, tuple[Any, Any]] | None:
    live = noting.live.get(key)
    mine, far = _apart(noting.noted.get(key, {}))
    words = going_back.BORN_ALIKE | {"cost"}
    ends = live.object if live else None
    recorded = going_back.of_ours(wanted.end, ends and ends.end, mine, link.WORDS, words)
    others = going_back.of_ours(wanted.peer, ends and ends.peer, far, link.WORDS, words)
    return recorded | {_FAR + word: pair for word, pair in others.items()} or None


def settle(wanted: Veth, live: Veth) -> Veth:
    end, peer = _settled(wanted.end, live.end), _settled(wanted.peer, live.peer)
    return wanted if end is wanted.end and peer is wanted.peer else Veth(end, peer)


def _settled(wanted: End, live: End) -> End:
    """The end with what goes back; with a new MAC address where it joins a bridge that must not take its own."""
    wanted = going_back.filled(wanted, live)
    joins = wanted.high and wanted.master != live.master and live.mac is not None
    if joins and wanted.mac is None and not str(live.mac).startswith(HIGH_MAC):
        return dataclasses.replace(wanted, mac=NEW_MAC)
    return wanted


def _with_mac(end: End) -> End:
    """A new end, with a request to draw its MAC address if it must be a high one."""
    return dataclasses.replace(end, mac=_drawn(end)) if end.high and end.mac is None else end


def _drawn(end: End) -> Any:
    return NewMac(end.scope, end.name, HIGH_MAC)


def _far_owner(reading: Reading, row: LinkRow, state: ScopeState, wanted: bool) -> str:
    """The owner of the peer.  For a declared pair an adopted namespace is not yet ours: the pair itself is adopted."""
    whole = reading.whole_of(state)
    return link.owner_of(row, state.owner if wanted and whole else whole, True)


def mask(wanted: Veth, live: Veth) -> Veth:
    return Veth(link.masked(wanted.end, live.end), link.masked(wanted.peer, live.peer))


def create(veth: Veth, owner: str) -> Iterator[Request]:
    end, peer = _with_mac(veth.end), _with_mac(veth.peer)
    far: tuple[tuple[str, Any], ...] = (
        ("IFLA_IFNAME", peer.name),
        ("IFLA_GROUP", BIRTH_GROUP),
        *requests.plain_attributes(peer),
    )
    if peer.scope != end.scope:
        far += (("IFLA_NET_NS_FD", NamespaceRef(peer.scope)),)
    yield requests.born(end, "veth", (("VETH_INFO_PEER", {"attrs": far}),))
    # The kernel refuses a peer that is created up (ENOTCONN), and takes master and alias only now.
    for side in (end, peer):
        if side.quiet:
            yield requests.hush(side.scope, side.name)
        yield from requests.set_link(
            side.scope, side.name, requests.port_after_birth(side) | requests.birth_stamp(side, owner)
        )


def update(before: Veth, after: Veth, _owner: str) -> Iterator[Request]:
    for old, new in ((before.end, after.end), (before.peer, after.peer)):
        values = link.changed_end(old, new)
        if values.get("mac") == NEW_MAC:
            values["mac"] = _drawn(new)
        yield from requests.set_link(new.scope, new.name, values)


def delete(veth: Veth) -> Iterator[Request]:
    yield requests.delete_link(veth.end.scope, veth.end.name)


def adopt(veth: Veth, _wanted: Veth, owner: str) -> Iterator[Request]:
    for end in (veth.end, veth.peer):
        if end != link.UNREAD:
            yield from requests.stamp(end, owner)


def stamp(veth: Veth) -> tuple[Any, ...]:
    return veth.end.alias, veth.end.group, veth.peer.alias, veth.peer.group


def restamp(_now: Veth, veth: Veth) -> Iterator[Request]:
    for end in (veth.end, veth.peer):
        if end != link.UNREAD:
            yield from requests.restamp(end, end)


def rename(veth: Veth, topology: str, to: str) -> Iterator[Request]:
    for end in (veth.end, veth.peer):
        yield from requests.rename(end, topology, to)


def needs(veth: Veth, names: Names) -> Iterator[Key]:
    for end in (veth.end, veth.peer):
        yield from home(end.scope)
        yield from sysctl.before_links(end.scope, names)
        yield from link.master_of(end, names)


def links(veth: Veth) -> Iterator[tuple[str, str]]:
    return ((end.scope, end.name) for end in (veth.end, veth.peer) if end != link.UNREAD)


def ports(veth: Veth) -> list[tuple[Place, str]]:
    return link.ports(veth.end, veth.peer)


def without(veth: Veth, gone: frozenset[tuple[str, str]]) -> Veth:
    return Veth(link.off_lost_master(veth.end, gone), link.off_lost_master(veth.peer, gone))


def shown(veth: Veth) -> Mapping[str, Any]:
    far = {f"peer.{word}": value for word, value in attributes(veth.peer).items()}
    return {**attributes(veth.end), "peer.namespace": veth.peer.scope, "peer.name": veth.peer.name, **far}


def told(veth: Veth, written: bool) -> link_told.Facts:
    """The facts of both ends."""
    for end in (veth.end, veth.peer):
        if end != link.UNREAD:
            yield from link_told.facts((end.scope, end.name), attributes(end), written)


def partial(veth: Veth) -> bool:
    return veth.peer == link.UNREAD


def joins(veth: Veth) -> tuple[Place, Place] | None:
    """The bridges that its ends are ports of, if both ends are up."""
    end, peer = veth.end, veth.peer
    if not (end.master and peer.master) or end.up is False or peer.up is False:
        return None
    return (end.scope, end.master), (peer.scope, peer.master)


def apart(veth: Veth) -> list[tuple[Place, str]]:
    return link.apart(veth.end, veth.peer)


KIND = Kind(
    name="veth",
    features={"": "CONFIG_VETH"},
    form=Veth,
    schema="veth",
    ends=ends,
    parse=parse,
    imply=imply,
    check=check,
    read=read,
    settle=settle,
    record=record,
    recall=going_back.recall,
    either=going_back.either,
    mask=mask,
    needs=needs,
    refused=refused,
    create=create,
    update=update,
    delete=delete,
    adopt=adopt,
    stamp=stamp,
    restamp=restamp,
    rename=rename,
    links=links,
    ports=ports,
    without=without,
    takes=effects.takes,
    cuts=cuts.cuts,
    shown=shown,
    told=told,
    replace_on=frozenset({"peer.namespace", "peer.name"}),
    disrupts=disrupts.disrupts,
    section="veths",
    rtnl="veth",
    shows=ENDS,
    partial=partial,
    joins=joins,
    apart=apart,
)
