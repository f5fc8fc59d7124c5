"""The situations of tests/cases without a kernel: a pretended one takes the requests."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
from pretended.seam import Pretended, prepared_situation
from situations import CASES, name_of, read

from reconciler.model.keys import PROTOCOL

# Left out: an fe80:: address that somebody adds by hand looks there like the one that the kernel adds by itself.
OWNED = ("address", "interface", "link", "namespace", "veth", "bridge")
ON_AN_OLD_KERNEL = [path for path in CASES if path.parent.name in OWNED and path.stem != "link_local_added_by_hand"]


@pytest.mark.parametrize("path", CASES, ids=name_of)
def test_situation(
    path: pathlib.Path, pretended: Pretended, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    attempt(read(path), pretended, tmp_path, capsys)


@pytest.mark.parametrize("release", [(5, 10), (6, 1)], ids=["5.10", "6.1"])
@pytest.mark.parametrize("path", ON_AN_OLD_KERNEL, ids=name_of)
def test_situation_on_an_old_kernel(
    path: pathlib.Path,
    release: tuple[int, int],
    pretended: Pretended,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Where the kernel keeps no protocol of an address, or cannot change it, a record stands in for it."""
    pretended.host.release = release
    attempt(read(path), pretended, tmp_path, capsys)


def attempt(
    case: dict[str, Any], pretended: Pretended, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    situation, file = prepared_situation(case, tmp_path, capsys, pretended)
    prepared = len(pretended.sent)
    situation.attempt(file)
    applied = len(pretended.sent)
    if "refused" in case or not case["plan"]:
        assert pretended.sent[prepared:] == []
    elif case.get("delete"):
        assert ours(pretended) == []
    else:
        code, out, err = situation.run("apply", *situation.options, file)
        assert (code, pretended.sent[applied:]) == (0, []), out + err


def ours(pretended: Pretended) -> list[object]:
    """All that bears a stamp of the topology or netrecon's protocol number."""
    states = [pretended.host.state(scope) for scope in pretended.host.names]
    stamped = [row for state in states for row in state.links.values() if row.alias == "netrecon:case"]
    numbered = [row for state in states for row in (*state.addresses, *state.routes) if row.protocol == PROTOCOL]
    return [*stamped, *numbered, *(table for state in states for table in state.tables)]
