"""The situations of tests/cases without a kernel: a pretended one takes the requests."""

from __future__ import annotations

import pathlib

import by_hand
import pytest
from pretended.seam import Pretended
from situations import CASES, Situation, name_of, read


@pytest.mark.parametrize("path", CASES, ids=name_of)
def test_situation(
    path: pathlib.Path, pretended: Pretended, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = read(path)
    situation = Situation(case, tmp_path, capsys, pretended.sh, pretended.picture)
    try:
        file = situation.prepare()
    except by_hand.Unknown as unknown:
        pytest.skip(f"not pretended: {unknown}")
    situation.attempt(file)
    if "plan" in case and not case.get("delete"):
        sent = len(pretended.sent)
        code, out, err = situation.run("apply", *situation.options, file)
        assert (code, pretended.sent[sent:]) == (0, []), out + err
