"""Desired and live objects, compared by key: set arithmetic, then the attributes of what differs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.kinds import BY_NAME, address, namespace, sysctl
from reconciler.kinds.kind import Kind
from reconciler.kinds.nat import port_map
from reconciler.model.changes import KERNEL, NOBODY, UNKNOWN, Action, Change, Desired, Impact, Live
from reconciler.model.errors import Problem
from reconciler.model.keys import HOST, Key, Origin

LiveObjects = Mapping[Key, Live]
DesiredObjects = Mapping[Key, Desired]
Places = frozenset[tuple[str, str]]


def diff(
    desired: DesiredObjects, live: LiveObjects, topologies: frozenset[str], adopt: bool = False
) -> tuple[list[Change], list[Problem]]:
    """The changes that turn live into desired, and what stands in their way.

    Only what belongs to ``topologies`` is ever changed or deleted.  ``adopt`` lets the changes
    take over objects that bear no stamp.
    """
    desired = _settled(desired, live)
    different = _different(desired, live)
    lost = _lost(desired, live, topologies, different)
    remains = _after_losses(live, lost, _bare(desired, live, topologies, lost))
    changes: list[Change] = []
    problems: list[Problem] = []
    told: set[tuple[str, Origin]] = set()
    for key, wanted in desired.items():
        held = live.get(key)
        left = held if remains is live else remains.get(key)
        differs = different.get(key, ()) if left is held else _differences_of(key, wanted, left)
        found = _compare(key, wanted, left, held, differs, adopt)
        if isinstance(found, Change):
            changes.append(found)
        elif found is not None and (key.kind, wanted.origin) not in told:
            problems.append(found)
            if key.kind == "port_map":
                told.add((key.kind, wanted.origin))  # once for a range
    changes.extend(_deletions(desired, live, topologies, lost))
    changes.extend(_upset(changes, desired))
    problems.extend(_in_the_way(changes, desired, live))
    problems.extend(_published_elsewhere(desired, live, topologies))
    problems.extend(_no_such_sysctl(changes, desired))
    return changes, problems


def _settled(desired: DesiredObjects, live: LiveObjects) -> DesiredObjects:
    """Desired, completed where a kind needs to see the kernel to know what it wants."""
    settled: dict[Key, Desired] = {}
    for key, wanted in desired.items():
        settle = BY_NAME[key.kind].settle
        if settle is not None and key in live:
            settled[key] = dataclasses.replace(wanted, object=settle(wanted.object, live[key].object))
    return {**desired, **settled} if settled else desired


# ------------------------------------------------------------------------------------------------ one object


def _different(desired: DesiredObjects, live: LiveObjects) -> dict[Key, tuple[str, ...]]:
    """What differs of the objects that are there, but for those that are as they should be."""
    compared = ((key, _differences_of(key, wanted, live[key])) for key, wanted in desired.items() if key in live)
    return {key: differs for key, differs in compared if differs}


def _differences_of(key: Key, wanted: Desired, held: Live | None) -> tuple[str, ...]:
    if held is None or wanted.object == held.object:  # of 10,000 ports most are just right
        return ()
    return differences(BY_NAME[key.kind], wanted.object, held.object)


def _compare(
    key: Key, wanted: Desired, held: Live | None, before: Live | None, differs: tuple[str, ...], adopt: bool
) -> Change | Problem | None:
    kind = BY_NAME[key.kind]
    if held is None:
        if kind.existing:
            text = f"{key.name} does not exist in {key.scope}; netrecon configures it but cannot make it"
            return _problem(key, wanted, text)
        return _change("create", key, None, wanted, ())
    if held.owner in (wanted.owner, UNKNOWN) or (held.owner == KERNEL and not differs):
        stamped = (held.whole and held.owner == wanted.owner) or held.owner == KERNEL
        return _own(key, wanted, held, differs, stamped)
    if kind.existing and not differs:
        return None
    return _foreign(key, wanted, held, differs, adopt)


def _own(key: Key, wanted: Desired, held: Live, differs: tuple[str, ...], stamped: bool) -> Change | None:
    if differs:
        return _change(way(BY_NAME[key.kind], differs), key, held.object, wanted, differs)
    # A route or an address of ours whose owner was forgotten is claimed again by the records alone.
    return None if stamped or key.kind in ("address", "route") else _change("adopt", key, held.object, wanted, ())


def _foreign(key: Key, wanted: Desired, held: Live, differs: tuple[str, ...], adopt: bool) -> Change | Problem:
    if held.owner == KERNEL:
        return _problem(key, wanted, f"{key} is the kernel's (or a daemon's) own and differs in {', '.join(differs)}")
    if held.owner != NOBODY:
        return _problem(key, wanted, f"{key} belongs to topology {held.owner}")
    if not adopt:
        same = f"differs in {', '.join(differs)}" if differs else "matches"
        return _problem(
            key, wanted, f"{key} exists already, bears no stamp of netrecon and {same}; --adopt would take it over"
        )
    action = way(BY_NAME[key.kind], differs) if differs else "adopt"
    if action == "replace":
        text = f"{key} cannot be adopted: {', '.join(differs)} cannot change in place; remove it or declare it as it is"
        return _problem(key, wanted, text)
    return _change(action, key, held.object, wanted, differs + (("owner",) if differs else ()))


def way(kind: Kind, differs: tuple[str, ...]) -> Action:
    """Whether the attributes that differ can change in place."""
    return "replace" if kind.replace_on & set(differs) else "update"


def differences(kind: Kind, wanted: Any, held: Any) -> tuple[str, ...]:
    """The names of the attributes that differ; equality of the masked objects alone decides that any do."""
    masked = kind.mask(wanted, held)
    if masked == wanted:
        return ()
    ours, theirs = kind.shown(wanted), kind.shown(masked)
    names = [*ours, *(name for name in theirs if name not in ours)]
    return tuple(name for name in names if ours.get(name) != theirs.get(name)) or ("value",)


def _change(action: Action, key: Key, before: Any, wanted: Desired, differs: tuple[str, ...]) -> Change:
    impact = _impact(action, key, differs)
    return Change(action, key, before, wanted.object, differs, impact, wanted.owner, wanted.origin)


def _impact(action: Action, key: Key, differs: tuple[str, ...]) -> Impact:
    if action in ("create", "adopt"):
        return "none"
    if action == "update":
        return "disruptive" if BY_NAME[key.kind].disruptive_on & set(differs) else "in-place"
    return "disruptive"


def _problem(key: Key, wanted: Desired, text: str) -> Problem:
    return Problem(wanted.origin, text)


# ------------------------------------------------------------------------------------------------ what goes


def _deletions(
    desired: DesiredObjects, live: LiveObjects, topologies: frozenset[str], lost: Places
) -> Iterator[Change]:
    gone = [key for key, held in live.items() if _may_go(key, held, topologies) and key not in desired]
    spaces = {key.name for key in gone if key.kind == "namespace"}
    for key in sorted(gone):
        held = live[key]
        kind = BY_NAME[key.kind]
        if not kind.existing and not absorbed(key, held, kind, spaces, lost):
            impact: Impact = "in-place" if kind.harmless else "disruptive"
            yield Change("delete", key, held.object, None, (), impact, held.owner)


def _may_go(key: Key, held: Live, topologies: frozenset[str]) -> bool:
    """Whether it is this run's, or a link that a run was killed over before it could stamp it: nobody else's."""
    return held.owner in topologies or (held.owner == UNKNOWN and any(BY_NAME[key.kind].links(held.object)))


def absorbed(key: Key, held: Live, kind: Kind, spaces: set[str], links: Places) -> bool:
    """Whether it vanishes with a namespace or a link that goes; files and veths that reach out do not."""
    if key.scope in spaces and key.kind not in ("namespace", "dns_file"):
        return all(scope in spaces for scope, _ in kind.links(held.object))
    return kind.without(held.object, links) is None


def _lost(
    desired: DesiredObjects, live: LiveObjects, topologies: frozenset[str], different: Mapping[Key, tuple[str, ...]]
) -> Places:
    """The links that are deleted or replaced, and so take along what lies on them."""
    lost: set[tuple[str, str]] = set()
    for key, held in live.items():
        kind = BY_NAME[key.kind]
        if (
            _may_go(key, held, topologies)
            and not kind.existing
            and _goes(kind, desired.get(key), different.get(key, ()))
        ):
            lost.update(kind.links(held.object))
    return frozenset(lost)


def _after_losses(live: LiveObjects, lost: Places, bare: Places) -> LiveObjects:
    """Live as it will be without the lost links, and without the IPv4 routes of the bare ones."""
    if not lost and not bare:
        return live
    remains: dict[Key, Live] = {}
    for key, held in live.items():
        flushed = key.kind == "route" and ":" not in held.object.to
        left = BY_NAME[key.kind].without(held.object, lost | bare if flushed else lost)
        if left is not None:
            remains[key] = held if left is held.object else dataclasses.replace(held, object=left)
    return remains


def _bare(desired: DesiredObjects, live: LiveObjects, topologies: frozenset[str], lost: Places) -> Places:
    """Links that stay but lose all their IPv4 addresses, and with the last of them their IPv4 routes."""
    going: list[address.Address] = []
    staying: list[address.Address] = []
    for key, held in live.items():
        if key.kind == "address" and (held.object.scope, held.object.link) not in lost:
            goes = held.owner in topologies and key not in desired
            (going if goes else staying).append(held.object)
    if not going:
        return frozenset()
    coming = [one.object for key, one in desired.items() if key.kind == "address" and key not in live]
    return address.without_any(going, staying, coming)


def _goes(kind: Kind, wanted: Desired | None, differs: tuple[str, ...]) -> bool:
    return wanted is None or way(kind, differs) == "replace"


def _upset(changes: list[Change], desired: DesiredObjects) -> list[Change]:
    """What is as declared, but will not be once the kernel has carried out the other changes of its kind."""
    by_kind: dict[str, dict[Key, Change]] = {}
    for change in changes:
        if BY_NAME[change.key.kind].upset is not None:
            by_kind.setdefault(change.key.kind, {})[change.key] = change
    if not by_kind:
        return []
    found: list[Change] = []
    for key, wanted in desired.items():
        upset, others = BY_NAME[key.kind].upset, by_kind.get(key.kind, {})
        left = upset(wanted.object, others) if upset is not None and others and key not in others else wanted.object
        if left != wanted.object:
            found.append(_change("update", key, left, wanted, differences(BY_NAME[key.kind], wanted.object, left)))
    return found


def _in_the_way(changes: list[Change], desired: DesiredObjects, live: LiveObjects) -> Iterator[Problem]:
    """Links to be created whose name somebody else's link has, under whatever kind."""
    taken = {where: key for key, held in live.items() for where in BY_NAME[key.kind].links(held.object)}
    leaving = {change.key for change in changes if change.action in ("delete", "replace")}
    gone = {change.key.name for change in changes if change.action == "delete" and change.key.kind == "namespace"}
    leaving |= {key for key in taken.values() if key.scope != HOST and key.scope in gone}
    for change in changes:
        if change.action not in ("create", "replace"):
            continue
        for where in BY_NAME[change.key.kind].links(change.after):
            key = taken.get(where)
            if key is None or key == change.key or key in leaving:
                continue
            owner = live[key].owner
            whose = f"belongs to topology {owner}" if owner not in (NOBODY, KERNEL, UNKNOWN) else "is not netrecon's"
            text = f"{where[1]} in {where[0]} exists as a {key.kind} that {whose}; remove or rename it"
            yield _problem(change.key, desired[change.key], text)


def _published_elsewhere(desired: DesiredObjects, live: LiveObjects, topologies: frozenset[str]) -> Iterator[Problem]:
    """Ports that overlap what a topology of another run publishes under another key: 0.0.0.0:80 and 127.0.0.1:80."""
    taken = port_map.Listens()
    others = [(key, held) for key, held in live.items() if key.kind == "port_map" and held.owner not in topologies]
    for key, held in others:
        if key not in desired:
            taken.add(held.object, held.owner)
    told: set[object] = set()
    for key, wanted in desired.items() if others else ():
        other = taken.add(wanted.object, wanted.owner) if key.kind == "port_map" else None
        if other is not None and other[1] not in topologies and wanted.origin not in told:
            told.add(wanted.origin)  # once for a range
            there = port_map.key_of("", other[0].protocol, other[0].listen, other[0].port).name
            yield _problem(key, wanted, f"{key.name} overlaps {there}, which topology {other[1]} publishes")


def _no_such_sysctl(changes: list[Change], desired: DesiredObjects) -> Iterator[Problem]:
    """Settings that are not there and that nothing in the plan brings along."""
    made = {change.key for change in changes if change.action in ("create", "replace")}
    links = {where for key in made for where in BY_NAME[key.kind].links(desired[key].object)}
    for key in sorted(key for key in made if key.kind == "sysctl" and key.name.startswith(sysctl.BUILT_IN)):
        if namespace.key_of(key.scope) not in made and (key.scope, sysctl.link_of(key.name)) not in links:
            yield _problem(key, desired[key], f"the kernel has no setting {key.name} in {key.scope}")
