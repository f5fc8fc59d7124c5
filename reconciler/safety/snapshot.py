"""What a run could destroy, as it was before, and the changes that lead back to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.kinds import BY_NAME, NFT
from reconciler.model.changes import KERNEL, NOBODY, Change, Desired, Live
from reconciler.model.data import dataclass
from reconciler.model.keys import HOST, NO_ORIGIN, Key
from reconciler.planning.diff import LiveObjects, absorbed, differences, way
from reconciler.planning.intent import Planned
from reconciler.safety import codec

# Routes that the kernel makes by itself (RTPROT_REDIRECT, _KERNEL, _RA): they come back with what they follow from.
KERNELS_ROUTES = (1, 2, 9)


@dataclass(frozen=True, slots=True)
class Kept:
    """One object before the run: ``held`` None where there was none; then ``made`` is what the run makes there."""

    held: Live | None
    made: Any
    owner: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a plan touches or may take along, and through whose eyes it was read (see state.View)."""

    topologies: frozenset[str]
    relaxed: frozenset[str]
    entries: Mapping[Key, Kept]

    @property
    def scopes(self) -> frozenset[str]:
        """The namespaces that it speaks of, without the host."""
        named = {key.name for key in self.entries if key.kind == "namespace"}
        return frozenset(named | {key.scope for key in self.entries if key.scope != HOST})

    @property
    def wanted(self) -> dict[Key, Desired]:
        """The entries as a reading wants them, so that it finds the same objects under the same keys."""
        found = ((key, entry, entry.held.object if entry.held else entry.made) for key, entry in self.entries.items())
        return {key: Desired(held, entry.owner, NO_ORIGIN) for key, entry, held in found if held is not None}


# ------------------------------------------------------------------------------------------------ take


def take(planned: Planned) -> Snapshot:
    """The snapshot of a plan.

    Where links or addresses change, all that is in the scope belongs to it but for nftables and files: a route
    goes with its address, a port with its bridge.  What is only made has nothing to lose.
    """
    born = {c.key.name for c in planned.changes if c.key.kind == "namespace" and c.action == "create"}
    entries = {change.key: _entry(change, planned.live, born) for change in planned.changes}
    stirred = {scope for change in planned.changes for scope in _stirred(change)} - born
    for key, held in planned.live.items() if stirred else ():
        if key not in entries and key.scope in stirred and key.kind not in NFT and key.kind != "dns_file":
            entries[key] = Kept(held, None, held.owner)
    return Snapshot(planned.intent.names, planned.intent.relaxed, entries)


def _entry(change: Change, live: LiveObjects, born: set[str]) -> Kept:
    held = None if change.key.scope in born else live.get(change.key)
    if held is None:
        return Kept(None, None if change.key.kind in NFT else change.after, change.owner)
    if change.action == "delete" and change.key.kind == "namespace":
        held = dataclasses.replace(held, object=dataclasses.replace(held.object, parked=True))
    return Kept(held, None, change.owner)


def _stirred(change: Change) -> Iterator[str]:
    """The scopes in which a change may take along more than its own object."""
    if change.action in ("create", "adopt") or change.before is None:
        return
    places = list(BY_NAME[change.key.kind].links(change.before))
    if places or change.key.kind == "address":
        yield change.key.scope
        yield from (scope for scope, _ in places)


def lost_links(planned: Planned) -> Iterator[tuple[str, str]]:
    """The links, as (scope, name), that the plan takes away: their settings under /proc/sys go with them."""
    for change in planned.changes:
        if change.action in ("delete", "replace") and change.before is not None:
            yield from BY_NAME[change.key.kind].links(change.before)


def upset(planned: Planned) -> dict[str, set[str]]:
    """By scope, the settings that the kernel may write by itself with those that the plan writes."""
    found: dict[str, set[str]] = {}
    for change in planned.changes:
        scope = planned.found.scopes.get(change.key.scope)
        if scope is None:  # it is made by the plan
            continue
        links = [row.name for row in scope.links.values()]
        for key in BY_NAME[change.key.kind].upsets(change.before or change.after, links):
            found.setdefault(key.scope, set()).add(key.name)
    return found


def edited_tables(planned: Planned) -> Iterator[Key]:
    """The nftables tables that objects alone would not bring back to the letter."""
    for change in planned.changes:
        if change.key.kind == "nft_table" and change.before is not None:
            yield change.key


def with_settings(snapshot: Snapshot, settings: Mapping[tuple[str, str], str]) -> Snapshot:
    """The snapshot with settings, (scope, sysctl) -> value, that links had."""
    sysctl = BY_NAME["sysctl"].form
    entries = dict(snapshot.entries)
    for (scope, name), value in settings.items():
        entries.setdefault(Key("sysctl", scope, name), Kept(Live(sysctl(scope, name, value), ""), None, ""))
    return dataclasses.replace(snapshot, entries=entries)


def with_tables(snapshot: Snapshot, tables: Mapping[Key, str]) -> Snapshot:
    """The snapshot with the text of tables."""
    entries = dict(snapshot.entries)
    for key, text in tables.items():
        entry = entries[key]
        if entry.held is not None:
            held = dataclasses.replace(entry.held, object=dataclasses.replace(entry.held.object, text=text))
            entries[key] = dataclasses.replace(entry, held=held)
    return dataclasses.replace(snapshot, entries=entries)


# ------------------------------------------------------------------------------------------------ go back


def undo(snapshot: Snapshot, live: LiveObjects) -> list[Change]:
    """The changes that lead from live back to the snapshot.

    A namespace that comes back brings its content along, so nothing else is planned before it is there.
    """
    spaces = [key for key in snapshot.entries if key.kind == "namespace"]
    returning = [key for key in spaces if snapshot.entries[key].held and key not in live]
    keys = returning or list(snapshot.entries)
    found = [change for key in keys for change in _back(key, snapshot.entries[key], live.get(key))]
    return list(_without_followers(found, live))


def _back(key: Key, entry: Kept, now: Live | None) -> Iterator[Change]:
    kind, before = BY_NAME[key.kind], entry.held
    if before is None:
        # What bears no stamp somebody else made meanwhile; a setting that a kernel module brought cannot go.
        if now is not None and now.owner not in (NOBODY, KERNEL) and not kind.existing and key.kind != "sysctl":
            yield Change("delete", key, now.object, None, (), "disruptive", entry.owner)
        return
    if now is None:
        if not _comes_by_itself(before):
            yield Change("create", key, None, before.object, (), "none", entry.owner)
        return
    differs = () if before.owner == KERNEL else differences(kind, before.object, now.object)
    restamped = before.owner != KERNEL and kind.stamp(before.object) != kind.stamp(now.object)
    if differs:
        action = way(kind, differs)
        named = differs + (("owner",) if restamped and action == "update" else ())
        yield Change(action, key, now.object, before.object, named, "disruptive", entry.owner)
    elif restamped:
        yield Change("adopt", key, now.object, before.object, (), "none", entry.owner)


def _comes_by_itself(held: Live) -> bool:
    """What the kernel or a daemon puts there again; but a route that DHCP set, say, nobody sets twice."""
    if held.owner != KERNEL:
        return False
    return not isinstance(held.object, BY_NAME["route"].form) or held.object.protocol in KERNELS_ROUTES


def _without_followers(changes: list[Change], live: LiveObjects) -> Iterator[Change]:
    """Leave out what another change does: a namespace or a link that goes, or a table that comes as a whole."""
    gone = [change for change in changes if change.action == "delete"]
    spaces = {change.key.name for change in gone if change.key.kind == "namespace"}
    links = frozenset(where for change in gone for where in BY_NAME[change.key.kind].links(change.before))
    whole = {c.key for c in changes if c.key.kind == "nft_table" and c.after is not None and c.after.text}
    for change in changes:
        held = change.before if change.after is None else change.after
        if change.key.kind in NFT and change.key.kind != "nft_table":
            if Key("nft_table", held.scope, held.table) in whole:
                continue
        elif change.action == "delete" and absorbed(
            change.key, live[change.key], BY_NAME[change.key.kind], spaces, links
        ):
            continue
        yield change


# ------------------------------------------------------------------------------------------------ as data


def to_plain(snapshot: Snapshot) -> dict[str, Any]:
    """The snapshot as what json.dumps takes."""
    entries = []
    for key, entry in snapshot.entries.items():
        held = entry.held and [codec.encode(entry.held.object), entry.held.owner, entry.held.whole]
        entries.append([*key, held, entry.made and codec.encode(entry.made), entry.owner])
    return {"topologies": sorted(snapshot.topologies), "relaxed": sorted(snapshot.relaxed), "entries": entries}


def from_plain(data: Mapping[str, Any]) -> Snapshot:
    """The snapshot that ``to_plain`` was given; ValueError, TypeError, KeyError or IndexError for anything else."""
    entries = {}
    for kind, scope, name, held, made, owner in data["entries"]:
        form = BY_NAME[kind].form
        before = held and Live(codec.decode(form, held[0]), held[1], held[2])
        entries[Key(kind, scope, name)] = Kept(before or None, made and codec.decode(form, made), owner)
    return Snapshot(frozenset(data["topologies"]), frozenset(data["relaxed"]), entries)
