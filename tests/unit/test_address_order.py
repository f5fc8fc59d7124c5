"""Which addresses of a link are made again, so that all stand in the order of the file."""

from __future__ import annotations

import pytest

from reconciler.kinds.address.order import chains, misplaced

A1, A2, A3 = "10.0.0.1/24", "10.0.0.2/24", "10.0.0.3/24"
B1, B2 = "10.1.0.1/24", "10.1.0.2/24"
FOREIGN = "10.0.0.99/24"
SIX = ["2001:db8::1/64", "2001:db8::2/64", "2001:db8::3/64"]

CASES = {
    "as in the file": ([A1, A2, A3], [A1, A2, A3], set()),
    "secondary ones behind the primary ones": ([A1, B1, A2, B2], [A1, A2, B1, B2], set()),
    "turned round": ([A2, A1], [A1, A2], {A2}),
    "the first is missing": ([A2, A3], [A1, A2, A3], {A2, A3}),
    "one in between is missing": ([A1, A3], [A1, A2, A3], {A3}),
    "one at the end is missing": ([A1, A2], [A1, A2, A3], set()),
    "the last is first": ([A3, A1, A2], [A1, A2, A3], {A3}),
    "two subnets turned round": ([B1, A1], [A1, B1], {B1}),
    "one of others came first": ([FOREIGN, B1, A1], [A1, B1], set()),
    "one of others came later": ([A1, B1, FOREIGN], [A1, B1], set()),
    "one of others came later, beside secondary ones": ([A1, B1, A2, FOREIGN], [A1, A2, B1], set()),
    "turned round beside one of others": ([FOREIGN, A2, A1], [A1, A2], {A2}),
    "IPv6, the newest first": ([SIX[2], SIX[1], SIX[0]], SIX, set()),
    "IPv6, as in the file": (SIX, SIX, {SIX[1], SIX[2]}),
    "IPv6, one more at the end": ([SIX[1], SIX[0]], SIX, set()),
}


@pytest.mark.parametrize(("there", "chain", "again"), CASES.values(), ids=list(CASES))
def test_those_that_stand_before_others(there: list[str], chain: list[str], again: set[str]) -> None:
    assert misplaced(there, {}, chain) == again


def test_a_wider_scope_stands_in_front() -> None:
    reach = {"127.0.0.2/8": 254, A1: 0}
    assert misplaced(["127.0.0.2/8", A1], reach, [A1, "127.0.0.2/8"]) == set()


def test_chains_of_two_topologies_stand_beside_each_other() -> None:
    behind = {A1: "", A2: A1, B1: "", B2: B1}
    assert chains([A1, B1, A2, B2], behind.get) == [[A1, A2], [B1, B2]]


def test_a_chain_has_what_is_missing() -> None:
    behind = {A1: "", A2: A1, A3: A2}
    assert chains([A3], behind.get) == [[A1, A2, A3]]
    assert chains([A3], {A3: A2}.get) == [[A3]]
