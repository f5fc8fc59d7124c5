"""What the running kernel can do: a situation that needs more is skipped, and says so."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest


def skip_without(case: dict[str, Any]) -> None:
    if "needs" in case:
        missing(f"type {case['needs']}", case["needs"])
    if "needs_bridge_option" in case:
        missing(f"type bridge {case['needs_bridge_option']}", f"bridge option {case['needs_bridge_option']}")


def missing(words: str, what: str) -> None:
    made = subprocess.run(f"ip link add probe0 {words}", shell=True, capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"this kernel has no {what}: {made.stderr.strip()}")
    subprocess.run("ip link del probe0", shell=True, check=True)
