"""Port numbers as sorted ranges: how the kernel lists them, and how people read them."""

from __future__ import annotations

from collections.abc import Iterable

PortRanges = tuple[tuple[int, int], ...]  # (first, last), both included; sorted, and none touches the next


def ranges_of(ports: Iterable[int]) -> PortRanges:
    """The ports as few ranges as will do."""
    found: list[tuple[int, int]] = []
    for port in sorted(set(ports)):
        if found and found[-1][1] == port - 1:
            found[-1] = (found[-1][0], port)
        else:
            found.append((port, port))
    return tuple(found)


def ports_of(ranges: PortRanges) -> set[int]:
    """Every port of the ranges."""
    return {port for first, last in ranges for port in range(first, last + 1)}


def clipped(ranges: PortRanges, first: int, last: int) -> PortRanges:
    """What of the ranges lies between first and last."""
    return tuple((max(a, first), min(b, last)) for a, b in ranges if b >= first and a <= last)


def parse(text: str) -> PortRanges:
    """``1,5-9`` as ranges: the form of ip_local_reserved_ports."""
    pairs = [part.partition("-") for part in text.split(",") if part.strip()]
    return ranges_of(port for first, _, last in pairs for port in range(int(first), int(last or first) + 1))


def written(ranges: PortRanges) -> list[str]:
    """Each range as text: ``5-9``, or ``1`` for a single port."""
    return [str(first) if first == last else f"{first}-{last}" for first, last in ranges]
