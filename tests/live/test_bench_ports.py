"""The benchmark of published ports runs, and measures what it says."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest

pytestmark = pytest.mark.live
BENCH = pathlib.Path(__file__).parent.parent.parent / "bench" / "ports.py"


def test_the_benchmark_of_published_ports(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "results.json"
    command = [sys.executable, str(BENCH), "--runs", "1", "--flows", "30", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    results = json.loads(file.read_text())
    assert [row["ports"] for row in results["packets"]] == [10, 1_000, 10_000, 50_000]
    assert all(row["us"] > 0 for row in results["packets"])
    assert results["add"]["ms"] > 0
    assert results["read"]["ratio"] > 0
    assert "add 1000 ports to 10,000" in done.stdout
