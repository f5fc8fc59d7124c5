"""Levels: what needs nothing comes first, ties go by rank, a ring is named."""

import pytest

from reconciler.planning.ordering import Cycle, levels


def test_chain_runs_one_after_the_other() -> None:
    assert levels({"c": ["b"], "b": ["a"], "a": []}, str) == [["a"], ["b"], ["c"]]


def test_equals_go_by_rank_whatever_the_order_of_input() -> None:
    assert levels({"b": [], "a": [], "c": []}, str) == levels({"c": [], "b": [], "a": []}, str) == [["a", "b", "c"]]


def test_needs_that_are_not_in_the_plan_count_as_met() -> None:
    assert levels({"a": ["elsewhere"]}, str) == [["a"]]


def test_ring_is_named() -> None:
    with pytest.raises(Cycle) as caught:
        levels({"a": ["b"], "b": ["a"]}, str)
    assert set(caught.value.ring) == {"a", "b"}
    assert " needs " in str(caught.value)
