"""Policy routing rules: no file declares them, and in an exclusive namespace of ours they are deleted."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.kinds import kind
from reconciler.kinds.around import Around
from reconciler.kinds.context import Reading
from reconciler.kinds.kind import Kind
from reconciler.model.changes import KERNEL, NOBODY, Change, Live
from reconciler.model.data import dataclass, field
from reconciler.model.keys import PROTOCOL, Key
from reconciler.model.requests import NLM_F_CREATE, NLM_F_EXCL, Netlink, Request

RTPROT_UNSPEC, RTPROT_BOOT, RTPROT_STATIC = 0, 3, 4
_KERNELS_OWN = (0, 32766, 32767)  # the priorities of the three rules of every new namespace
AF_INET6 = 10


@dataclass(frozen=True, slots=True)
class Rule:
    """``body`` is the rule's dumped message, with which RTM_DELRULE deletes exactly this rule."""

    scope: str
    text: str
    body: bytes = field(compare=False)


def read(reading: Reading) -> Iterator[tuple[Key, Live]]:
    """Those of namespaces that bear a stamp, with which they go."""
    if not reading.owner:
        return
    whose = reading.owner if reading.exclusive else NOBODY
    scope = reading.state.scope
    for row in reading.state.rules:
        static = row.protocol in (RTPROT_UNSPEC, RTPROT_BOOT, RTPROT_STATIC, PROTOCOL)
        born_with = row.priority in _KERNELS_OWN and row.protocol == RTPROT_UNSPEC
        owner = whose if static and not born_with else KERNEL
        family = "ipv6 " if row.family == AF_INET6 else ""
        yield Key("rule", scope, f"{row.priority}/{family}{row.text}"), Live(Rule(scope, row.text, row.raw), owner)


def create(rule: Rule, _owner: str) -> Iterator[Request]:
    """Only a rollback creates a rule: RTM_NEWRULE accepts the body of a dump."""
    yield Netlink(rule.scope, "newrule", {}, flags=NLM_F_CREATE | NLM_F_EXCL, body=rule.body)


def delete(rule: Rule) -> Iterator[Request]:
    yield Netlink(rule.scope, "delrule", {}, body=rule.body)


def disrupts(change: Change, _around: Around) -> str:
    return f'packets that the rule "{change.before.text}" takes go another way' if change.after is None else ""


KIND = Kind(
    name="rule",
    form=Rule,
    read=read,
    create=create,
    delete=delete,
    disrupts=disrupts,
    ownership=kind.PROTOCOL,
    dumps=("rules",),
)
