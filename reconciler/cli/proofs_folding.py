"""Folds proofs of neighbouring ports, and equal reasons why something was not probed, into one line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from reconciler.planning.intent import Proof

if TYPE_CHECKING:
    from reconciler.planning.implied import Unprobed


def folded(proofs: Sequence[Proof]) -> Iterator[tuple[Proof, str]]:
    """(the first of each run of ports with one outcome, the target with all its ports), in their order."""
    runs: dict[tuple[object, ...], list[Proof]] = {}
    ends: dict[tuple[object, ...], tuple[object, ...]] = {}
    for number, proof in enumerate(proofs):
        alike = _alike(proof)
        place = ends.get((*alike, proof.expectation.port - 1))
        if place is None or not proof.expectation.because or not proof.expectation.port:
            place = (number,)
        runs.setdefault(place, []).append(proof)
        ends[(*alike, proof.expectation.port)] = place
    return ((run[0], _ports(run)) for run in runs.values())


def _alike(proof: Proof) -> tuple[object, ...]:
    """What proofs that share a line have in common."""
    wanted = proof.expectation
    return wanted.scope, wanted.address, wanted.protocol, wanted.reach, wanted.origin, proof.reached, proof.shows


def _ports(run: Sequence[Proof]) -> str:
    first, last = run[0].expectation, run[-1].expectation
    return first.to if first is last else first.to.replace(f":{first.port}", f":{first.port}-{last.port}")


def unprobed_lines(listed: Iterable[Unprobed]) -> Iterator[str]:
    """A line for each reason, with its first object and how many more."""
    by_reason: dict[str, list[Unprobed]] = {}
    for one in listed:
        by_reason.setdefault(one.why, []).append(one)
    for why, alike in by_reason.items():
        more = f" and {len(alike) - 1} more" if len(alike) > 1 else ""
        yield f"not probed: {alike[0].key} ({alike[0].origin}){more}: {why}"
