"""The demo, which checks each of its own steps."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

pytestmark = pytest.mark.live
DEMO = pathlib.Path(__file__).parent.parent.parent / "demo" / "demo.sh"


def test_the_demo_goes_as_expected() -> None:
    if not os.access(pathlib.Path(sys.executable).with_name("netrecon"), os.X_OK):
        pytest.skip("netrecon is not installed beside this Python")
    done = subprocess.run([DEMO], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "demo: all as expected" in done.stdout
