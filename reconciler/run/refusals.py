"""The reasons for which apply refuses a plan, beside those that the comparison with the live state gives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.proc import dns_files, processes, ssh_session
from reconciler.kinds import BY_NAME, having, namespace
from reconciler.kinds.kind import NFT
from reconciler.model.errors import Problem
from reconciler.model.keys import NO_ORIGIN
from reconciler.planning import users
from reconciler.planning.intent import Planned
from reconciler.safety import records

if TYPE_CHECKING:
    from reconciler.kinds.course import Course
    from reconciler.safety.course import Protected

_EDITS = having(lambda kind: kind.edits)


def of(kernel: Kernel, planned: Planned, protect: Iterable[str] | None) -> list[Problem]:
    """The problems of the plan; ``protect``: addresses that must stay reachable, None where nobody is protected."""
    cut = [] if protect is None else _lockouts(kernel, planned, list(protect))
    own = [*_unconfirmed(), *_occupied(kernel, planned), *_name_in_use(kernel, planned), *_managed_elsewhere(planned)]
    return [*own, *_foreseen(kernel, planned), *cut]


def in_use(planned: Planned, problems: Iterable[Problem]) -> list[Problem]:
    """The problems, with one for each link or namespace to be deleted that another topology uses.

    It stands in place of those that name the objects of that topology one by one.
    """
    if planned.intent.force:
        return list(problems)
    uses = users.of(planned.changes, planned.live, planned.intent.names)
    told = {key for use in uses for keys in use.users.values() for key in keys}
    return [*(one for one in problems if one.key not in told), *(use.problem for use in uses)]


def _foreseen(kernel: Kernel, planned: Planned) -> list[Problem]:
    from reconciler.run import foreseen  # not needed by a check that finds nothing to do

    return foreseen.problems(kernel, planned)


def _occupied(kernel: Kernel, planned: Planned) -> Iterator[Problem]:
    """Namespaces to be deleted that have live processes."""
    going = {c.key.name: c.owner for c in planned.changes if c.key.kind == "namespace" and c.action == "delete"}
    if planned.intent.force or not going:
        return
    for name, pids in kernel.occupants(going).items():
        if pids:
            where = f"namespace {name} of topology {going[name]}"
            text = f"{where} has live processes: pid {_listed(pids)}; end them, or --force deletes it"
            yield Problem(NO_ORIGIN, text, namespace.key_of(name))


def _unconfirmed() -> Iterator[Problem]:
    """An earlier apply that waits for its confirmation; an overdue one is undone by the next apply."""
    from reconciler.safety.commit_confirmed import confirmation  # not needed by a check that finds nothing to do

    pending = confirmation.pending()
    if pending is not None and pending.seconds:
        yield Problem(NO_ORIGIN, str(pending))


def unheld(planned: Planned) -> Iterator[Problem]:
    """Names of topologies to be deleted, without a file, of which the host has nothing."""
    if planned.intent.named:
        held = {entry.owner for entry in planned.live.values()} | records.load().keys()
        for name in sorted(planned.intent.names - held):
            yield Problem(NO_ORIGIN, f"there is no topology {name} on this host; netrecon list shows those there are")


def _name_in_use(kernel: Kernel, planned: Planned) -> Iterator[Problem]:
    """Namespaces to be created whose name under /run/netns something else has."""
    made = [c for c in planned.changes if c.key.kind == "namespace" and c.action == "create"]
    for change, what in ((change, kernel.in_the_way(change.key.name)) for change in made):
        if what:
            text = f"/run/netns/{change.key.name} is {what} and no network namespace; remove it, or take another name"
            yield Problem(change.origin, text, change.key)


def _managed_elsewhere(planned: Planned) -> Iterator[Problem]:
    """Files of the host that another program manages, so that no block can be written."""
    wanted = [c for c in planned.changes if c.key.kind in _EDITS and c.after]
    files = [(change, file) for change in wanted if (file := _EDITS[change.key.kind](change.after))]
    for change, file in files:
        if text := dns_files.managed_elsewhere(file):
            yield Problem(change.origin, f"{change.key} cannot be written: {text}", change.key)


def _lockouts(kernel: Kernel, planned: Planned, protect: list[str]) -> list[Problem]:
    """Problems where the plan would cut off the SSH session that runs it, an address of ``protect``, or the host."""
    ssh = ssh_session.ssh_session()
    if not (ssh or protect) and all(BY_NAME[c.key.kind].transaction == NFT for c in planned.changes):
        return []  # no session to protect, and nftables objects change no route
    from reconciler.safety import course, lockout  # not needed by a check that finds nothing to do

    users = [course.Protected(address) for address in protect]
    if ssh is not None and (user := lockout.of_session(*ssh)) is not None:
        users.append(user)
    elsewhere = [user for user in users if lockout.is_elsewhere(planned, user)]
    followed = [course.follow(kernel, planned, user) for user in elsewhere]
    return lockout.dangers(planned, followed) or _rehearsed(kernel, planned, followed)


def _rehearsed(kernel: Kernel, planned: Planned, followed: list[tuple[Protected, Course]]) -> list[Problem]:
    """The same, for what only the kernel knows: the way of the packets in a copy of the host that has the plan."""
    if not followed:
        return []
    from reconciler.run import rehearsed_ways
    from reconciler.safety import lockout

    return [lockout.detour(*found) for found in rehearsed_ways.changed(kernel, planned, followed)]


def _listed(pids: list[int]) -> str:
    named = (f"{pid} ({processes.name_of(pid)})".removesuffix(" ()") for pid in pids[:10])
    return ", ".join(named) + (f" and {len(pids) - 10} more" if len(pids) > 10 else "")
