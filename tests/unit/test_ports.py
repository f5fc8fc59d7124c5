"""Port ranges: as few as will do, and back again."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model import port_ranges

SETS = st.sets(st.integers(1, 65535), max_size=60) | st.sets(st.integers(1, 40))


@given(SETS)
def test_ranges_hold_the_ports_and_nothing_else(wanted: set[int]) -> None:
    ranges = port_ranges.ranges_of(wanted)
    assert port_ranges.ports_of(ranges) == wanted
    assert all(after[0] > before[1] + 1 for before, after in itertools.pairwise(ranges))
    assert port_ranges.parse(",".join(port_ranges.written(ranges))) == ranges


@given(SETS, st.integers(1, 65535), st.integers(1, 65535))
def test_clipped_ranges(wanted: set[int], first: int, last: int) -> None:
    kept = port_ranges.clipped(port_ranges.ranges_of(wanted), first, last)
    assert port_ranges.ports_of(kept) == {port for port in wanted if first <= port <= last}


@pytest.mark.parametrize(
    ("text", "ranges"),
    [("", ()), ("1", ((1, 1),)), ("1,5-9\n", ((1, 1), (5, 9))), ("5-9,1,10", ((1, 1), (5, 10)))],
)
def test_the_kernels_list(text: str, ranges: port_ranges.PortRanges) -> None:
    assert port_ranges.parse(text) == ranges
