"""Asks the kernel, in a throwaway copy of the host, by which way it would send a session's packets after a plan."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import path, reader
from reconciler.kernel.proc import sysctl
from reconciler.kinds import BY_NAME
from reconciler.kinds.course import Course
from reconciler.kinds.kind import NFT
from reconciler.model import data as dataclasses
from reconciler.model.errors import KernelError, NetreconError
from reconciler.model.keys import HOST
from reconciler.model.requests import NLM_F_CREATE, NLM_F_EXCL, Netlink, Request, WriteSysctl
from reconciler.planning.intent import Planned
from reconciler.planning.route_lookup import Packet
from reconciler.run import rehearsal
from reconciler.safety import records, rollback
from reconciler.safety.course import TCP, Protected

_MOST = 300  # objects of a host that is copied: a larger one would take seconds
_KERNELS_OWN = (0, 32766, 32767)  # the priorities of the rules of every new namespace
_FORWARDING = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")
Question = tuple[str, Packet]  # scope and packet
Answer = tuple[str, str, str]  # type of the route, link, neighbour: the gateway or the destination
Settings = list[tuple[str, str, str]]  # (scope, sysctl, value)


def changed(
    kernel: Kernel, planned: Planned, protected: Iterable[tuple[Protected, Course]]
) -> Iterator[tuple[Question, Answer, Answer]]:
    """The packets whose way the plan changes, with the way before and after; none where no copy can be made.

    Where the copy sends a packet otherwise than the host does now, it is no copy of what matters: that says nothing.
    """
    questions = [one for user, course in protected for one in _questions(user, course)]
    if not questions or not _can_be_copied(planned):
        return
    try:
        here = [_asked(kernel, *question) for question in questions]
        settings = _settings(kernel, {scope for scope, _ in questions})
        known = records.load()
        with kernel.at_rest():
            before, after = _rehearsed(planned, questions, settings, known)
    except (NetreconError, OSError):  # no namespaces for such a copy: the look-up among the objects has to do
        return
    for question, now, first, then in zip(questions, here, before, after, strict=True):
        if now == first != then:
            yield question, now, then


def _questions(user: Protected, course: Course) -> Iterator[Question]:
    for passage in course.passages:
        if not (passage.bridged or passage.ends):
            yield passage.scope, user.packet(passage)


def _can_be_copied(planned: Planned) -> bool:
    """Whether the host is small enough, and the plan changes more than nftables objects, which change no route.

    Some settings are those of the whole machine: a copy must not write them.
    """
    kinds = [(BY_NAME[change.key.kind], change) for change in planned.changes]
    steers = any(kind.transaction != NFT for kind, _ in kinds)
    shared = any(kind.sets is not None and not kind.local(change) for kind, change in kinds)
    return steers and not shared and len(planned.live) + len(planned.changes) <= _MOST and _may_fork()


def _may_fork() -> bool:
    """Whether nobody else's threads run: a copy of the process would have their locks and not them."""
    return threading.active_count() <= 2  # this one, and the kernel's worker, which is ended first


def _settings(kernel: Kernel, scopes: set[str]) -> Settings:
    found = sysctl.read_many(kernel, {scope: set(_FORWARDING) for scope in scopes})
    return [(scope, name, value) for (scope, name), value in found.items()]


# ------------------------------------------------------------------------------------------------ the copy


def _rehearsed(
    planned: Planned, questions: Sequence[Question], settings: Settings, known: dict[str, records.Record]
) -> tuple[list[Answer], list[Answer]]:
    data = json.loads(rehearsal.in_a_child(lambda: _in_the_copy(planned, questions, settings, known)) or "{}")
    if "before" not in data:
        raise NetreconError(str(data))
    before, after = ([tuple(answer) for answer in data[word]] for word in ("before", "after"))
    return before, after


def _in_the_copy(
    planned: Planned, questions: Sequence[Question], settings: Settings, known: dict[str, records.Record]
) -> dict[str, Any]:
    rehearsal.enter(known)
    with Kernel() as kernel:
        rehearsal.rebuild(kernel, planned.intent, planned.live)
        more: list[Request] = [*(WriteSysctl(*setting) for setting in settings), *_rules(planned)]
        rollback.southbound(kernel).send([[request] for request in more])
        before = [_asked(kernel, *question) for question in questions]
        rehearsal.carry_out(kernel, dataclasses.replace(planned.intent, verify=False))
        return {"before": before, "after": [_asked(kernel, *question) for question in questions]}


def _rules(planned: Planned) -> Iterator[Netlink]:
    """The rules of the host, which no topology has: their dumped messages are sent as they are."""
    state = planned.found.scopes.get(HOST)
    for rule in state.rules if state is not None else ():
        if rule.priority not in _KERNELS_OWN:
            yield Netlink(HOST, "newrule", {}, flags=NLM_F_CREATE | NLM_F_EXCL, body=rule.raw)


def _asked(kernel: Kernel, scope: str, packet: Packet) -> Answer:
    """The kernel's answer with the name of the link: indexes differ between a host and its copy."""
    try:
        names = {row.index: row.name for row in reader.read_links(kernel, scope)}
        into = next((index for index, name in names.items() if name == packet.into), 0)
        ends = (packet.to, packet.source, into, 0, packet.mark, TCP, packet.source_port, packet.port)
        answer = path.way(kernel, scope, path.Packet(*ends))
    except KernelError:  # the namespace is gone
        return "", "", ""
    link = names.get(answer.oif, "")
    return answer.type, link, (answer.gateway or packet.to) if link else ""
