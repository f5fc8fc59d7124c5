"""Timers that a bridge with STP shows in place of its own."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pretended.seam import Pretended

from reconciler.cli import main
from reconciler.kinds.links import bridge
from reconciler.kinds.links.bridge_shown import corrected
from reconciler.model import ticks

OWN = {"root_id": 1, "bridge_id": 1, "topology_change": 0, "stp": True}
NOTED = {"ageing_time": (None, 30000), "forward_delay": (None, 1000)}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, {}),
        ({"topology_change": 1, "ageing_time": 3000}, {"ageing_time": 30000, "shortened": True}),
        ({"topology_change": 1, "ageing_time": 3000, "stp": False}, {}),
        ({"topology_change": 1, "ageing_time": 30000}, {}),
        ({"topology_change": 0, "ageing_time": 3000}, {}),
        ({"root_id": 2}, {"forward_delay": 1000, "hello_time": None, "max_age": None}),
    ],
)
def test_what_is_corrected(data: dict[str, Any], words: dict[str, Any]) -> None:
    assert corrected({**OWN, **data}, NOTED) == words


def test_timers_of_the_root_are_no_drift(
    pretended: Pretended, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "net.yaml"

    def run(command: str, **words: int) -> int:
        file.write_text(json.dumps({"version": 1, "name": "case", "bridges": {"br0": {"stp": True, **words}}}))
        return main.main([command, str(file)])

    assert run("apply", forward_delay=1000, hello_time=300) == 0
    space = pretended.host.space("host")
    row = space.link("br0")
    in_effect = {**row.data, "forward_delay": 400, "hello_time": 100, "max_age": 600}
    space.change(row.index, data=in_effect, explains={"root_id": 2, "bridge_id": 1, "topology_change": 0})
    assert run("check", forward_delay=1000, hello_time=300) == 0
    assert run("check", forward_delay=1100, hello_time=300) == 2
    assert run("check", forward_delay=1000, hello_time=300, max_age=600) == 2  # nobody knows its own
    assert "max_age" in capsys.readouterr().out


# ------------------------------------------------------------------ ticks


@pytest.mark.parametrize(
    ("hz", "given_", "shown"),
    [(250, 1501, 1500), (250, 1500, 1500), (100, 1501, 1501), (1000, 1501, 1501), (300, 200, 199)],
)
def test_what_the_kernel_makes_of_a_time(hz: int, given_: int, shown: int) -> None:
    assert ticks.rounded(given_, (1_000_000_000 + hz // 2) // hz) == shown


@given(st.integers(0, 2**32 - 1), st.sampled_from([10_000_000, 4_000_000, 3_333_333, 1_000_000]))
def test_no_time_is_off_by_more_than_a_tick_and_a_centisecond(value: int, tick: int) -> None:
    shown = ticks.rounded(value, tick)
    assert shown <= value
    assert value - shown <= 2 + value // 1_000_000


@pytest.mark.parametrize("tick", [10_000_000, 4_000_000, 3_333_333, 1_000_000])
@given(value=st.integers(200, 3000))
def test_a_time_is_equal_to_what_the_kernel_makes_of_it(tick: int, value: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ticks, "tick", lambda: tick)
        wanted = bridge.Bridge("host", "br0", forward_delay=value)
        live = bridge.Bridge("host", "br0", forward_delay=ticks.held(value))
        assert bridge.KIND.mask(wanted, live) == wanted
        other = bridge.Bridge("host", "br0", forward_delay=ticks.held(value) - 3)
        assert bridge.KIND.mask(wanted, other) != wanted
