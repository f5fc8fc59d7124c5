"""The snapshot of a run on disk: read back as it was, and worth nothing to another boot or another format."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
from big_plan import AFTER, BEFORE
from command import Netrecon
from pretended.picture import differences
from pretended.seam import Kernel, Pretended

from reconciler.model.errors import Failure, KernelError
from reconciler.model.requests import DeleteNamespace, Request
from reconciler.run import pipeline
from reconciler.safety import rollback, undo_log


class Killed(BaseException):
    """As if the process had been killed."""


def big(topology: dict[str, Any]) -> dict[str, Any]:
    return {word: value for word, value in topology.items() if word != "version"}


@pytest.fixture
def entry(pretended: Pretended, netrecon: Netrecon) -> undo_log.Unsettled:
    """What is kept of the host before a plan of some sixty changes."""
    netrecon("apply", "-q", big(BEFORE))
    from reconciler.run import load

    with Kernel(pretended) as kernel:
        planned = pipeline.plan(kernel, pipeline.to_have(load.load([netrecon.file(big(AFTER))])))  # type: ignore[arg-type]
        return rollback.prepare(kernel, planned)  # type: ignore[arg-type]


def path(pretended: Pretended) -> pathlib.Path:
    return pretended.folder / "netrecon" / undo_log.NAME


def test_read_as_it_was_written(entry: undo_log.Unsettled) -> None:
    assert undo_log.read() == entry
    assert len(entry.snapshot.entries) > 60


def test_of_another_boot(entry: undo_log.Unsettled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undo_log, "boot", lambda: "another")
    assert undo_log.read() is None


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '"text"', '{"boot": 1}'])
def test_that_makes_no_sense(damage: str, entry: undo_log.Unsettled, pretended: Pretended) -> None:
    path(pretended).write_text(damage)
    assert undo_log.read() is None


@pytest.mark.parametrize("word", ["topologies", "relaxed", "entries", "records", "boot"])
def test_that_lacks_a_part(word: str, entry: undo_log.Unsettled, pretended: Pretended) -> None:
    data = json.loads(path(pretended).read_text())
    del data[word]
    path(pretended).write_text(json.dumps(data))
    assert undo_log.read() is None


def test_that_speaks_of_a_kind_that_is_no_more(entry: undo_log.Unsettled, pretended: Pretended) -> None:
    data = json.loads(path(pretended).read_text())
    data["entries"][0][0] = "nothing"
    path(pretended).write_text(json.dumps(data))
    assert undo_log.read() is None


def test_settled_leaves_nothing(entry: undo_log.Unsettled, pretended: Pretended) -> None:
    (path(pretended).parent / "half.tmp").write_text("")
    undo_log.settle()
    assert undo_log.read() is None
    assert sorted(one.name for one in path(pretended).parent.iterdir()) == ["faults.json", "lock"]


def test_that_cannot_be_written_stops_the_run(
    pretended: Pretended, netrecon: Netrecon, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(undo_log.state_dir, "write_file", full)
    said = netrecon("apply", big(BEFORE), code=1)
    assert "without which nothing could be undone: No space left on device" in said
    assert pretended.sent == []


def test_record_that_cannot_be_written_stops_the_run(
    pretended: Pretended, netrecon: Netrecon, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise KernelError("write the record", Failure(28))

    monkeypatch.setattr(rollback.records, "save", full)
    before = pretended.picture()
    assert "No space left on device" in netrecon("apply", big(BEFORE), code=1)
    assert (pretended.picture(), pretended.sent, undo_log.read()) == (before, [], None)


# ------------------------------------------------------------------ sixty changes, and one that goes wrong


def test_every_request_of_a_large_plan_refused_once(pretended: Pretended, netrecon: Netrecon) -> None:
    netrecon("apply", "-q", big(BEFORE))
    file = netrecon.file(big(AFTER))
    before = pretended.picture()
    for number in range(1, 1000):
        at, refused = len(pretended.sent) + number, []
        pretended.fault = lambda n, request, at=at, refused=refused: (  # type: ignore[misc]
            refused.append(request) or Failure(12, "made to fail") if n == at else None
        )
        result = netrecon.json("apply", file, code=None)["result"]
        if not refused:
            assert result["verified"]
            assert number > 40
            return
        assert result["rolled_back"], (refused, result)
        assert differences(before, pretended.picture()) == [], refused


@pytest.mark.parametrize("number", range(1, 46, 3))
def test_killed_at_any_request_and_rolled_back_by_hand(number: int, pretended: Pretended, netrecon: Netrecon) -> None:
    netrecon("apply", "-q", big(BEFORE))
    before, at = pretended.picture(), len(pretended.sent) + number

    def kill(n: int, _request: Request) -> None:
        if n == at:
            raise Killed

    pretended.fault = kill  # type: ignore[assignment]
    with pytest.raises(Killed):
        netrecon("apply", "-q", big(AFTER))
    netrecon("rollback", "-q")
    assert differences(before, pretended.picture()) == []
    netrecon("apply", "-q", big(AFTER))


def test_killed_and_applied_again(pretended: Pretended, netrecon: Netrecon) -> None:
    netrecon("apply", "-q", big(BEFORE))
    at = len(pretended.sent) + 40

    def kill(n: int, _request: Request) -> None:
        if n == at:
            raise Killed

    pretended.fault = kill  # type: ignore[assignment]
    with pytest.raises(Killed):
        netrecon("apply", "-q", big(AFTER))
    netrecon("apply", "-q", big(AFTER))
    netrecon("check", big(AFTER))
    netrecon("delete", "-q", "--name", "faults")
    assert pretended.host.parked == {}


def test_what_cannot_be_undone_is_named(pretended: Pretended, netrecon: Netrecon) -> None:
    """The way back is closed too: exit code 4, the snapshot stays, and a later rollback does better."""
    netrecon("apply", "-q", big(BEFORE))
    before, first = pretended.picture(), len(pretended.sent)
    pretended.fault = lambda n, _request: Failure(1, "no more") if n > first + 30 else None
    result = netrecon.json("apply", big(AFTER), code=4)["result"]
    assert result["not_undone"]
    assert {one["error"] for one in result["not_undone"]} >= {"no more"}
    assert undo_log.read() is not None
    pretended.fault = lambda _n, _request: None
    netrecon("rollback", "-q")
    assert differences(before, pretended.picture()) == []


def test_namespace_that_went_is_kept_aside_until_the_end(pretended: Pretended, netrecon: Netrecon) -> None:
    netrecon("apply", "-q", big(BEFORE))
    parked: list[set[str]] = []

    def watch(_n: int, request: Request) -> None:
        parked.append(set(pretended.host.parked))
        assert not (isinstance(request, DeleteNamespace) and request.name == "kept")

    pretended.fault = watch  # type: ignore[assignment]
    netrecon("apply", "-q", big(AFTER))
    assert {"gone"} in parked
    assert pretended.host.parked == {}
