"""Finds the entry of a change that is in no file any more, by where its object lies."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from reconciler.cli.plans.entry import Entry, entry_at, gone
from reconciler.kinds import BY_NAME, having
from reconciler.kinds.grounds import Place
from reconciler.model.changes import KERNEL, Change
from reconciler.model.keys import HOST, Key
from reconciler.planning.intent import Planned

_ADMITS, _HOLDS = having(lambda kind: kind.admits), having(lambda kind: kind.holds)
_SENDS, _CONNECTS = having(lambda kind: kind.sends), having(lambda kind: kind.connects)


class Homes:
    """The entries by scope, link, address and subnet; each index is made when it is first asked."""

    def __init__(self, planned: Planned) -> None:
        self._planned = planned

    def of(self, change: Change) -> Entry:
        """The entry in which its object lies, or one of its own."""
        key, value = change.key, change.before if change.before is not None else change.after
        inner = self._spaces.get(key.home)
        if inner is not None or key.scope != HOST:
            return inner or gone(key, change.owner)
        near = self._ends(key, value) if key.kind in _SENDS else self._near(key, value, change.owner)
        return near or gone(key, change.owner)

    def _near(self, key: Key, value: Any, owner: str) -> Entry | None:
        """The namespace in which its other end is, a deleted one before others; else the link that it lies on."""
        kind = BY_NAME[key.kind]
        links = tuple(kind.links(value))
        inner = [self._spaces[scope] for scope, _ in links if scope in self._spaces]
        for entry in inner:
            if not entry.file:
                return entry
        if inner:
            return inner[0]
        if key.kind in _ADMITS:
            return _apart(self._at((key.scope, _ADMITS[key.kind](value)[0]), owner))
        found = (self._at(place, owner) for place in (*links, *kind.lies_on(value)))
        return next((entry for entry in found if entry is not None), None)

    def _at(self, place: Place, owner: str) -> Entry | None:
        """The entry of a link: the one of ``owner``, else of the topology that makes it."""
        return self._links.get((place, owner)) or self._links.get((place, ""))

    def _ends(self, key: Key, value: Any) -> Entry | None:
        """The entry of the address or subnet that its packets go to or come from."""
        return _apart(self._addresses.get(_SENDS[key.kind](value)))

    @cached_property
    def _spaces(self) -> dict[str, Entry]:
        """The namespaces; those that are deleted are entries of their own."""
        desired = self._planned.intent.desired.items()
        spaces = {key.name: Entry(*entry_at(one.origin, one.owner)) for key, one in desired if key.kind == "namespace"}
        going = [one for one in self._planned.changes if one.action == "delete" and one.key.kind == "namespace"]
        return spaces | {change.key.name: gone(change.key, change.owner) for change in going}

    @cached_property
    def _links(self) -> dict[tuple[Place, str], Entry]:
        """By link and topology, and by link and "" those of the topologies that make them."""
        links: dict[tuple[Place, str], Entry] = {}
        for key, one in self._planned.intent.desired.items():
            for place in BY_NAME[key.kind].links(one.object):
                entry = links[place, one.owner] = Entry(*entry_at(one.origin, one.owner))
                if not BY_NAME[key.kind].existing:
                    links[place, ""] = entry
        for change in self._planned.changes:
            for place in BY_NAME[change.key.kind].links(change.before) if change.action == "delete" else ():
                links.setdefault((place, ""), self._spaces.get(place[0]) or gone(change.key, change.owner))
        return links

    @cached_property
    def _addresses(self) -> dict[str, Entry]:
        """The entries of the addresses, and of the subnets of the host, desired and live."""
        found: dict[str, Entry] = {}
        for key, value, owner in self._objects():
            if key.kind in _HOLDS:
                link, address = _HOLDS[key.kind](value)
                entry = self._spaces.get(key.scope) or self._at((key.scope, link), owner)
                if entry is not None:
                    found.setdefault(address, entry)
                    if key.scope == HOST and key.kind in _CONNECTS:
                        found.setdefault(_CONNECTS[key.kind](value)[0], entry)
        return found

    def _objects(self) -> Iterable[tuple[Key, Any, str]]:
        yield from ((key, one.object, one.owner) for key, one in self._planned.intent.desired.items())
        yield from ((key, one.object, one.owner) for key, one in self._planned.live.items() if one.owner != KERNEL)


def _apart(entry: Entry | None) -> Entry | None:
    """The entry, if what goes can have come from it: at level one it was an entry of its own."""
    return entry if entry is not None and (not entry.file or entry.level_two) else None
