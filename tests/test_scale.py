"""Ten thousand objects in one scope are checked in a moment: nothing looks at all of them for each of them."""

from __future__ import annotations

import time

import pytest

from reconciler import document, topology

BRIDGE = "version: 1\nname: many\nbridges:\n  br0:\n    addresses:\n      - 10.0.0.1/8\n"
ADDRESSES = "".join(f'      - "fd00::{n // 256:x}:{n % 256:x}/128"\n' for n in range(1, 10_000))
ROUTES = "routes:\n" + "".join(f"  - {{to: 11.{n // 256}.{n % 256}.0/24, via: 10.0.0.2}}\n" for n in range(10_000))


@pytest.mark.parametrize("text", [BRIDGE + ADDRESSES, BRIDGE + ROUTES], ids=["addresses", "routes"])
def test_ten_thousand(text: str) -> None:
    loaded = document.load("many.yaml", text.encode())
    started = time.process_time()
    assert len(topology.build(loaded).objects) > 10_000
    assert time.process_time() - started < 4  # it takes about half a second; each beside all took 6 and 20
