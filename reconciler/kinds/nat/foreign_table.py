"""An nftables table of others: not in the language, but a namespace that is deleted must not delete it unseen."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.kinds.context import Reading
from reconciler.kinds.kind import NAME, Kind
from reconciler.model.changes import NOBODY, Live
from reconciler.model.data import dataclass
from reconciler.model.keys import Key


@dataclass(frozen=True, slots=True)
class ForeignTable:
    """``family`` is nft's word for it: ip, ip6, inet, arp, bridge or netdev."""

    scope: str
    family: str
    name: str


def read(reading: Reading) -> Iterator[tuple[Key, Live]]:
    scope = reading.state.scope
    owner = reading.owner if reading.exclusive else NOBODY
    for family, name in reading.state.foreign_tables:
        yield Key("foreign_table", scope, f"{family} {name}"), Live(ForeignTable(scope, family, name), owner)


KIND = Kind(name="foreign_table", form=ForeignTable, read=read, ownership=NAME, existing=True, aside=True)
