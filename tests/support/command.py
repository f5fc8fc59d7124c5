"""The command line as a test calls it: words or topologies in, what it says out."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest

from reconciler.cli import main


class Netrecon:
    """``netrecon("apply", topology)``: the command on a topology, or on what else it is given."""

    def __init__(self, folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder = folder
        self._capsys = capsys
        self._files = 0

    def file(self, topology: dict[str, Any]) -> str:
        self._files += 1
        path = self._folder / f"{self._files}.yaml"
        path.write_text(json.dumps({"version": 1, "name": "case", **topology}))  # JSON is YAML
        return str(path)

    def __call__(self, *arguments: str | dict[str, Any], code: int | None = 0) -> str:
        """What it says, having seen that it exits as it should; None: however it likes."""
        words = [self.file(one) if isinstance(one, dict) else one for one in arguments]
        self._capsys.readouterr()
        found = main.main(words)
        out, err = self._capsys.readouterr()
        assert code in (found, None), out + err
        return out + err

    def json(self, *arguments: str | dict[str, Any], code: int | None = 0) -> Any:
        return json.loads(self(*arguments, "--json", code=code))
