"""The ``before`` of every change is what is live, in every situation."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
from pretended.seam import Pretended, prepared_situation
from situations import CASES, Situation, name_of, read

from reconciler.cli.shown import sides
from reconciler.kinds import BY_NAME
from reconciler.model.changes import KERNEL, NOBODY, UNKNOWN, Change, Live
from reconciler.planning.intent import Planned
from reconciler.run import look

PLANNED = [path for path in CASES if read(path).get("plan")]


@pytest.mark.parametrize("path", PLANNED, ids=name_of)
def test_before_is_live(
    path: pathlib.Path,
    pretended: Pretended,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = read(path)
    situation, file = prepared_situation(case, tmp_path, capsys, pretended)
    planned = seen(situation, case, file, monkeypatch)
    assert planned.changes
    for change in planned.changes:
        assert sides(change)[0] == live_side(change, planned), change.key


def seen(situation: Situation, case: dict[str, Any], file: str, monkeypatch: pytest.MonkeyPatch) -> Planned:
    """The plan of the case, as the run made it first."""
    kept: list[Planned] = []
    looked = look.look

    def keeping(*arguments: Any) -> Any:
        found = looked(*arguments)
        kept.append(found[0])
        return found

    monkeypatch.setattr(look, "look", keeping)
    situation.run("delete" if case.get("delete") else "plan", *situation.options, file)
    return kept[0]


def live_side(change: Change, planned: Planned) -> dict[str, Any] | None:
    entry, taken = planned.live.get(change.key), planned.plan.measures.taken
    if entry is None:
        return None
    if change.action == "create":
        assert taken is not None, "it exists"
        assert change.key in taken.losses, "it exists, and no other change deletes it"
        return None
    if change.action == "adopt":
        return {"owner": owner_of(change, entry)}
    shown = dict(BY_NAME[change.key.kind].shown(entry.object))
    if change.action == "delete":
        return shown
    return {name: owner_of(change, entry) if name == "owner" else shown.get(name) for name in change.differs}


def owner_of(change: Change, entry: Live) -> str:
    """The topology that had the object, where that is another one."""
    return NOBODY if entry.owner in (NOBODY, KERNEL, UNKNOWN, change.owner) else entry.owner


def test_a_port_whose_bridge_is_renamed(
    pretended: Pretended, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = {"peer": {"name": "v1"}}
    given = {"bridges": {"svc": {}}, "veths": {"v0": {"master": "svc", **port}}}
    wanted = {"bridges": {"svc0": {}}, "veths": {"v0": {"master": "svc0", **port}}}
    case = {"given": given, "wanted": wanted}
    situation, file = prepared_situation(case, tmp_path, capsys, pretended)
    planned = seen(situation, case, file, monkeypatch)
    (change,) = (one for one in planned.changes if one.action == "update")
    assert sides(change) == ({"master": "svc"}, {"master": "svc0"})
    code, out, err = situation.run("apply", "-q", file)
    assert code == 0, out + err
    code, out, err = situation.run("check", file)
    assert code == 0, out + err
