"""Killed at any request: the next run ends as the first one would have, and puts back what is not ours."""

from __future__ import annotations

import pathlib

import pytest
from pretended.picture import differences
from pretended.seam import Pretended, prepared_situation
from situations import CASES, Situation, name_of, read

from reconciler.model.errors import Failure
from reconciler.model.requests import Request


class Killed(BaseException):
    """As if the process had been killed."""


TAKING = [
    path for path in CASES if (case := read(path)).get("plan") and ("losses" in case or path.parent.name == "address")
]
MOVING = [path for path in CASES if path.stem.startswith("moved_") and read(path).get("plan")]


@pytest.mark.parametrize("path", [*TAKING, *MOVING], ids=name_of)
def test_every_request(
    path: pathlib.Path, pretended: Pretended, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = read(path)
    situation, file = prepared_situation(case, tmp_path, capsys, pretended)
    words = ["delete" if case.get("delete") else "apply", "-q", *situation.options, file]
    saved = pretended.save()
    assert situation.run(*words)[0] == 0
    undisturbed = pretended.picture()
    for number in range(1, 1000):
        pretended.restore(saved)
        if not killed_at(number, pretended, situation, words):
            return
        code, out, err = situation.run(*words)
        assert code == 0, out + err
        assert differences(undisturbed, pretended.picture()) == [], (number, err)
    raise AssertionError("it never ends")


def killed_at(number: int, pretended: Pretended, situation: Situation, words: list[str]) -> bool:
    at = len(pretended.sent) + number

    def kill(sent: int, _request: Request) -> Failure | None:
        if sent == at:
            raise Killed
        return None

    pretended.fault = kill
    try:
        situation.run(*words)
        return False
    except Killed:
        return True
    finally:
        pretended.fault = lambda _number, _request: None
