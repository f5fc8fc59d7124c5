"""Links of types that no other kind reads: their names are taken, and in an exclusive namespace they are deleted."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.kinds.context import Reading
from reconciler.kinds.kind import Kind
from reconciler.kinds.links import effects, link, requests
from reconciler.kinds.links.told import Facts
from reconciler.model.changes import KERNEL, Live
from reconciler.model.data import dataclass, field
from reconciler.model.keys import Key
from reconciler.model.requests import Request


@dataclass(frozen=True, slots=True)
class OtherLink:
    """``type`` is the kernel's (IFLA_INFO_KIND), "" for hardware; ``below`` is the link that it lies on."""

    scope: str
    name: str
    type: str
    below: tuple[str, str] | None = field(default=None, compare=False)


# Links of these types name a link below (IFLA_LINK), but are not deleted with it.
_OUTLIVING = frozenset("ipip gre gretap erspan ip6gre ip6gretap ip6erspan ip6tnl sit vti vti6 xfrm".split())


def read(reading: Reading) -> Iterator[tuple[Key, Live]]:
    scope = reading.state.scope
    for row in reading.state.links.values():
        if row.kind in reading.types or Key("interface", scope, row.name) in reading.wanted:
            continue
        owner = KERNEL if link.is_fixture(row) else link.owner_of(row, reading.owner, reading.exclusive)
        yield (
            Key("link", scope, row.name),
            Live(OtherLink(scope, row.name, row.kind, effects.below(reading, row)), owner),
        )


def lies_on(other: OtherLink) -> tuple[tuple[str, str], ...]:
    return () if other.type in _OUTLIVING else effects.lies_on(other)


def follows(other: OtherLink) -> tuple[str, ...]:
    """The kernel sets a VLAN down with the link below, and lowers the MTU of any link with that of the one below."""
    return ("down", "narrow") if other.type == "vlan" else ("narrow",)


def key_of(scope: str, name: str) -> Key:
    return Key("link", scope, name)


def delete(other: OtherLink) -> Iterator[Request]:
    yield requests.delete_link(other.scope, other.name)


def links(other: OtherLink) -> tuple[tuple[str, str]]:
    return ((other.scope, other.name),)


def told(other: OtherLink, _written: bool) -> Facts:
    yield (other.scope, other.name), other.type


KIND = Kind(
    name="link",
    form=OtherLink,
    read=read,
    delete=delete,
    links=links,
    lies_on=lies_on,
    follows=follows,
    told=told,
)
