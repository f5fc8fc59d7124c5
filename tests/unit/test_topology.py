"""What the schema cannot see is found, with place and words; situations are files of tests/cases/invalid/meaning."""

from __future__ import annotations

import pathlib

import pytest

from reconciler.model.errors import InputError
from reconciler.run import load

CASES = sorted((pathlib.Path(__file__).parents[1] / "cases" / "invalid" / "meaning").glob("*.yaml"))


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_invalid(file: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = file.read_text().splitlines()
    expected = [row.removeprefix("# expect: ") for row in rows if row.startswith("# expect: ")]
    assert expected
    monkeypatch.chdir(file.parent)  # a message names the file as it was given
    with pytest.raises(InputError) as raised:
        load.load_one(file.name)
    found = [str(problem).removeprefix(f"{file.name}:") for problem in raised.value.problems]
    assert [line.replace(file.name, "F") for line in found] == expected


def test_there_are_cases() -> None:
    assert len(CASES) >= 20
