"""A link that exists already (eth0, lo): configured, never created or deleted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reconciler.kinds.address.form import key_of
from reconciler.kinds.address.kernel_form import KERNEL_PROTOCOLS, RT_SCOPE_LINK
from reconciler.kinds.context import Entry, Names, Noting, Parsed, Reading, Source
from reconciler.kinds.fields import attributes
from reconciler.kinds.kind import RECORD, Kind
from reconciler.kinds.links import (
    borrowed,
    bridge_follows,
    bridge_ports,
    cuts,
    disrupts,
    effects,
    going_back,
    link,
    requests,
)
from reconciler.kinds.links import told as link_told
from reconciler.kinds.links.link import End
from reconciler.kinds.namespace import home
from reconciler.kinds.route.form import KERNELS
from reconciler.model import data as dataclasses
from reconciler.model.changes import Live
from reconciler.model.keys import NO_ORIGIN, PROTOCOL, STAMP, Key
from reconciler.model.quoting import Path
from reconciler.model.requests import Request
from reconciler.model.rows import AddressRow, LinkRow, RouteRow


def ends(source: Source) -> Iterator[Entry]:
    for name, entry in (source.data.get("interfaces") or {}).items():
        yield Entry(source.scope, name, entry, ("interfaces", name))


def parse(source: Source) -> Iterator[Parsed]:
    for entry in ends(source):
        end = link.parse_end(source.scope, entry.name, entry.words, ours=False)
        if "up" not in entry.words:
            end = dataclasses.replace(end, defaults=("up",))
        yield Key("interface", source.scope, entry.name), end, source.at(entry.at)


def imply(names: Names) -> Iterator[Parsed]:
    """``lo`` up in every declared namespace: without it a namespace cannot reach its own addresses."""
    for key in [key for key in names.objects if key.kind == "namespace"]:
        lo = Key("interface", key.name, "lo")
        if lo not in names.objects:
            yield lo, End(key.name, "lo", up=True), names.origins.get(key, NO_ORIGIN)


def check(end: End, names: Names) -> Iterator[tuple[Path, str]]:
    yield from link.check_port(end, names)
    if end.name == "lo" and end.master:
        yield ("master",), "lo cannot be a port of a bridge; the kernel takes no loopback link as one"


def read(reading: Reading) -> Iterator[tuple[Key, Live]]:
    for row in reading.state.links.values():
        key = Key("interface", reading.state.scope, row.name)
        wanted, noted = reading.wanted.get(key), reading.noted.get(key)
        owner = wanted.owner if wanted is not None else noted.topology if noted is not None else None
        if owner is not None:
            end = link.read_end(reading.state, row)
            if row.kind == "bridge":
                least = bridge_follows.least_of_ports(reading.state)
                end = dataclasses.replace(end, followed=bridge_follows.followed(least, row, noted and noted.record))
            below = effects.below(reading, row)
            if noted is not None and noted.topology in {owner, *reading.topologies}:
                end = dataclasses.replace(end, back=_back(reading, row, end, noted.record))
            # To configure a link is not to own it: a change is forbidden only of what its topology manages.
            maker = borrowed.maker_of(row, owner)
            end = dataclasses.replace(end, below=below, maker=maker) if below or maker else end
            outside = wanted is not None and maker and maker not in reading.topologies
            if outside and wanted and borrowed.is_managed_elsewhere(reading, row, end, wanted, noted):
                owner = maker
            yield key, Live(end, owner)


def _back(reading: Reading, row: LinkRow, end: End, noted: going_back.Noted) -> going_back.Back:
    """The values to restore; no master where the bridge of the record no longer exists.

    A link that others use by now stays up: their routes go with a link that is set down.
    """
    if noted.get("up") == (False, True) and _used_by_others(reading, row, noted):
        noted = {word: pair for word, pair in noted.items() if word != "up"}
    there = {"", *(one.name for one in reading.state.links.values())}
    pairs = going_back.back(end, noted, going_back.births(reading.state, row))
    return tuple((word, "" if word == "master" and value not in there else value) for word, value in pairs)


def _used_by_others(reading: Reading, row: LinkRow, noted: going_back.Noted) -> bool:
    """Whether somebody else has an address or a route on a link, another link on it, or made it a port."""
    if reading.exclusive and reading.owner:
        return False
    state = reading.state
    upper = (one for one in state.links.values() if one.peer == row.index and one.peer_nsid < 0 and one.kind != "veth")
    return (
        (row.master != 0 and "master" not in noted)
        or any(not one.alias.startswith(STAMP) for one in upper)
        or any(_is_foreign(reading, row, one) for one in state.addresses if one.index == row.index)
        or any(one.protocol not in (PROTOCOL, *KERNELS) for one in state.routes if _leads_over(one, row))
    )


def _is_foreign(reading: Reading, link: LinkRow, row: AddressRow) -> bool:
    noted = reading.noted.get(key_of(reading.state.scope, link.name, row.address))
    ours = noted is not None and noted.topology in reading.topologies
    return not ours and row.scope != RT_SCOPE_LINK and row.protocol not in KERNEL_PROTOCOLS


def _leads_over(route: RouteRow, link: LinkRow) -> bool:
    return any(hop.oif == link.index for hop in route.hops)


def record(key: Key, wanted: End, noting: Noting) -> dict[str, tuple[Any, Any]] | None:
    live = noting.live.get(key)
    noted = noting.noted.get(key, {})
    return going_back.of_others(wanted, live.object if live else None, noted, link.WORDS) or None


def release(live: End) -> End:
    """The link with the values before netrecon, in the attributes that are still as netrecon set them."""
    return going_back.filled(End(live.scope, live.name), live)


def update(before: End, after: End, _owner: str) -> Iterator[Request]:
    yield from requests.set_link(after.scope, after.name, link.changed_end(before, after))


def needs(end: End, names: Names) -> tuple[Key, ...]:
    return home(end.scope) + link.master_of(end, names) + tuple(_maker(end, names))


def _maker(end: End, names: Names) -> Iterator[Key]:
    """The key of the object that makes the link, where another topology of the run does."""
    key = names.links.get((end.scope, end.name))
    if key is not None and key.kind != "interface":
        yield key


def links(end: End) -> tuple[tuple[str, str]]:
    return ((end.scope, end.name),)


def told(end: End, written: bool) -> link_told.Facts:
    return link_told.facts((end.scope, end.name), attributes(end), written)


def without(end: End, gone: frozenset[tuple[str, str]]) -> End:
    return link.off_lost_master(end, gone)


def born_with(scope: str, owner: str) -> Iterator[tuple[Key, Live]]:
    """The ``lo`` of a new namespace."""
    yield Key("interface", scope, "lo"), Live(End(scope, "lo", up=True, mtu=65536, master=""), owner)


KIND = Kind(
    name="interface",
    form=End,
    schema="interface",
    ends=ends,
    parse=parse,
    imply=imply,
    check=check,
    read=read,
    needs=needs,
    refused=bridge_ports.refused,
    settle=borrowed.settled,
    as_made=borrowed.as_made,
    disagreeing=borrowed.disagreeing,
    merged=borrowed.merged,
    release=release,
    mask=link.masked,
    record=record,
    recall=going_back.recall,
    without_others=going_back.without_others,
    either=going_back.either,
    update=update,
    links=links,
    lies_on=effects.lies_on,
    ports=link.ports,
    without=without,
    takes=effects.takes,
    cuts=cuts.cuts,
    told=told,
    disrupts=disrupts.disrupts,
    existing=True,
    section="interfaces",
    ownership=RECORD,
    shareable=True,
    born_with=born_with,
)
