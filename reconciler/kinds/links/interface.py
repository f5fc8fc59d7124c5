"""A link that exists already (eth0, lo): configured, never created or deleted."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from reconciler.kinds.kind import RECORD, Entry, Kind, Names, Parsed, Path, Reading, Source
from reconciler.kinds.links import effects, link, requests
from reconciler.kinds.links.link import End
from reconciler.kinds.namespace import home
from reconciler.model.changes import Live
from reconciler.model.keys import NO_ORIGIN, STAMP, Key, stamped
from reconciler.model.requests import Request


def ends(source: Source) -> Iterator[Entry]:
    for name, entry in (source.data.get("interfaces") or {}).items():
        yield Entry(source.scope, name, entry, ("interfaces", name))


def parse(source: Source) -> Iterator[Parsed]:
    for entry in ends(source):
        end = link.parse_end(source.scope, entry.name, entry.words, ours=False)
        yield Key("interface", source.scope, entry.name), end, source.at(entry.at)


def imply(names: Names) -> Iterator[Parsed]:
    """Every declared namespace has its ``lo`` up: without it a namespace cannot even reach itself."""
    for key in [key for key in names.objects if key.kind == "namespace"]:
        lo = Key("interface", key.name, "lo")
        if lo not in names.objects:
            yield lo, End(key.name, "lo", up=True), names.origins.get(key, NO_ORIGIN)


def check(end: End, names: Names) -> Iterator[tuple[Path, str]]:
    yield from link.check_port(end, names)


def read(reading: Reading) -> Iterator[tuple[Key, Live]]:
    for row in reading.state.links.values():
        key = Key("interface", reading.state.scope, row.name)
        wanted = reading.wanted.get(key)
        if wanted is not None:
            # Configuring is not owning: only another topology's stamp stands in the way of a difference.
            foreign = row.alias.startswith(STAMP) and not row.loopback and stamped(row.alias) != wanted.owner
            end = dataclasses.replace(link.read_end(reading.state, row), below=effects.below(reading, row))
            yield key, Live(end, stamped(row.alias) if foreign else wanted.owner)


def update(before: End, after: End, _owner: str) -> Iterator[Request]:
    yield from requests.set_link(after.scope, after.name, link.changed_end(before, after))


def needs(end: End, names: Names) -> tuple[Key, ...]:
    return home(end.scope) + link.master_of(end, names)


def links(end: End) -> tuple[tuple[str, str]]:
    return ((end.scope, end.name),)


def without(end: End, gone: frozenset[tuple[str, str]]) -> End:
    return link.off_lost_master(end, gone)


def born_with(scope: str, owner: str) -> Iterator[tuple[Key, Live]]:
    """The ``lo`` that a namespace will bring along when it is created."""
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
    update=update,
    links=links,
    lies_on=effects.lies_on,
    ports=link.ports,
    without=without,
    takes=effects.takes,
    disruptive_on=frozenset({"up", "master", "mac"}),
    existing=True,
    section="interfaces",
    ownership=RECORD,
    shareable=True,
    born_with=born_with,
)
