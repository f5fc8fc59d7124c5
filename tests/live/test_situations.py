"""The situations of tests/cases on the real kernel: what a case says is in tests/support/situations.py."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import subprocess
from typing import Any

import pytest
from abilities import skip_without
from situations import CASES, Situation, holds, name_of, read
from snapshot import snapshot

from reconciler.kernel.netlink import reader

# Left out: an fe80:: address that somebody adds by hand looks there like the one that the kernel adds by itself.
ADDRESSES = [path for path in CASES if path.parent.name == "address" and path.stem != "link_local_added_by_hand"]


@pytest.mark.live
@pytest.mark.parametrize("path", CASES, ids=name_of)
def test_situation(path: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = read(path)
    skip_without(case)
    situation = Situation(case, tmp_path, capsys, by_hand, snapshot)
    situation.attempt(situation.prepare())
    for entry in case.get("verify", ()):
        verify(entry)


@pytest.mark.live
@pytest.mark.parametrize("path", ADDRESSES, ids=name_of)
def test_situation_where_no_address_has_a_protocol(
    path: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As before Linux 5.18: the reader is told nothing of the protocols that this kernel keeps."""
    read_whole = reader.DUMPS["addresses"].decoder

    def without_protocol(body: bytes) -> Any:
        row = read_whole(body)
        return row and dataclasses.replace(row, protocol=0)

    dump = reader.DUMPS["addresses"]._replace(decoder=without_protocol)
    monkeypatch.setattr(reader, "DUMPS", {**reader.DUMPS, "addresses": dump})
    monkeypatch.setattr(reader, "_release", lambda: (5, 10))
    test_situation(path, tmp_path, capsys)


def by_hand(command: str) -> None:
    subprocess.run(command, shell=True, check=True)


def verify(entry: dict[str, Any]) -> None:
    done = subprocess.run(entry["run"], shell=True, capture_output=True, text=True, check="fails" not in entry)
    if "fails" in entry:
        assert done.returncode != 0, f"{entry['run']} was to fail: {done.stdout}"
    if "has" in entry:
        assert holds(json.loads(done.stdout or "[]"), entry["has"]), f"{entry['run']}: {done.stdout}"
    if "lacks" in entry:
        assert not holds(json.loads(done.stdout or "[]"), entry["lacks"]), f"{entry['run']}: {done.stdout}"
    if "text" in entry:
        assert entry["text"] in done.stdout, f"{entry['run']}: {done.stdout}"
    if "no_text" in entry:
        assert entry["no_text"] not in done.stdout, f"{entry['run']}: {done.stdout}"
