"""What the changes of a live host disrupt, as the plan says it on a pretended kernel (tests/cases/impact.yaml)."""

from __future__ import annotations

import json
import pathlib

import impacts
import pytest
from pretended.seam import Pretended, prepared_situation

from reconciler.kernel.observe import sock_diag


@pytest.mark.parametrize("name", impacts.CASES)
def test_impact(
    name: str,
    pretended: Pretended,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = impacts.CASES[name]
    servers = frozenset({("tcp", "0.0.0.0", 80), ("tcp", "::", 80)})  # as in the live test
    monkeypatch.setattr(sock_diag, "listening", lambda _kernel, _scope: servers)
    situation, file = prepared_situation(impacts.situation(case), tmp_path, capsys, pretended)
    code, out, err = situation.run("plan", "--json", file)
    assert code == 2, out + err
    impacts.compare(json.loads(out), case)
