"""Rehearses a plan: carries it out in a throwaway copy of the host, before the host itself is changed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from reconciler.kernel.namespaces import throwaway
from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kinds import BY_NAME, KINDS, having, namespace
from reconciler.kinds.grounds import Place
from reconciler.kinds.kind import Kind
from reconciler.kinds.links import other_link
from reconciler.model import data as dataclasses
from reconciler.model.changes import Desired, Live
from reconciler.model.data import dataclass
from reconciler.model.errors import InputError, NetreconError, Problem
from reconciler.model.keys import HOST, NO_ORIGIN, Key
from reconciler.model.requests import LinkRef, Netlink, Request
from reconciler.planning import state
from reconciler.planning.intent import Intent, Result
from reconciler.run import converge, loading, pipeline
from reconciler.safety import codec, records, rollback, undo_log
from reconciler.safety.snapshot import Kept, Snapshot

LiveObjects = Mapping[Key, Live]

_MASTER = next(kind.rtnl for kind in KINDS if kind.port is not None)
_PARTIAL, _PORTS = having(lambda kind: kind.partial), having(lambda kind: kind.ports)


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """The number of changes applied and verified, and the objects of the host that the copy lacks."""

    applied: int
    lacking: tuple[str, ...]

    def __str__(self) -> str:
        text = f"rehearsed in a throwaway copy: {self.applied} changes applied and verified"
        return text + (f" (without {', '.join(self.lacking[:5])})" if self.lacking else "")


def rehearse(intent: Intent, live: LiveObjects) -> Rehearsed:
    """Rebuild ``live`` in a throwaway host, apply the intent there and verify it; the process must have one thread.

    Raises InputError with the changes that the kernel refused, NetreconError if no throwaway host can be made.
    """
    known = records.load()
    return _understood(in_a_child(lambda: _attempt(intent, live, known)))


def in_a_child(attempt: Callable[[], dict[str, Any]]) -> str:
    """What ``attempt`` returns, as JSON; it runs as a child process, which may leave this host for a throwaway one.

    "" where the child ended without a word."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        _in_the_child(theirs, attempt)
    os.close(theirs)
    with open(ours, encoding="utf-8") as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    return text


def stand_ins(intent: Intent) -> dict[Key, Live]:
    """The live objects of an empty host with only the links that the topologies configure but do not create."""
    existing = [(BY_NAME[key.kind], one.object) for key, one in intent.desired.items() if BY_NAME[key.kind].existing]
    given = {place for kind, value in existing for place in kind.links(value) if place[0] == HOST} - {(HOST, "lo")}
    given -= state.makers(intent.desired).keys()
    return {other_link.key_of(*place): Live(other_link.OtherLink(*place, ""), "") for place in sorted(given)}


# ------------------------------------------------------------------------------------------------ the child


def _in_the_child(answer: int, attempt: Callable[[], dict[str, Any]]) -> None:
    code = 0
    try:
        data = attempt()
    except InputError as error:
        data = {"problems": codec.encode(error.problems)}
    except NetreconError as error:
        data = {"error": str(error)}
    except BaseException as error:
        data, code = {"error": f"unforeseen {type(error).__name__}: {error}"}, 1
    with open(answer, "w", encoding="utf-8") as file:
        json.dump(data, file)
    os._exit(code)


def enter(known: dict[str, records.Record]) -> None:
    throwaway.enter()
    for name, record in known.items():
        records.save(name, record)


def carry_out(kernel: Kernel, intent: Intent) -> tuple[Result, Collection[str]]:
    """Apply the intent in the copy: the result, and the kernel modules that it would need.  Raises Refused.

    A copy of the network has the machine's modules: none is loaded.
    """
    planned = pipeline.allowed(pipeline.plan(kernel, intent, warn=False, protect=None))
    modules = loading.absent(planned.changes)
    if modules:
        planned = dataclasses.replace(planned, intent=dataclasses.replace(planned.intent, keep_going=True))
    return converge.apply(kernel, planned), modules


def _attempt(intent: Intent, live: LiveObjects, known: dict[str, records.Record]) -> dict[str, Any]:
    enter(known)
    with Kernel() as kernel:
        lacking = rebuild(kernel, intent, live)
        result, modules = carry_out(kernel, intent)
    lacking += [f"the kernel module {name}" for name in modules]
    failed = [(one.change, str(one.failure)) for one in result.failed if not loading.awaits(one.change, modules)]
    failed += [(change, "it is not as declared afterwards") for change in result.remaining if not result.failed]
    where = "rehearsed in a throwaway copy"
    problems = [Problem(one.origin, f"{where}: {one.action} {one.key} fails: {text}") for one, text in failed]
    if result.trouble and not problems:
        problems.append(Problem(NO_ORIGIN, f"{where}: {result.trouble}"))
    return {"applied": result.applied, "lacking": lacking, "problems": codec.encode(problems)}


def _understood(text: str) -> Rehearsed:
    data = json.loads(text or '{"error": "the rehearsal ended without a word"}')
    if "error" in data:
        raise NetreconError(f"rehearsal: {data['error']}")
    if data["problems"]:
        raise InputError([codec.decode(Problem, problem) for problem in data["problems"]])
    return Rehearsed(data["applied"], tuple(data["lacking"]))


# ------------------------------------------------------------------------------------------------ the copy


def rebuild(kernel: Kernel, intent: Intent, live: LiveObjects) -> list[str]:
    """Turn the empty host into the live state; the keys of the objects that could not be rebuilt.

    It is a rollback to a snapshot of everything: first namespaces, then stand-ins for hardware and for links that
    netrecon cannot create, then all the rest.
    """
    live = {key: entry for key, entry in live.items() if not entry.coming}
    entries = {key: Kept(held, None, held.owner) for key, held in live.items() if _is_there(key, held, live)}
    for wave in ("namespace", ""):
        chosen = {key: entry for key, entry in entries.items() if not wave or key.kind == wave}
        taken = Snapshot(intent.names, intent.relaxed, chosen)
        if not wave:
            masters = _masters({**live, **intent.desired})
            links = [list(_stand_in(*place, place in masters)) for place in sorted(_borrowed(live))]
            rollback.southbound(kernel).send(links)
        _undone, left = rollback.back(kernel, undo_log.Unsettled(taken, records.load()))
    return [str(failed.change.key) for failed in left if _is_ours(BY_NAME[failed.change.key.kind])]


def _is_ours(kind: Kind) -> bool:
    """Whether a topology can declare such objects: those of other kinds have stand-ins."""
    return kind.makes or kind.existing


def _is_there(key: Key, entry: Live, live: LiveObjects) -> bool:
    """Whether the object exists on the host now, and is known in full; not with a namespace yet to be created."""
    return _is_whole(key, entry) and (key.scope == HOST or namespace.key_of(key.scope) in live)


def _is_whole(key: Key, entry: Live) -> bool:
    """Whether the object is known in full; a veth is not whose peer is in a namespace that was not read."""
    partial = _PARTIAL.get(key.kind)
    return partial is None or not partial(entry.object)


def _borrowed(live: LiveObjects) -> set[Place]:
    """The links that need a stand-in: those that netrecon cannot create or does not know in full."""
    kinds = [(BY_NAME[key.kind], held.object, _is_made(key, held)) for key, held in live.items()]
    made = {place for kind, held, whole in kinds if whole for place in kind.links(held)}
    borrowed = {place for kind, held, whole in kinds if not whole for place in kind.links(held)}
    return {place for place in borrowed - made if place[1] != "lo"}


def _masters(objects: Mapping[Key, Live | Desired]) -> set[Place]:
    """The links that others are ports of."""
    values = ((key.kind, one.object) for key, one in objects.items() if key.kind in _PORTS)
    return {(place[0], bridge) for kind, value in values for place, bridge in _PORTS[kind](value)}


def _is_made(key: Key, entry: Live) -> bool:
    return BY_NAME[key.kind].makes and _is_whole(key, entry)


def _stand_in(scope: str, name: str, master: bool) -> Iterable[Request]:
    """A veth in place of a link: it can be a port, it has a carrier, and every kernel and user namespace allows it.

    A bridge in place of one that has ports.
    """
    if master:
        yield Netlink(
            scope,
            "newlink",
            {},
            (("IFLA_IFNAME", name), ("IFLA_LINKINFO", {"attrs": (("IFLA_INFO_KIND", _MASTER),)})),
            0x600,
        )
        yield Netlink(scope, "setlink", {"index": LinkRef(scope, name), "flags": 1, "change": 1})
        return
    peer = {"attrs": (("IFLA_IFNAME", f"~{abs(hash(name)) % 10**8}"),)}
    info = {"attrs": (("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", {"attrs": (("VETH_INFO_PEER", peer),)}))}
    yield Netlink(scope, "newlink", {}, (("IFLA_IFNAME", name), ("IFLA_LINKINFO", info)), 0x600)
    for one in (name, peer["attrs"][0][1]):
        yield Netlink(scope, "setlink", {"index": LinkRef(scope, one), "flags": 1, "change": 1})
