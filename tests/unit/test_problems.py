"""A problem and its place: as text, as JSON, and in the order of the files."""

from __future__ import annotations

import itertools

from reconciler.cli import as_json
from reconciler.model.errors import Problem
from reconciler.model.keys import NO_ORIGIN, Origin

IN_ORDER = [
    Problem(NO_ORIGIN, "of the live state"),
    Problem(Origin("a.yaml"), "of the file"),
    Problem(Origin("a.yaml", 2, 1, (0, "x")), "an index"),
    Problem(Origin("a.yaml", 2, 1, ("x", 0)), "a name where another has an index"),
    Problem(Origin("a.yaml", 10, 1), "a later line"),
    Problem(Origin("b.yaml", 1, 1), "another file"),
]


def test_the_order_of_problems() -> None:
    for listed in itertools.permutations(IN_ORDER):
        assert sorted(listed) == IN_ORDER


def test_as_people_read_it() -> None:
    assert [str(one) for one in IN_ORDER[:3]] == [
        "of the live state", "a.yaml: of the file", "a.yaml:2:1: [0].x: an index",
    ]  # fmt: skip


def test_as_json() -> None:
    (problem,) = as_json.errors("plan", [Problem(Origin("a.yaml", 2, 7, ("port_maps", 1, "listen")), "no")])["errors"]
    assert problem == {"file": "a.yaml", "line": 2, "column": 7, "path": "port_maps[1].listen", "message": "no"}


def test_an_object_that_no_file_names_has_no_origin() -> None:
    assert str(NO_ORIGIN) == ""
    assert str(Origin("a.yaml", 2, 7)) == "a.yaml:2"
