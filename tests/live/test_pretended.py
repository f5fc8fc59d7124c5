"""The pretended kernel does what the real one does: every situation on both, and the same rows afterwards."""

from __future__ import annotations

import dataclasses
import pathlib
import subprocess
from typing import Any

import by_hand
import pytest
from abilities import skip_without
from pretended import picture, settings
from pretended.seam import Pretended, plug_in
from situations import CASES, Situation, name_of, read

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import reader
from reconciler.kernel.nftables import nft_tables
from reconciler.kernel.proc import sysctl
from reconciler.kinds import TABLES
from reconciler.model.rows import LinkRow, ScopeState

pytestmark = pytest.mark.live
TENTATIVE = 0x40
Shots = list[dict[str, Any]]


@pytest.mark.parametrize("path", CASES, ids=name_of)
def test_same_rows(path: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = read(path)
    skip_without(case)
    theirs: Shots = []
    settings_: list[dict[str, dict[str, str]]] = []
    try:
        with pytest.MonkeyPatch.context() as patch:
            pretended = plug_in(patch, tmp_path)
            shoot = lambda: theirs.append(_pretended(pretended, settings_))  # noqa: E731
            run(case, tmp_path, capsys, pretended.sh, shoot)
    except by_hand.Unknown as unknown:
        pytest.skip(f"not pretended: {unknown}")
    real: Shots = []
    shoot = lambda: real.append(_real(settings_[len(real)]))  # noqa: E731
    run(case, tmp_path, capsys, lambda text: subprocess.run(text, shell=True, check=True), shoot)
    for before, after in zip(real, theirs, strict=True):
        different = picture.differences(before, after)
        assert not different, "\n".join(["- the kernel's, + the pretended one's:", *different])


def run(case: dict[str, Any], folder: pathlib.Path, capsys: Any, command: Any, shoot: Any) -> None:
    """Each step of the case, and a look after it."""
    situation = Situation(case, folder, capsys, command, dict)
    file = situation.prepare()
    shoot()
    situation.attempt(file)
    shoot()


def _pretended(pretended: Pretended, noted: list[dict[str, dict[str, str]]]) -> dict[str, Any]:
    """``noted``: the settings that are not what every namespace and link is born with."""
    host = pretended.host
    states = host.states(list(host.names))
    for scope, state in states.items():
        state.neighbours = host.space(scope).neighbours
    born = settings.of_namespace()
    changed = {scope: _changed(host.space(scope).settings, born) for scope in states}
    noted.append(changed)
    return picture.picture({scope: _plain(state) for scope, state in states.items()}, changed)


def _changed(held: dict[str, str], born: dict[str, str]) -> dict[str, str]:
    def usual(key: str) -> str:
        parts = key.split(".")
        return born[".".join([*parts[:3], "default", *parts[4:]])] if parts[2] == "conf" else born[key]

    return {key: value for key, value in held.items() if value != usual(key)}


def _real(wanted: dict[str, dict[str, str]]) -> dict[str, Any]:
    with Kernel() as kernel:
        states = reader.read(kernel, ["host", *kernel.namespaces()], TABLES)
        for scope, state in states.items():
            state.tables = nft_tables.read_tables(kernel, scope)
            state.neighbours = reader.read_neighbours(kernel, scope)
        found = sysctl.read_many(kernel, {scope: keys for scope, keys in wanted.items() if scope in states})
    values = {scope: {key: found.get((scope, key), "") for key in wanted.get(scope, ())} for scope in states}
    return picture.picture({scope: _plain(state) for scope, state in states.items()}, values)


def _plain(state: ScopeState) -> ScopeState:
    """Without what is chance, or comes with the carrier in its own time."""
    return dataclasses.replace(
        state,
        links={index: _plain_link(row) for index, row in state.links.items()},
        addresses=[
            dataclasses.replace(row, flags=row.flags & ~TENTATIVE, lifetimes=_rounded(row.lifetimes))
            for row in state.addresses
            if not (row.address.startswith("fe80:") and row.protocol == 3)
        ],
        routes=[row for row in state.routes if not row.to.startswith(("fe80:", "ff00:"))],
        rules=[dataclasses.replace(row, raw=b"") for row in state.rules],
    )


def _rounded(lifetimes: tuple[int, int]) -> tuple[int, ...]:
    """A lease runs out while we look."""
    return tuple(-(-seconds // 100) * 100 for seconds in lifetimes)


def _plain_link(row: LinkRow) -> LinkRow:
    row = dataclasses.replace(row, explains={})  # what a bridge computes is in no equality of rows
    known = row.mac.startswith("02:00:00:") or row.mac == "00:00:00:00:00:00"
    return row if known else dataclasses.replace(row, mac="by chance")
