"""Port numbers as sorted ranges, and their text form ``1,5-9``."""

from __future__ import annotations

from collections.abc import Iterable

PortRanges = tuple[tuple[int, int], ...]  # (first, last), both included; sorted, with a gap between neighbours


def ranges_of(ports: Iterable[int]) -> PortRanges:
    """The fewest ranges that hold exactly these ports."""
    ranges: list[tuple[int, int]] = []
    for port in sorted(set(ports)):
        if ranges and ranges[-1][1] == port - 1:
            ranges[-1] = (ranges[-1][0], port)
        else:
            ranges.append((port, port))
    return tuple(ranges)


def ports_of(ranges: PortRanges) -> set[int]:
    """Every port in the ranges."""
    return {port for first, last in ranges for port in range(first, last + 1)}


def clipped(ranges: PortRanges, first: int, last: int) -> PortRanges:
    """The parts of the ranges between ``first`` and ``last``, both included."""
    return tuple((max(a, first), min(b, last)) for a, b in ranges if b >= first and a <= last)


def parse(text: str) -> PortRanges:
    """The ranges of ``1,5-9``, the text form of net.ipv4.ip_local_reserved_ports; ValueError for other text."""
    pairs = [part.partition("-") for part in text.split(",") if part.strip()]
    return ranges_of(port for first, _, last in pairs for port in range(int(first), int(last or first) + 1))


def written(ranges: PortRanges) -> list[str]:
    """Each range as text: ``5-9``, or ``1`` for a single port."""
    return [str(first) if first == last else f"{first}-{last}" for first, last in ranges]
