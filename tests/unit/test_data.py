"""Data classes, named tuples and patterns that are compiled when they are used."""

from __future__ import annotations

import collections
import copy
import dataclasses
import pathlib
import pickle
import subprocess
import sys

import pytest

from reconciler.model import data
from reconciler.model.patterns import pattern

ROOT = pathlib.Path(__file__).parents[2]


@data.dataclass(frozen=True, slots=True)
class Base:
    name: str
    size: int = 1
    seen: dict[str, int] = data.field(default_factory=dict, compare=False)


@data.dataclass(frozen=True, slots=True)
class Derived(Base):
    size: int = 2
    last: str = ""


class Pair(data.NamedTuple):
    left: int
    right: str = "r"


def test_a_data_class_is_as_that_of_the_standard_library() -> None:
    standard = dataclasses.make_dataclass(
        "Base", [("name", str), ("size", int, 1), ("seen", dict, dataclasses.field(default_factory=dict))]
    )
    assert repr(Base("a")) == repr(standard("a"))
    assert Base("a", seen={"b": 1}) == Base(size=1, name="a") != Base("b")
    assert hash(Base("a", seen={"b": 1})) == hash(Base("a"))
    assert Base("a").seen is not Base("a").seen
    assert Derived("a") == Derived("a", 2, {}, "") != Base("a", 2)
    assert (Base.__slots__, Derived.__slots__) == (("name", "size", "seen"), ("last",))
    assert data.replace(Derived("a"), last="z") == dataclasses.replace(Derived("a"), last="z") == Derived("a", last="z")
    assert dataclasses.asdict(Derived("a")) == {"name": "a", "size": 2, "seen": {}, "last": ""}
    assert [one.name for one in dataclasses.fields(Derived)] == [one.name for one in data.fields(Derived)]
    with pytest.raises(TypeError, match=r"Base.__init__\(\) missing 1 required positional argument: 'name'"):
        Base()  # type: ignore[call-arg]


def test_a_default_of_the_standard_librarys_field_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Other.one: import field from reconciler.model.data"):
        data.dataclass()(type("Other", (), {"__annotations__": {"one": "int"}, "one": dataclasses.field(default=1)}))


def test_a_named_tuple_is_as_that_of_the_standard_library() -> None:
    standard = collections.namedtuple("Pair", ["left", "right"])
    assert repr(Pair(1)) == repr(standard(1, "r"))
    assert Pair(left=1) == (1, "r") == copy.copy(Pair(1)) == pickle.loads(pickle.dumps(Pair(1)))
    assert (Pair._fields, Pair(1)._replace(right="x"), Pair(1)._asdict()) == (
        standard._fields,
        (1, "x"),
        {"left": 1, "right": "r"},
    )
    assert not hasattr(Pair(1), "__dict__")
    with pytest.raises(TypeError, match=r"missing 1 required positional argument: 'left'"):
        Pair()  # type: ignore[call-arg]


def test_mypy_refuses_to_assign_to_a_frozen_object(tmp_path: pathlib.Path) -> None:
    """It is all that protects them: see model/data.py."""
    file = tmp_path / "assigning.py"
    file.write_text("from reconciler.model.changes import Live\n\nLive(1, 'lab').owner = 'other'\n")
    command = [sys.executable, "-m", "mypy", "--strict", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert 'assigning.py:3: error: Property "owner" defined in "Live" is read-only' in done.stdout


def test_a_pattern_is_as_that_of_re() -> None:
    word = pattern(r"([a-z]+)-?")
    assert word.fullmatch("ab-")[1] == word.search("ab")[1] == "ab"  # type: ignore[index]
    assert (word.sub("x", "ab-cd"), word.split("1"), word.fullmatch("7")) == ("xx", ["1"], None)
