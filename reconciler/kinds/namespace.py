"""A named network namespace: a file under /run/netns, stamped on its ``lo``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field

from reconciler.kinds.kind import EVERYWHERE, Kind, Names, Parsed, Reading, Source
from reconciler.model.changes import NOBODY, Change, Live
from reconciler.model.data import dataclass
from reconciler.model.keys import HOST, STAMP, Key
from reconciler.model.requests import CreateNamespace, DeleteNamespace, LinkRef, Netlink, Request


@dataclass(frozen=True, slots=True)
class Namespace:
    """Its name is all that the kernel holds of it; what lies in it are objects of their own.

    ``parked``: it was taken down but is kept aside, so that making it again brings it back with all that is in it.
    """

    name: str
    alias: str = field(default="", compare=False)
    parked: bool = field(default=False, compare=False)


def key_of(scope: str) -> Key:
    """The key of the namespace that is the scope."""
    return Key("namespace", HOST, scope)


def home(scope: str) -> tuple[Key, ...]:
    """What everything in a scope needs: its namespace; nothing in the host scope."""
    return () if scope == HOST else (key_of(scope),)


def parse(source: Source) -> Iterator[Parsed]:
    if source.scope != HOST:
        yield key_of(source.scope), Namespace(source.scope), source.at(())


def read(reading: Reading) -> Iterator[tuple[Key, Live]]:
    scope = reading.state.scope
    if scope != HOST:
        alias = next((row.alias for row in reading.state.links.values() if row.loopback), "")
        yield key_of(scope), Live(Namespace(scope, alias), reading.state.owner or NOBODY)


def create(namespace: Namespace, owner: str) -> Iterator[Request]:
    yield CreateNamespace(namespace.name, STAMP + owner if owner else "", namespace.parked)


def delete(namespace: Namespace) -> Iterator[Request]:
    yield DeleteNamespace(namespace.name)


def adopt(namespace: Namespace, owner: str) -> Iterator[Request]:
    yield _mark(namespace, STAMP + owner)


def _mark(namespace: Namespace, alias: str) -> Request:
    lo = {"index": LinkRef(namespace.name, "lo")}
    return Netlink(namespace.name, "setlink", lo, (("IFLA_IFALIAS", alias),))


def stamp(namespace: Namespace) -> str:
    return namespace.alias


def restamp(namespace: Namespace) -> Iterator[Request]:
    yield _mark(namespace, namespace.alias)


def is_made(change: Change) -> bool:
    """A namespace that is made shows nowhere else; one that goes takes along links that nobody counts."""
    return change.action == "create"


def needs(_namespace: Namespace, _names: Names) -> tuple[()]:
    return ()


KIND = Kind(
    name="namespace",
    form=Namespace,
    schema="namespace",
    parse=parse,
    read=read,
    needs=needs,
    create=create,
    delete=delete,
    adopt=adopt,
    stamp=stamp,
    restamp=restamp,
    section="namespaces",
    shows=EVERYWHERE,
    local=is_made,
)
