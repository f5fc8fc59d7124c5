"""After a run, tells neighbours where things are now, and deletes what the run's own links remember wrongly."""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import neighbours
from reconciler.model.errors import Failure, KernelError
from reconciler.model.requests import Announce
from reconciler.model.rows import LiveState
from reconciler.planning.moved import Moves, forgotten


def tell(kernel: Kernel, before: LiveState, after: LiveState) -> list[str]:
    """Announce what moved between two looks and delete the entries that contradict it; what could not be told.

    Announcements go first: an entry that they correct stays, with the packets that wait for it.
    """
    moves = Moves(before, after)
    if not moves.survivors:
        return []
    try:
        return _tell(kernel, moves)
    except KernelError as error:  # the host is as declared: only neighbours know it later
        return [f"neighbours may learn only in a minute what moved: {error}"]


def _tell(kernel: Kernel, moves: Moves) -> list[str]:
    from reconciler.kernel.writer import Writer

    writer = Writer(kernel, {}, _no_nft)
    stale = moves.stale(neighbours.read_learned(kernel, moves.scopes))
    announced = moves.announcements(stale)
    neighbours.await_running(kernel, moves.carriers(announced))
    failures = writer.send([[one] for one in announced])
    if stale:
        learned = neighbours.read_learned(kernel, sorted({scope for scope, _ in stale}))
        writer.send([[one] for one in forgotten(moves.stale(learned))])
    later = moves.later(stale)
    late = neighbours.await_detection(kernel, later) if later else []
    failures += writer.send([[one] for one in late])
    return _untold([(one, failure) for one, failure in zip((*announced, *late), failures, strict=True) if failure])


def _untold(listed: Sequence[tuple[Announce, Failure]]) -> list[str]:
    """One line for all announcements that were not sent."""
    if not listed:
        return []
    (first, failure), others = listed[0], len(listed) - 1
    more = f" and {others} more were" if others else " was"
    return [f"{first.address} on {first.holder[1]} in {first.holder[0]}{more} not announced to neighbours: {failure}"]


def _no_nft(_scope: str, _requests: object) -> Failure | None:
    raise AssertionError("no request of these is for nftables")
