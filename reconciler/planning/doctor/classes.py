"""Classes of addresses and ports: two of one class are the same to every rule."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from ipaddress import ip_address

from reconciler.model.firewall import Chain, Load, Match, Pick

_PORT, _FOUR, _SIX = 2, 4, 16  # bytes
_OF_CONNECTION = {8, 9, 11, 12, 19, 20, 21, 22}  # addresses and ports of the connection (NFT_CT_*)


class Classes:
    """The values at which rules begin and end to match, by the length of the value."""

    def __init__(self, chains: Iterable[Chain]) -> None:
        cuts: dict[int, set[bytes]] = {_PORT: set(), _FOUR: set(), _SIX: set()}
        self._odd: set[int] = set()  # a rule looks at some of the bits: each value is a class of its own
        for load, low, high in _spans(chains):
            width = _kind(load)
            if width not in cuts:
                continue
            mask = _mask(load)
            if mask is None:
                self._odd.add(width)
                continue
            behind = bytes(byte | ~keep & 0xFF for byte, keep in zip(high, mask, strict=False))
            cuts[width].add(low.ljust(width, b"\0")[:width])
            end = int.from_bytes(behind.ljust(width, b"\xff")[:width], "big") + 1
            if end < 1 << 8 * width:
                cuts[width].add(end.to_bytes(width, "big"))
        self._cuts = {width: sorted(values) for width, values in cuts.items()}

    def of(self, address: str) -> int | str:
        """The class of an address."""
        packed = ip_address(address).packed
        return address if len(packed) in self._odd else bisect_right(self._cuts[len(packed)], packed)

    def of_port(self, port: int) -> int | str:
        """The class of a port."""
        return str(port) if _PORT in self._odd else bisect_right(self._cuts[_PORT], port.to_bytes(2, "big"))

    def room(self, address: str) -> int:
        """How many addresses are of the same class: a rule for a single address has little room."""
        packed = ip_address(address).packed
        cuts = self._cuts[len(packed)]
        at = bisect_right(cuts, packed)
        low = int.from_bytes(cuts[at - 1], "big") if at else 0
        return (int.from_bytes(cuts[at], "big") if at < len(cuts) else 1 << 8 * len(packed)) - low


def _spans(chains: Iterable[Chain]) -> Iterator[tuple[Load, bytes, bytes]]:
    """(load, first, last) of every value and span that a rule compares with."""
    for chain in chains:
        for rule in chain.rules:
            for step in rule.steps:
                if isinstance(step, Match | Pick):
                    for place, load in enumerate(step.loads):
                        yield from ((load, key[place], key[place]) for key in step.members.exact)
                        yield from ((load, first[place], last[place]) for first, last, _ in step.members.spans)


def _kind(load: Load) -> int:
    """The length of the address or port that is loaded, 0 for another field."""
    if load.what[0] == "ct":
        key = load.what[1]
        return 0 if key not in _OF_CONNECTION else _PORT if key in (11, 12) else _SIX if load.width == 16 else _FOUR
    if load.what[0] != "payload":
        return 0
    _, base, offset = load.what
    if base == 2:
        return _PORT if offset in (0, 2) else 0
    if base != 1 or not isinstance(offset, int):
        return 0
    if offset in (12, 16) and load.width <= 4:
        return _FOUR
    return _SIX if (offset in (8, 24) and load.width > 1) or offset in (8, 24) else 0


def _mask(load: Load) -> bytes | None:
    """The bits that are looked at, from the first on; None where they do not follow each other."""
    mask = b"\xff" * load.width
    for change in load.changes:
        if change[0] != "mask" or not isinstance(change[1], bytes) or any(change[2] or b""):
            return None
        mask = change[1]
    bits = int.from_bytes(mask, "big")
    ones = (~bits & ((1 << 8 * len(mask)) - 1)) + 1
    return mask if ones & (ones - 1) == 0 else None
