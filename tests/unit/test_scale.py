"""Four times as many objects in one scope are four times the work: nothing looks at all of them for each of them."""

from __future__ import annotations

import pytest
from counting import calls

from reconciler.language import document
from reconciler.planning import topology

HEAD = "version: 1\nname: many\nbridges:\n  br0:\n    addresses:\n      - 10.0.0.1/8\n"


def addresses(count: int) -> str:
    """Of each number others: an address that was parsed before costs nothing."""
    return HEAD + "".join(f'      - "fd00::{count:x}:{n // 256:x}:{n % 256:x}/128"\n' for n in range(1, count))


def routes(count: int) -> str:
    rows = (f"  - {{to: 11.{n // 256}.{n % 256}.0/24, via: 10.0.0.2}}\n" for n in range(count))
    return HEAD + "routes:\n" + "".join(rows)


@pytest.mark.parametrize("text", [addresses, routes])
def test_work_grows_with_the_number(text) -> None:
    few, many = (document.load("many.yaml", text(count).encode()) for count in (500, 2_000))
    assert calls(topology.build, many) < 4.5 * calls(topology.build, few)
