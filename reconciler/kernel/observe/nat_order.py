"""Which NAT chains of others are newer than netrecon's: of two chains of one priority the newest is asked first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reconciler.kernel.nftables import nft_decode as nft
from reconciler.model.names import ADMIN_CHAIN, table_owner

_INET = 1  # NFPROTO_INET
_TABLE_HANDLE, _CHAIN_HANDLE = 4, 2  # NFTA_TABLE_HANDLE, NFTA_CHAIN_HANDLE
_SINCE = {"prerouting": 3, "output": 4}  # the chains that are made between the administrator's and these, with them

Place = tuple[int, str]  # (family, table)


class NatOrder:
    """Compares tables by their handles, which the kernel counts up in each namespace.

    A table's own chains are not older than it is.  Of a table that is older than ours the chains are taken to be older
    too.  The kernel does not tell when a table of iptables-legacy was made.
    """

    def __init__(
        self, tables: Mapping[Place, nft.Attributes], chains: Mapping[Place, Iterable[nft.Attributes]]
    ) -> None:
        own = [place for place in tables if place[0] == _INET and table_owner(place[1])]
        self._made = {place: _handle(row, _TABLE_HANDLE) for place, row in tables.items()}
        self._ours = sorted(self._made[place] for place in own)
        self._repaired = any(_made_again(chains.get(place, ())) for place in own)

    def is_newer(self, place: Place) -> bool | None:
        """Whether a table is newer than all of ours; None where that is not known."""
        made = self._made[place]
        if not self._ours or made < self._ours[0]:
            return False
        return True if made > self._ours[-1] and not self._repaired else None


def _made_again(rows: Iterable[nft.Attributes]) -> bool:
    """Whether a NAT chain of ours was made after its table, as a repair does it."""
    handles = {nft.text(row[nft.CHAIN_NAME]): _handle(row, _CHAIN_HANDLE) for row in rows}
    return any(handles.get(name, 0) - handles.get(ADMIN_CHAIN, 0) != since for name, since in _SINCE.items())


def _handle(row: nft.Attributes, kind: int) -> int:
    return int.from_bytes(row.get(kind, b""), "big")
