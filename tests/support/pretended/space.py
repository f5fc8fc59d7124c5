"""One network namespace: its rows, and what the kernel remembers beside them."""

from __future__ import annotations

import dataclasses
import errno
from dataclasses import dataclass, field

from pretended import settings
from pretended.nft import Table
from reconciler.model.rows import AddressRow, LinkRow, NeighbourRow, RouteRow, RuleRow

Place = tuple[int, int]  # the number of a namespace, and an ifindex in it
AF_INET, AF_INET6 = 2, 10


class Refused(Exception):
    """What the kernel says no to."""

    def __init__(self, number: int, text: str = "") -> None:
        super().__init__(f"{errno.errorcode[number]} {text}")
        self.number = number
        self.text = text


@dataclass
class Space:
    """``under``: the link that one lies on, or a veth's other end.  ``own``: what a bridge does not take of its ports.

    ``written``: settings of links that somebody wrote: they do not follow conf.default any more.
    """

    number: int
    links: dict[int, LinkRow] = field(default_factory=dict)
    addresses: list[AddressRow] = field(default_factory=list)
    routes: list[RouteRow] = field(default_factory=list)
    rules: list[RuleRow] = field(default_factory=list)
    neighbours: list[NeighbourRow] = field(default_factory=list)
    tables: dict[tuple[str, str], Table] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)
    own: set[tuple[int, str]] = field(default_factory=set)
    under: dict[int, Place] = field(default_factory=dict)
    last: int = 1

    def copy(self) -> Space:
        """One that changes do not reach; the rows are frozen."""
        taken = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        copied = {name: value if isinstance(value, int) else value.copy() for name, value in taken.items()}
        return Space(**copied | {"tables": {name: table.copy() for name, table in self.tables.items()}})

    def link(self, name: str) -> LinkRow:
        for row in self.links.values():
            if row.name == name:
                return row
        raise Refused(errno.ENODEV, f"link {name} is missing")

    def has(self, name: str) -> bool:
        return any(row.name == name for row in self.links.values())

    def change(self, index: int, **values: object) -> LinkRow:
        self.links[index] = dataclasses.replace(self.links[index], **values)  # type: ignore[arg-type]
        return self.links[index]

    def ports(self, bridge: int) -> list[LinkRow]:
        return [row for row in self.links.values() if row.master == bridge]

    def has_ipv6(self, index: int) -> bool:
        """Whether the link has IPv6 at all: an MTU below 1280 takes it away."""
        return settings.of_link(6, self.links[index].name, "disable_ipv6") in self.settings

    def setting(self, key: str) -> str:
        return self.settings.get(key, "0")
