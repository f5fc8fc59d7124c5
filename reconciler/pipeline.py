"""The whole story: text -> desired; kernel -> live; diff -> plan -> apply -> verify."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reconciler import declared, doctor, expectations, records, remembering, state, topology
from reconciler.apply import Southbound
from reconciler.apply import apply as carry_out
from reconciler.diff import diff
from reconciler.doctor import Finding
from reconciler.errors import KernelError, NetreconError, Problem, Refused
from reconciler.interrupts import NO_INTERRUPT, Interrupt
from reconciler.kinds import NFT
from reconciler.lowered import Lowered
from reconciler.model import HOST, Held, Key, LiveState
from reconciler.plan import order
from reconciler.run import Intent, Planned, Proof, Result
from reconciler.timings import stage
from reconciler.topology import Topology

if TYPE_CHECKING:
    from reconciler.journal import Entry as Before
    from reconciler.kernel.namespaces import Kernel

ROUNDS = 3  # an apply may undo by side effect what an earlier part of it did; then it looks and goes on


# ------------------------------------------------------------------------------------------------ desired


load, load_one, import_compose = declared.load, declared.load_one, declared.import_compose


def lower(arguments: Sequence[str], kernel: Kernel | None) -> list[Lowered]:
    """The files in the words of level one, as they are for this host; without a kernel, for one that holds nothing."""
    documents = declared.documents(arguments)
    lowered = declared.lower(documents)
    topologies = declared.build(lowered)
    if kernel is None:
        return lowered
    lowered = declared.lower(documents, _seen(kernel, _gather(kernel, to_have(topologies))))
    declared.build(lowered)
    return lowered


def to_have(
    topologies: Iterable[Topology], adopt: bool = False, force: bool = False, keep_going: bool = False
) -> Intent:
    listed = tuple(topologies)
    return Intent(frozenset(one.name for one in listed), listed, adopt, force, keep_going)


def to_be_gone(names: Iterable[str], force: bool = False, keep_going: bool = False) -> Intent:
    return Intent(frozenset(names), (), False, force, keep_going)


# ------------------------------------------------------------------------------------------------ live


def read(kernel: Kernel, intent: Intent) -> dict[Key, Held]:
    """The live objects as this run sees them."""
    return _objects(_gather(kernel, intent), intent)


def _gather(kernel: Kernel, intent: Intent) -> LiveState:
    from reconciler.kernel import live

    desired = intent.desired
    spaces = [key.name for key in desired if key.kind == "namespace"]
    memory = _memory(intent)
    settings = state.settings((*memory.sysctls, *memory.reserved, *desired))
    if not intent.settled and any(one.draft for one in intent.topologies):
        from reconciler.lowering import BRIDGE_NF

        settings.setdefault(HOST, set()).update(BRIDGE_NF.values())
    with stage("read"):
        return live.read(kernel, lambda owner: owner in intent.names, spaces, settings)


def _objects(found: LiveState, intent: Intent) -> dict[Key, Held]:
    with stage("objects"):
        view = state.View(intent.names, intent.desired, intent.relaxed, _memory(intent), intent.adopt)
        return state.objects(found, view)


def _memory(intent: Intent) -> state.Memory:
    return records.memory(records.load(), intent.names)


def _settled(kernel: Kernel, intent: Intent, found: LiveState) -> Intent:
    """The intent with the addresses, subnets and ports that its networks hold; once for a run, from its first look."""
    if intent.settled or all(one.draft is None for one in intent.topologies):
        return intent
    topologies = declared.settled(intent.topologies, _seen(kernel, found))
    return dataclasses.replace(intent, topologies=topologies, settled=True)


def _seen(kernel: Kernel, found: LiveState) -> declared.Seen:
    from reconciler.kernel import files, sock_diag

    return declared.Seen(found, files.upstream_resolver(), sock_diag.ports_in_use(kernel, HOST))


# ------------------------------------------------------------------------------------------------ plan


def plan(kernel: Kernel, intent: Intent, warn: bool = True) -> Planned:
    """Read, compare, order, and look around unless ``warn`` is off.  Raises Refused with all that stands in the way."""
    planned, problems = _look(kernel, intent)
    problems += _occupied(kernel, planned) + _managed_elsewhere(planned)
    if problems:
        raise Refused(problems)
    wanted = {key: one.object for key, one in planned.intent.desired.items()} if warn else {}
    return dataclasses.replace(planned, warnings=tuple(_around(kernel, wanted, applied=True)))


def _around(kernel: Kernel, objects: Mapping[Key, Any], applied: bool) -> list[Finding]:
    scopes = doctor.published(objects)
    if not scopes:
        return doctor.diagnose(objects, {}, applied)
    from reconciler.kernel import surroundings

    return doctor.diagnose(objects, surroundings.read(kernel, scopes), applied)


def _look(kernel: Kernel, intent: Intent) -> tuple[Planned, list[Problem]]:
    found = _gather(kernel, intent)
    intent = _settled(kernel, intent, found)
    live = _objects(found, intent)
    with stage("diff"):
        changes, problems = diff(intent.desired, live, intent.names, intent.adopt)
    with stage("plan"):
        return Planned(intent, order(changes, (one.names for one in intent.topologies), live), live), problems


def _occupied(kernel: Kernel, planned: Planned) -> list[Problem]:
    """Namespaces to be deleted in which processes live."""
    going = [c.key.name for c in planned.changes if c.key.kind == "namespace" and c.action == "delete"]
    if planned.intent.force or not going:
        return []
    found = kernel.occupants(going).items()
    return [
        Problem("", 0, 0, "", f"namespace {name} has live processes: pid {_listed(pids)}; --force deletes it")
        for name, pids in found
        if pids
    ]


def _managed_elsewhere(planned: Planned) -> list[Problem]:
    """Files of the host into which no block can go."""
    from reconciler.kernel import files

    wanted = [c for c in planned.changes if c.key.kind == "dns_file" and c.key.scope == HOST and c.origin]
    texts = [(change, files.managed_elsewhere(change.key.name)) for change in wanted]
    return [
        topology.problem_at(c.origin, f"{c.key} cannot be written: {text}") for c, text in texts if text and c.origin
    ]


def _listed(pids: list[int]) -> str:
    return ", ".join(map(str, pids[:10])) + (f" and {len(pids) - 10} more" if len(pids) > 10 else "")


def refuse_lockout(kernel: Kernel, planned: Planned, protect: Iterable[str]) -> None:
    """Raise Refused where the plan would cut off the SSH session that runs it, one of ``protect``, or the host."""
    from reconciler import guard
    from reconciler.kernel import session

    protected = [guard.Protected(address) for address in protect]
    ssh = session.ssh_session()
    if ssh is not None and (one := guard.of_session(*ssh)) is not None:
        protected.append(one)
    listed = [(one, session.port_towards(kernel, *guard.way_to(planned, one))) for one in protected]
    problems = guard.dangers(planned, listed)
    if problems:
        raise Refused(problems)


# ------------------------------------------------------------------------------------------------ apply


def apply(
    kernel: Kernel,
    planned: Planned,
    progress: Callable[[int], None] = lambda _count: None,
    interrupt: Interrupt = NO_INTERRUPT,
    arm: Callable[[], object] | None = None,
) -> Result:
    """Carry the plan out and look again; what does not come out as declared is taken back as a whole.

    ``arm`` is called when there is a snapshot and nothing is changed yet; then the snapshot stays until somebody
    confirms.
    """
    from reconciler import rollback

    started = time.monotonic()
    result = Result()
    if planned.changes:
        _need_libnftables(planned)
        _carry_out(kernel, planned, result, progress, interrupt, arm)
    else:
        _remember(planned, result)
        rollback.forget(kernel)  # what a run left that was killed after its last change
    result.seconds = time.monotonic() - started
    return result


def _carry_out(
    kernel: Kernel,
    planned: Planned,
    result: Result,
    progress: Callable[[int], None],
    interrupt: Interrupt,
    arm: Callable[[], object] | None,
) -> None:
    from reconciler import rollback

    before = rollback.prepare(kernel, planned)
    try:
        if arm is not None:
            arm()
        remembering.before(planned)
    except KernelError:  # a full disk, say: nothing has been changed yet
        rollback.abandon(kernel, before)
        raise
    try:
        _rounds(kernel, planned, result, progress, interrupt)
        result.trouble = _disproved(kernel, planned, result)
    except Exception as error:  # whatever it is, the host must not be left half way
        result.trouble = _words(error)
    if result.verified or (planned.intent.keep_going and not interrupt.name):
        _remember(planned, result)
        if arm is None:
            rollback.forget(kernel)
    else:
        result.trouble = result.trouble or (f"stopped by {interrupt.name}" if interrupt.name else "")
        _go_back(kernel, before, result)


def prove(kernel: Kernel, topologies: Sequence[Topology]) -> list[Proof]:
    """Send real packets for every expectation; a listener is there for the time of it where nothing listens."""
    from reconciler.kernel import probes

    objects = {key: one.object for key, one in topology.together(topologies).items()}
    expected = [one for topology_ in topologies for one in topology_.expectations]
    asked = [
        probes.Probe(one.scope, one.address, one.port, one.protocol, expectations.end_of(one, objects))
        for one in expected
    ]
    return [Proof(one, *found) for one, found in zip(expected, probes.run(kernel, asked), strict=True)]


def _disproved(kernel: Kernel, planned: Planned, result: Result) -> str:
    """What of --verify does not hold, "" when all does."""
    if not (planned.intent.verify and result.verified):
        return ""
    result.proofs = prove(kernel, planned.intent.topologies)
    failed = [one.expectation for one in result.proofs if not one.holds]
    told = (f"{one.scope} {'does not reach' if one.reach else 'reaches'} {one.to} ({one.origin})" for one in failed)
    return f"not as expected: {', '.join(told)}" if failed else ""


def _go_back(kernel: Kernel, before: Before, result: Result) -> None:
    from reconciler import rollback

    try:
        result.undone, result.left = rollback.back(kernel, before)
        result.rolled_back = not result.left
    except Exception as error:
        result.trouble = "; ".join(filter(None, [result.trouble, f"cannot go back: {_words(error)}"]))


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, NetreconError) else f"unforeseen {type(error).__name__}: {error}"


def _rounds(
    kernel: Kernel, planned: Planned, result: Result, progress: Callable[[int], None], stop: Callable[[], bool]
) -> None:
    """Go on until live equals desired or nothing moves any more; to the first failure, unless told to go on."""
    for number in range(ROUNDS):
        with stage("send"):
            outcome = carry_out(planned.plan, southbound(kernel), progress, planned.intent.keep_going, stop)
        result.applied += len(outcome.applied)
        result.failed, result.blocked = list(outcome.failed.values()), list(outcome.blocked.values())
        with stage("verify"):
            again, _problems = _look(kernel, planned.intent)
        result.remaining = [c for c in again.changes if c.key not in outcome.failed and c.key not in outcome.blocked]
        if not again.changes:
            result.failed, result.blocked = [], []
            return
        if outcome.stopped or (outcome.failed and not planned.intent.keep_going) or (number and not outcome.applied):
            return
        planned = again


def _remember(planned: Planned, result: Result) -> None:
    try:
        remembering.after(planned, result)
    except KernelError as error:  # a full disk: the record says too much then, which harms nothing
        result.notes.append(str(error))


def _need_libnftables(planned: Planned) -> None:
    """Found out before the first change: MissingDependency means that nothing was done."""
    if any(change.key.kind in NFT for change in planned.changes):
        from reconciler.kernel import nftables

        nftables.library()


def southbound(kernel: Kernel) -> Southbound:
    from reconciler import rollback

    return rollback.southbound(kernel, parking=True)


# ------------------------------------------------------------------------------------------------ doctor


def examine(kernel: Kernel, topologies: Sequence[Topology] | None) -> tuple[list[str], list[Finding]]:
    """The names of the topologies, and what is in their way; None stands for all that the kernel holds."""
    if topologies is not None:
        names = [one.name for one in topologies]
        wanted = {key: one.object for key, one in to_have(topologies).desired.items()}
        return names, _around(kernel, wanted, applied=False)
    held = {key: one for key, one in _everything(kernel).items() if one.owner and one.owner[0] != "<"}
    names = sorted({one.owner for one in held.values()})
    return names, _around(kernel, {key: one.object for key, one in held.items()}, applied=False)


# ------------------------------------------------------------------------------------------------ list


def holdings(kernel: Kernel) -> dict[str, dict[str, int]]:
    """By topology, how many objects of each kind the kernel holds."""
    counts: dict[str, dict[str, int]] = {name: {} for name in sorted(records.load())}
    for key, one in _everything(kernel).items():
        if one.owner and one.owner[0] != "<":
            kinds = counts.setdefault(one.owner, {})
            kinds[key.kind] = kinds.get(key.kind, 0) + 1
    return {name: counts[name] for name in sorted(counts)}


def _everything(kernel: Kernel) -> dict[Key, Held]:
    """All objects of all topologies, and what else lies in the namespaces that they own."""
    from reconciler.kernel import live

    remembered = records.load()
    memory = records.memory(remembered, ())
    found = live.read(kernel, bool, (), state.settings((*memory.sysctls, *memory.reserved)))
    names = frozenset(remembered) | _owners_of_blocks(found.files.values())
    return state.objects(found, state.View(names, {}, frozenset(), memory))


def _owners_of_blocks(texts: Iterable[str]) -> frozenset[str]:
    marks = (line for text in texts for line in text.splitlines() if line.startswith("# BEGIN netrecon:"))
    return frozenset(mark.partition(":")[2] for mark in marks)
