"""One run without a kernel and without a command line: who is told what, in which order, and how it can end."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Iterator

import pytest
from pretended.seam import Pretended, plug_in

from reconciler.model.errors import Failure, LockHeld, Refused
from reconciler.planning.intent import Intent, Planned, Result, to_be_gone, to_have
from reconciler.run import load, session
from reconciler.safety import lock

TOPOLOGY = "version: 1\nname: lab\nbridges: {br0: {addresses: [10.0.0.1/24]}}\n"


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Pretended:
    return plug_in(monkeypatch, tmp_path)


@pytest.fixture
def intent(tmp_path: pathlib.Path) -> Intent:
    file = tmp_path / "lab.yaml"
    file.write_text(TOPOLOGY)
    return to_have(load.load([str(file)]))


class Audience:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, text: str) -> None:
        self.told += [text] if text else []

    def planned(self, planned: Planned) -> None:
        self.told.append(f"planned {len(planned.changes)}")

    @contextlib.contextmanager
    def progress(self, _planned: Planned) -> Iterator[Callable[[int], None]]:
        yield lambda done: self.told.append(f"done {done}")

    def ended(self, _planned: Planned, result: Result) -> None:
        self.told.append("ended well" if result.verified else "ended badly")


def test_who_is_told_what(pretended: Pretended, intent: Intent) -> None:
    audience = Audience()
    assert session.run(intent, session.Terms(), audience).verified
    assert (audience.told[0], audience.told[-2:]) == ("planned 2", ["done 2", "ended well"])


def test_a_second_run_has_nothing_to_do_and_says_so(pretended: Pretended, intent: Intent) -> None:
    session.run(intent, session.Terms(), Audience())
    sent = len(pretended.sent)
    audience = Audience()
    assert session.run(intent, session.Terms(), audience).verified
    assert (audience.told, len(pretended.sent)) == (["planned 0", "ended well"], sent)


def test_a_failure_goes_back_and_is_told_at_the_end(pretended: Pretended, intent: Intent) -> None:
    before = pretended.picture()
    pretended.fault = lambda number, _request: Failure(12) if number == 3 else None
    audience = Audience()
    result = session.run(intent, session.Terms(), audience)
    assert (result.verified, result.rolled_back, audience.told[-1]) == (False, True, "ended badly")
    assert pretended.picture() == before


def test_nobody_is_told_of_a_run_that_another_one_keeps_out(pretended: Pretended, intent: Intent) -> None:
    audience = Audience()
    with lock.held(0), pytest.raises(LockHeld):
        session.run(intent, session.Terms(), audience)
    assert (audience.told, pretended.sent) == ([], [])


def test_what_would_cut_somebody_off_is_refused_before_it_is_told(pretended: Pretended, intent: Intent) -> None:
    session.run(intent, session.Terms(), Audience())
    sent = len(pretended.sent)
    audience = Audience()
    with pytest.raises(Refused, match=r"10\.0\.0\.9"):
        session.run(to_be_gone(["lab"]), session.Terms(protect=("10.0.0.9",)), audience)
    assert (audience.told, len(pretended.sent)) == ([], sent)
    assert session.run(to_be_gone(["lab"], force=True), session.Terms(protect=("10.0.0.9",)), Audience()).verified
