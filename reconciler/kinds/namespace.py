"""A named network namespace: a file under /run/netns, with its stamp on the alias of its ``lo``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.kinds.around import Around
from reconciler.kinds.context import Names, Parsed, Reading, Source
from reconciler.kinds.course import Course
from reconciler.kinds.kind import EVERYWHERE, Kind
from reconciler.model import data as dataclasses
from reconciler.model.changes import NOBODY, Change, Live
from reconciler.model.data import dataclass, field
from reconciler.model.keys import HOST, SHARED_GROUP, STAMP, Key
from reconciler.model.requests import CreateNamespace, DeleteNamespace, LinkRef, Netlink, Request


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace without its content, which is objects of its own.

    ``shared``: others may have objects of their own in it (exclusive: false); shown by the group of its ``lo``.
    ``parked``: a deletion only moves it aside, so that a rollback can restore it with all its content.
    """

    name: str
    shared: bool = False
    alias: str = field(default="", compare=False)
    parked: bool = field(default=False, compare=False)


def key_of(scope: str) -> Key:
    """The key of the namespace that is the scope."""
    return Key("namespace", HOST, scope)


def home(scope: str) -> tuple[Key, ...]:
    """What every object in a scope needs: its namespace; nothing in the host scope."""
    return () if scope == HOST else (key_of(scope),)


def parse(source: Source) -> Iterator[Parsed]:
    if source.scope != HOST:
        shared = not source.data.get("exclusive", True)
        yield key_of(source.scope), Namespace(source.scope, shared), source.at(())


def read(reading: Reading) -> Iterator[tuple[Key, Live]]:
    scope = reading.state.scope
    if scope != HOST:
        alias = reading.state.lo.alias if reading.state.lo else ""
        yield key_of(scope), Live(Namespace(scope, reading.state.shared, alias), reading.state.owner or NOBODY)


def mask(wanted: Namespace, live: Namespace) -> Namespace:
    """The live namespace; without a stamp its ``shared`` means nothing and is not compared."""
    known = live.shared == wanted.shared or live.alias.startswith(STAMP)
    return live if known else dataclasses.replace(live, shared=wanted.shared)


def create(namespace: Namespace, owner: str) -> Iterator[Request]:
    group = SHARED_GROUP if namespace.shared else 0
    yield CreateNamespace(namespace.name, STAMP + owner if owner else "", namespace.parked, group)


def update(_before: Namespace, after: Namespace, _owner: str) -> Iterator[Request]:
    yield _mark(after, {"IFLA_GROUP": SHARED_GROUP if after.shared else 0})


def delete(namespace: Namespace) -> Iterator[Request]:
    yield DeleteNamespace(namespace.name)


def adopt(_live: Namespace, wanted: Namespace, owner: str) -> Iterator[Request]:
    group = {"IFLA_GROUP": SHARED_GROUP} if wanted.shared else {}
    yield _mark(wanted, {"IFLA_IFALIAS": STAMP + owner, **group})


def _mark(namespace: Namespace, values: Mapping[str, Any]) -> Request:
    lo = {"index": LinkRef(namespace.name, "lo")}
    return Netlink(namespace.name, "setlink", lo, tuple(values.items()))


def stamp(namespace: Namespace) -> tuple[str, bool]:
    return namespace.alias, namespace.shared


def restamp(_now: Namespace, namespace: Namespace) -> Iterator[Request]:
    group = SHARED_GROUP if namespace.shared else 0
    yield _mark(namespace, {"IFLA_IFALIAS": namespace.alias, "IFLA_GROUP": group})


def rename(namespace: Namespace, topology: str, to: str) -> Iterator[Request]:
    if namespace.alias == STAMP + topology:
        yield _mark(namespace, {"IFLA_IFALIAS": STAMP + to})


def shown(namespace: Namespace) -> dict[str, Any]:
    return {"exclusive": False} if namespace.shared else {}


def told(namespace: Namespace, _written: bool) -> Iterator[tuple[str, str]]:
    if namespace.shared:
        yield "", "exclusive: false"


def is_made(change: Change) -> bool:
    """A creation has no effect outside; with a deletion the kernel deletes links that were never read."""
    return change.action == "create"


def cuts(change: Change, course: Course) -> str:
    gone = change.action in ("delete", "replace") and course.through(change.key.name) is not None
    return f"which passes namespace {change.key.name}" if gone else ""


def disrupts(change: Change, _around: Around) -> str:
    return f"everything in {change.key.name} ends" if change.action in ("delete", "replace") else ""


def needs(_namespace: Namespace, _names: Names) -> tuple[()]:
    return ()


KIND = Kind(
    name="namespace",
    features={"": "CONFIG_NET_NS"},
    form=Namespace,
    schema="namespace",
    parse=parse,
    read=read,
    needs=needs,
    mask=mask,
    create=create,
    update=update,
    delete=delete,
    adopt=adopt,
    stamp=stamp,
    restamp=restamp,
    rename=rename,
    shown=shown,
    told=told,
    section="namespaces",
    shows=EVERYWHERE,
    local=is_made,
    cuts=cuts,
    disrupts=disrupts,
)
