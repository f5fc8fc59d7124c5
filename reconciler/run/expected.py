"""The host as a plan will leave it: networks are lowered for that host, not for the one before the plan."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from reconciler.kernel.proc.dns_files import with_block
from reconciler.kinds import BY_NAME, KINDS, having
from reconciler.kinds.grounds import Place
from reconciler.kinds.links import link
from reconciler.kinds.route import form as route
from reconciler.language.networks.ipam import BITS, Block, block, network_of, number
from reconciler.language.networks.lowered import LEVEL_TWO
from reconciler.model import data as dataclasses
from reconciler.model.changes import Change
from reconciler.model.keys import HOST, Origin, stamped
from reconciler.model.names import block_owner
from reconciler.model.requests import WriteFile, WriteSysctl
from reconciler.model.rows import Hop, LinkRow, LiveState, RouteRow, ScopeState
from reconciler.planning import state
from reconciler.planning.consequences import Standing
from reconciler.planning.diff import DesiredObjects, diff
from reconciler.planning.intent import Intent

_SETS, _EDITS = having(lambda kind: kind.sets), having(lambda kind: kind.edits)
_CONNECTS, _LEADS = having(lambda kind: kind.connects), having(lambda kind: kind.leads)
_LINKS = frozenset(kind.name for kind in KINDS if kind.has_ends)
_EXISTING = frozenset(kind.name for kind in KINDS if kind.has_ends and kind.existing)
_FACTS = frozenset({*_SETS, *_EDITS, *_CONNECTS, *_LEADS, *_LINKS})  # the kinds whose objects are facts of the host
_BRIDGES = frozenset(kind.rtnl for kind in KINDS if kind.port is not None)
_BORN_MTU = 1500  # ether_setup() in net/ethernet/eth.c


def expected(rows: LiveState, intent: Intent, memory: state.Memory) -> LiveState:
    """``rows``, with the host scope as it will be after the plan in all that networks are lowered from.

    The changes counted are those that the files of the run cause outside of their networks: settings, attributes of
    links, addresses, routes and DNS files that they declare, or that they no longer declare.
    """
    facts = {key: one for key, one in intent.desired.items() if key.scope == HOST and key.kind in _FACTS}
    declared = {key: one for key, one in facts.items() if not is_generated(one.origin)}
    going = _going(rows.scopes[HOST], intent)
    if not (declared or going or _let_go(rows, intent, memory)):
        return rows
    parts = {place for key in facts.keys() - declared for place in BY_NAME[key.kind].links(facts[key].object)}
    changes = _changes(rows, intent, memory, declared, parts)
    after = dataclasses.replace(rows, sysctls=dict(rows.sysctls), files=dict(rows.files))
    for change in changes:
        _write(after, change)
    host = _with_links(_without(rows.scopes[HOST], going), changes)
    host.links.update(_of_the_host(host, declared))
    if changes:
        host.routes = _routes(host, changes)
    after.scopes = {**rows.scopes, HOST: host}
    return after


# ------------------------------------------------------------------------------------------------ the changes


def _changes(
    rows: LiveState, intent: Intent, memory: state.Memory, declared: DesiredObjects, parts: Container[Place]
) -> list[Change]:
    """The changes outside of the networks, whose links are ``parts``."""
    desired = intent.desired
    kinds = (_FACTS - _LINKS) | _EXISTING | {key.kind for key in declared}
    view = state.View(intent.names, desired, intent.relaxed, memory, intent.adopt)
    live = state.objects(rows, view, lambda scope: kinds if scope == HOST else ())
    outside = {
        key: entry
        for key, entry in live.items()
        if key in declared
        or (key not in desired and not any(place in parts for place in BY_NAME[key.kind].lies_on(entry.object)))
    }
    return diff(declared, Standing(outside), intent.names, intent.adopt).changes


def is_generated(origin: Origin) -> bool:
    """Whether an object is a part of a network or of a sandbox."""
    return origin.path[:1] in [(word,) for word in LEVEL_TWO]


def _let_go(rows: LiveState, intent: Intent, memory: state.Memory) -> bool:
    """Whether something that is on record or in a file of the host is no longer declared."""
    noted = {key for key in memory.get(HOST, {}) if key.kind in _FACTS}
    texts = (text for (scope, _), text in rows.files.items() if scope == HOST)
    return bool(noted - intent.desired.keys()) or any(
        block_owner(line) in intent.names for text in texts for line in text.splitlines()
    )


# ------------------------------------------------------------------------------------------------ settings and files


def _write(after: LiveState, change: Change) -> None:
    kind = BY_NAME[change.key.kind]
    if change.key.kind not in _SETS and change.key.kind not in _EDITS:
        return
    owner = change.owner
    for request in kind.create(change.after, owner) if change.after is not None else kind.delete(change.before):
        if isinstance(request, WriteSysctl):
            after.sysctls[HOST, request.key] = request.value
        elif isinstance(request, WriteFile):
            text = after.files.get((HOST, request.name), "")
            after.files[HOST, request.name] = with_block(text, request.text, request.owner)


# ------------------------------------------------------------------------------------------------ links


def _going(scope: ScopeState, intent: Intent) -> set[int]:
    """The links of the run's topologies that no file has any more."""
    ours = [row for row in scope.links.values() if stamped(row.alias) in intent.names]
    kept = {row.index for row in ours for one in intent.topologies if (HOST, row.name) in one.names.links}
    return {row.index for row in ours} - kept


def _without(scope: ScopeState, going: Container[int]) -> ScopeState:
    """The scope without these links, and without what lies on them."""
    return dataclasses.replace(
        scope,
        links={index: row for index, row in scope.links.items() if index not in going},
        addresses=[row for row in scope.addresses if row.index not in going],
        routes=[row for row in scope.routes if not any(hop.oif in going for hop in row.hops)],
    )


def _with_links(before: ScopeState, changes: Iterable[Change]) -> ScopeState:
    """The scope with the links as they will be: their MTU and their bridge."""
    made = [change for change in changes if change.key.kind in _LINKS and change.after is not None]
    ends = [(change, end) for change in made for end in link.ends(change.after) if end.scope == HOST]
    links = dict(before.links)
    index = {row.name: row.index for row in links.values()}
    for change, end in ends:
        if end.name not in index:
            index[end.name] = -len(index)  # no link of the kernel has such an index
            links[index[end.name]] = _newborn(index[end.name], end, change)
    for _, end in ends:
        row = links[index[end.name]]
        master = getattr(end, "master", None)
        into = row.master if master is None else index.get(master, 0)
        links[row.index] = dataclasses.replace(row, mtu=end.mtu or row.mtu, master=into)
    set_ = {end.name for _, end in ends if end.mtu is not None}
    touched = {links[index[end.name]].master for _, end in ends}
    for row in list(links.values()):
        if row.kind in _BRIDGES and row.name not in set_ and (row.index in touched or row.index < 0):
            links[row.index] = _as_ports(row, links)
    return dataclasses.replace(before, links=links)


def _of_the_host(scope: ScopeState, declared: DesiredObjects) -> dict[int, LinkRow]:
    """The links that files declare outside of their networks, without a stamp: their subnets are not the networks'."""
    values = (one.object for key, one in declared.items() if key.kind in _LINKS)
    names = {end.name for value in values for end in link.ends(value) if end.scope == HOST}
    return {row.index: dataclasses.replace(row, alias="") for row in scope.links.values() if row.name in names}


def _newborn(index: int, end: Any, change: Change) -> LinkRow:
    kind = BY_NAME[change.key.kind].rtnl
    return LinkRow(index, end.name, kind, True, False, _BORN_MTU, "", 0, "", 0, 0, -1, 0, 0)


def _as_ports(bridge: LinkRow, links: Mapping[int, LinkRow]) -> LinkRow:
    """A bridge without an MTU of its own has the smallest of its ports (br_mtu_auto_adjust in net/bridge/br_if.c)."""
    ports = [row.mtu for row in links.values() if row.master == bridge.index]
    return dataclasses.replace(bridge, mtu=min(ports, default=bridge.mtu))


# ------------------------------------------------------------------------------------------------ addresses and routes


def _routes(scope: ScopeState, changes: Sequence[Change]) -> list[RouteRow]:
    """The routes that will be there: with the declared ones, and those that the kernel makes for addresses."""
    index = {row.name: row.index for row in scope.links.values()}
    had = {(str(network_of(row.address)), row.index) for row in scope.addresses}
    has = had - _subnets(changes, "before", index) | _subnets(changes, "after", index)
    gone = {_identity(change.before) for change in changes if change.key.kind in _LEADS and change.before is not None}
    kept = [row for row in scope.routes if _identity(row) not in gone and not _is_lost(row, had - has)]
    made = [route.connected(HOST, to, scope.links[at].name) for to, at in sorted(has - had) if at in scope.links]
    near = dict(has)
    wanted = [_LEADS[change.key.kind](change.after) for change in changes if change.key.kind in _LEADS and change.after]
    return [*kept, *(_row(one, index, near) for one in (*made, *wanted))]


def _subnets(changes: Iterable[Change], when: str, index: Mapping[str, int]) -> set[tuple[str, int]]:
    """The subnets of the addresses before or after the changes, each with its link; not those of one address."""
    values = ((change.key.kind, getattr(change, when)) for change in changes if change.key.kind in _CONNECTS)
    pairs = (_CONNECTS[kind](value) for kind, value in values if value is not None)
    return {(to, index.get(name, 0)) for to, name in pairs if not to.endswith(("/32", "/128"))}


def _is_lost(row: RouteRow, gone: Container[tuple[str, int]]) -> bool:
    return row.protocol == route.RTPROT_KERNEL and any((row.to, hop.oif) in gone for hop in row.hops)


def _identity(one: Any) -> tuple[str, int, int, int]:
    return one.to, one.table, one.metric, one.tos


def _row(one: route.Route, index: Mapping[str, int], near: Mapping[str, int]) -> RouteRow:
    hops = tuple(
        Hop(hop.via, index.get(hop.dev, 0) if hop.dev else _link_to(hop.via, near), hop.weight, hop.onlink)
        for hop in one.hops
    )
    kind, source = route.TYPES[one.type], one.source
    return RouteRow(
        one.family, one.to, one.table, one.metric, one.tos, kind, one.reach, one.protocol, source, one.mtu, hops
    )


def _link_to(via: str, near: Mapping[str, int]) -> int:
    """The link of the subnet that a gateway is in, 0 for none."""
    if not via:
        return 0
    version, value = number(via)
    gateway = Block(version, value, BITS[version])
    return next((at for to, at in near.items() if block(to).holds(gateway)), 0)
