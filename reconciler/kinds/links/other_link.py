"""Links of types that no kind reads: seen when in the way, removed from a namespace of ours."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.kinds.kind import Kind, Reading
from reconciler.kinds.links import link, requests
from reconciler.model.changes import KERNEL, Live
from reconciler.model.data import dataclass
from reconciler.model.keys import Key
from reconciler.model.requests import Request


@dataclass(frozen=True, slots=True)
class OtherLink:
    """``type`` is the kernel's word for it (IFLA_INFO_KIND), "" for hardware."""

    scope: str
    name: str
    type: str


def read(reading: Reading) -> Iterator[tuple[Key, Live]]:
    scope = reading.state.scope
    for row in reading.state.links.values():
        if row.kind in reading.types or Key("interface", scope, row.name) in reading.wanted:
            continue
        owner = KERNEL if link.is_fixture(row) else link.owner_of(row, reading.owner, reading.exclusive)
        yield Key("link", scope, row.name), Live(OtherLink(scope, row.name, row.kind), owner)


def key_of(scope: str, name: str) -> Key:
    return Key("link", scope, name)


def delete(other: OtherLink) -> Iterator[Request]:
    yield requests.delete_link(other.scope, other.name)


def links(other: OtherLink) -> tuple[tuple[str, str]]:
    return ((other.scope, other.name),)


KIND = Kind(name="link", form=OtherLink, read=read, delete=delete, links=links)
