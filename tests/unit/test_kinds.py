"""No kind of object lacks its schema, its situations or a name of its own."""

from __future__ import annotations

import pathlib

import pytest

from reconciler.kinds import BY_NAME, KINDS, NFT, RANK

ROOT = pathlib.Path(__file__).parents[2]
# Not in the language, so without a schema: the table and the reserved ports follow from what needs them, links and
# rules are only found and removed in a namespace of ours, neighbours only put back where a change takes them along.
NOT_WRITTEN = {"nft_table", "reserved_ports", "link", "rule", "neighbour"}


def situations(kind: str) -> set[str]:
    return {path.stem for path in (ROOT / "tests" / "cases" / "situations" / kind).glob("*.yaml")}


def test_names_are_unique() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS) == len(BY_NAME) == len(RANK)
    assert set(BY_NAME) >= NFT


def test_the_kinds_without_a_schema_are_those_that_nobody_writes() -> None:
    assert {kind.name for kind in KINDS if not kind.schema} == NOT_WRITTEN


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.schema], ids=lambda kind: kind.name)
def test_a_kind_in_the_language_has_its_schema(kind) -> None:
    assert (ROOT / "schemas" / f"{kind.schema}.json").is_file()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_has_a_situation_in_which_there_is_nothing_to_do(kind) -> None:
    assert "already_present" in situations(kind.name)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.name not in NOT_WRITTEN], ids=lambda kind: kind.name)
def test_a_kind_in_the_language_is_made_changed_and_deleted(kind) -> None:
    found = situations(kind.name)
    made = "configured" if kind.existing else "created"
    assert {made, "deleted"} <= found
    assert kind.name == "namespace" or any(name.endswith("_changed") for name in found)


def test_every_folder_of_situations_is_of_a_kind() -> None:
    folders = {path.name for path in (ROOT / "tests" / "cases" / "situations").iterdir()}
    assert folders == set(BY_NAME)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_what_can_be_made_can_be_unmade(kind) -> None:
    makes, deletes = (getattr(kind, word).__name__ != "_nothing" for word in ("create", "delete"))
    assert deletes or kind.existing
    assert makes or kind.existing or kind.name in NOT_WRITTEN
