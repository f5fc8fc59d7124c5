"""Finds what other topologies have on the links and namespaces that a plan deletes: they cannot do without them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from reconciler.kinds import BY_NAME
from reconciler.kinds.context import Names
from reconciler.model.changes import KERNEL, NOBODY, UNKNOWN, Change, Live
from reconciler.model.data import NamedTuple
from reconciler.model.errors import Problem
from reconciler.model.keys import Key
from reconciler.planning.plan import live_names

LISTED = 6  # objects named of each topology


class Use(NamedTuple):
    """A deletion, and by topology the objects of others that need what it deletes."""

    change: Change
    users: Mapping[str, list[Key]]

    @property
    def problem(self) -> Problem:
        """The refusal of the deletion."""
        key, owner = self.change.key, self.change.owner
        whose = " and of ".join(f"topology {name}: {_listed(keys)}" for name, keys in sorted(self.users.items()))
        names = ", ".join(sorted(self.users))
        text = f"{key.name} belongs to topology {owner} and is used by objects of {whose}"
        return Problem(
            self.change.origin, f"{text}; delete {names} before it or together with it, or give --force", key
        )


def of(changes: Iterable[Change], live: Mapping[Key, Live], topologies: frozenset[str]) -> list[Use]:
    """The deletions of the plan that take a link or a namespace from another topology."""
    going = {change.key: change for change in changes if change.action == "delete" and _can_be_used(change)}
    others = {key: one for key, one in live.items() if one.owner not in {*topologies, NOBODY, KERNEL, UNKNOWN}}
    if not going or not others:
        return []
    names = live_names(live)
    users: dict[Key, dict[str, list[Key]]] = defaultdict(lambda: defaultdict(list))
    for key, entry in others.items():
        for needed in {*_needed(key, entry, names)} & going.keys():
            users[needed][entry.owner].append(key)
    return [Use(going[key], users[key]) for key in going if key in users]


def _can_be_used(change: Change) -> bool:
    return change.key.kind == "namespace" or any(BY_NAME[change.key.kind].links(change.before))


def _needed(key: Key, entry: Live, names: Names) -> Iterator[Key]:
    """The keys of what an object needs, lies on or names."""
    kind = BY_NAME[key.kind]
    yield from kind.needs(entry.object, names)
    for place in (*kind.lies_on(entry.object), *kind.mentions(entry.object)):
        if place in names.links:
            yield names.links[place]


def _listed(keys: list[Key]) -> str:
    rest = len(keys) - LISTED
    return ", ".join(map(str, sorted(keys)[:LISTED])) + (f" and {rest} more" if rest > 0 else "")
