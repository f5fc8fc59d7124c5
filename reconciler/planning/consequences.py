"""The objects that the kernel deletes because of a plan's changes, and the measures that save those of others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any

from reconciler.kinds import BY_NAME, RANK, having
from reconciler.kinds.grounds import Ground, Place, Taking
from reconciler.model.changes import KERNEL, NOBODY, UNKNOWN, Change, Live
from reconciler.model.data import dataclass, field
from reconciler.model.errors import Problem
from reconciler.model.keys import HOST, Key

LiveObjects = Mapping[Key, Live]
Settings = Mapping[tuple[str, str], str]  # (scope, sysctl) -> value

_UNKNOWN: Settings = MappingProxyType({})
_GOING = ("delete", "replace")
# The grounds that end on a link that is set down, or whose MTU falls below what IPv6 needs.
_PARTS = {"down": ("ipv4", "ipv6", "neighbours", "proxies"), "narrow": ("ipv6",)}

# The grounds with which objects of kinds with Kind.aside are lost, beside a namespace.
_TAKE_ASIDE = frozenset({"device", "down", "narrow", "ipv6", "neighbours"})

_TAKES = having(lambda kind: kind.takes)
_GOES_LAST = having(lambda kind: kind.goes_last)
_DURING = having(lambda kind: kind.during)
_SETS = having(lambda kind: kind.sets)


@dataclass(frozen=True, slots=True)
class Loss:
    """An object that the kernel deletes because of a change of another object.

    ``ground`` is the ground that it loses, ``cause`` the key of the change; ``late``: only after all creations of the
    plan.
    """

    live: Live
    ground: Ground
    cause: Key
    late: bool


class Standing:
    """The live objects by the grounds that they need: one index for all that one look asks."""

    def __init__(self, live: dict[Key, Live]) -> None:
        self.live = live

    def on(self, ground: Ground) -> Sequence[Key]:
        """The keys of the objects that need a ground."""
        return self._index.get(ground, ())

    def add(self, objects: Mapping[Key, Live]) -> None:
        """More live objects, read later than the others."""
        index = self._index
        for ground, keys in _by_ground({key: entry for key, entry in objects.items() if key not in self.live}).items():
            index[ground] += keys
        self.live.update(objects)

    @cached_property
    def _index(self) -> dict[Ground, list[Key]]:
        return _by_ground(self.live)


def _by_ground(objects: LiveObjects) -> dict[Ground, list[Key]]:
    index: dict[Ground, list[Key]] = defaultdict(list)
    for key, entry in objects.items():
        for ground in grounds(key, entry.object):
            index[ground].append(key)
    return index


class Consequences:
    """Everything lost because of the changes, at any depth: a VLAN on a macvlan on a bridge, its addresses, routes.

    ``losses`` are the objects lost, by key.  ``taken`` maps each ground that ends to the key of the change that takes
    it, ``lasting`` are those that end for good.  ``values`` are live sysctls; an unknown one counts as a match.
    """

    def __init__(self, changes: Sequence[Change], standing: Standing, values: Settings = _UNKNOWN) -> None:
        self._standing, self._live = standing, standing.live
        self._replaced = {change.key for change in changes if change.action == "replace"}
        self._last = goes_last(changes, self._live)
        self.losses: dict[Key, Loss] = {}
        self.taken: dict[Ground, Key] = {}
        self.lasting: set[Ground] = set()
        for taking in sorted(takings(changes, self._live), key=lambda one: (one.cause in self._last, not one.lasting)):
            if taking.only is None or values.get(taking.only[:2], taking.only[2]) == taking.only[2]:
                self._take(taking)

    def _take(self, taking: Taking) -> None:
        waiting = [taking.ground]
        while waiting:
            ground = waiting.pop()
            if taking.lasting:
                self.lasting.add(ground)
            if ground not in self.taken:
                self.taken[ground] = taking.cause
                waiting += self._parts(ground)
                for key in self._standing.on(ground):
                    waiting += self._lose(key, ground, taking.cause)

    def _parts(self, ground: Ground) -> Iterator[Ground]:
        """The grounds that end with this one: on the same link, and on the links that lie on it and follow it."""
        if ground.what in _PARTS:
            yield from (Ground(what, ground.scope, ground.name) for what in _PARTS[ground.what])
            for key in self._standing.on(Ground("device", ground.scope, ground.name)):
                kind, value = BY_NAME[key.kind], self._live[key].object
                if ground.what in kind.follows(value):
                    yield from (Ground(ground.what, *place) for place in kind.links(value))

    def _lose(self, key: Key, ground: Ground, cause: Key) -> Iterator[Ground]:
        if key not in self.losses and key not in self._replaced:
            self.losses[key] = Loss(self._live[key], ground, cause, cause in self._last)
            yield from (Ground("device", *place) for place in BY_NAME[key.kind].links(self._live[key].object))

    @cached_property
    def gone(self) -> frozenset[Place]:
        """The links that are deleted."""
        return frozenset((ground.scope, ground.name) for ground in self.taken if ground.what == "device")

    def absorbs(self, change: Change) -> bool:
        """Whether a deletion needs no request: the kernel deletes the object with its link or its namespace.

        A link with an end outside of the deleted namespace needs a request: a process may keep the namespace alive.
        """
        return any(
            ground in self.taken
            and (ground.what == "device" or all(self._goes(scope) for scope, _ in _links(change.key, change.before)))
            for ground in grounds(change.key, change.before)
            if ground.what in ("device", "scope")
        )

    def _goes(self, scope: str) -> bool:
        return Ground("scope", HOST, scope) in self.taken


def grounds(key: Key, value: Any) -> list[Ground]:
    """All grounds that an object needs: its namespaces, the links that it lies on, and those of its kind."""
    kind = BY_NAME[key.kind]
    places = [*kind.lies_on(value)]
    needed = [Ground("device", *place) for place in places]
    if not kind.outlives:
        places += kind.links(value)
        needed += [Ground("scope", HOST, name) for name in {key.scope, *[name for name, _ in places]} if name != HOST]
    needed += kind.stands_on(value)
    return needed


def takings(changes: Sequence[Change], live: LiveObjects) -> Iterator[Taking]:
    """The grounds that changes take directly: namespaces, links, and those that the kinds return."""
    for change in changes:
        if change.action in _GOING:
            if change.key.kind == "namespace":
                yield Taking(Ground("scope", HOST, change.key.name), change.key)
            yield from (Taking(Ground("device", *place), change.key) for place in _links(change.key, change.before))
    by_kind = _by_kind(changes, _TAKES)
    for kind, listed in by_kind.items():
        yield from _TAKES[kind](listed, live)


def goes_last(changes: Sequence[Change], live: LiveObjects) -> set[Key]:
    """The keys of the deletions that run after all creations, so that no object that needs them is lost."""
    by_kind = _by_kind(changes, _GOES_LAST)
    return {key for kind, listed in by_kind.items() for key in _GOES_LAST[kind](listed, live)}


def _by_kind(changes: Iterable[Change], kinds: Collection[str]) -> dict[str, list[Change]]:
    by_kind: dict[str, list[Change]] = defaultdict(list)
    for change in changes:
        if change.key.kind in kinds:
            by_kind[change.key.kind].append(change)
    return by_kind


def _links(key: Key, value: Any) -> Iterable[Place]:
    return BY_NAME[key.kind].links(value)


# ------------------------------------------------------------------------------------------------ what must be read


@dataclass(frozen=True, slots=True)
class Unread:
    """What must be read from the kernel only for some plans.

    ``aside``: the scopes where objects of kinds with Kind.aside may be deleted; ``going``: those that are deleted.
    ``sysctls`` are names of sysctls by scope.  ``uppers``: read the links of other namespaces that lie on ours.
    """

    aside: frozenset[str] = frozenset()
    going: frozenset[str] = frozenset()
    sysctls: Mapping[str, frozenset[str]] = field(default_factory=dict)
    uppers: bool = False


def unread(changes: Sequence[Change], live: LiveObjects) -> Unread | None:
    """What must be read to know the consequences of these changes; None for nothing."""
    listed = list(takings(changes, live))
    taken = [taking.ground for taking in listed]
    settings: dict[str, set[str]] = defaultdict(set)
    for taking in listed:
        if taking.only is not None:
            settings[taking.only[0]].add(taking.only[1])
    for key, name, _ in _during(changes, live):
        settings[key.scope].add(name)
    if not (taken or settings):
        return None
    going = frozenset(ground.name for ground in taken if ground.what == "scope")
    return Unread(
        frozenset(ground.scope for ground in taken if ground.what in _TAKE_ASIDE) | going,
        going,
        {scope: frozenset(names) for scope, names in settings.items()},
        any(ground.what in ("device", "narrow") for ground in taken),
    )


def _during(changes: Sequence[Change], live: LiveObjects) -> Iterator[tuple[Key, str, str]]:
    for kind, listed in _by_kind(changes, _DURING).items():
        yield from _DURING[kind](listed, live)


# ------------------------------------------------------------------------------------------------ what is done about it


@dataclass(frozen=True, slots=True)
class Setting:
    """A sysctl that holds while a change is made, and is then put back."""

    scope: str
    key: str
    meanwhile: str
    before: str


@dataclass(frozen=True, slots=True)
class Measures:
    """How a plan keeps the objects of others.

    ``restored`` are changes that restore objects after the plan.
    ``gone`` are the objects of others that are lost: those of daemons on a deleted link, and all that --force accepts.
    ``settings`` are sysctls to hold while a change runs, by the key of that change.
    ``taken`` are all consequences; ``anew`` are the links that are deleted and may be created again.
    """

    restored: tuple[Change, ...] = ()
    gone: tuple[Key, ...] = ()
    settings: Mapping[Key, Sequence[Setting]] = field(default_factory=dict)
    taken: Consequences | None = None
    anew: frozenset[Place] = frozenset()

    def loss(self, key: Key) -> Loss:
        """The loss of an object that is in ``restored`` or ``gone``."""
        assert self.taken is not None
        return self.taken.losses[key]


NO_MEASURES = Measures()


def spares_others(taken: Consequences, topologies: Collection[str]) -> bool:
    """Whether nothing of others is lost."""
    return not any(_counts(key, loss, topologies) for key, loss in taken.losses.items())


def measures(
    changes: Sequence[Change],
    standing: Standing,
    topologies: Collection[str],
    values: Settings,
    force: bool = False,
    known: Consequences | None = None,
) -> tuple[Measures, list[Problem]]:
    """The measures that save the objects of others, and a problem for each one that cannot be saved.

    ``values`` are the live sysctls named by ``unread``.  With ``force``, an object that cannot be saved is listed in
    ``gone`` and is no problem.  ``known`` are the consequences if they were computed before.
    """
    taken, live = known or Consequences(changes, standing, values), standing.live
    planned = {change.key: change for change in changes}
    losses = taken.losses.items()
    foreign = {key: loss for key, loss in losses if key not in planned and _counts(key, loss, topologies)}
    restored: list[Change] = []
    gone: list[Key] = []
    problems: list[Problem] = []
    after = Afterwards(changes, live, taken) if foreign else None
    for key in sorted(foreign, key=lambda key: (RANK[key.kind], key)):
        loss, kind = foreign[key], BY_NAME[key.kind]
        value = loss.live.object
        if after is not None and _stays(key, taken) and kind.returns is not None and kind.returns(value, after):
            after.put_back(key, value)
            restored.append(Change("restore", key, value, value, (), "none", loss.live.owner))
        elif force or kind.harmless or _goes_with_its_link(loss):
            gone.append(key)
        else:
            problems.append(Problem(planned[loss.cause].origin, _refusal(key, loss), key))
    anew = {place for change in changes if change.action in _GOING for place in _links(change.key, change.before)}
    settings = _settings(changes, live, values)
    return Measures(tuple(restored), tuple(gone), settings, taken, frozenset(anew)), problems


def _stays(key: Key, taken: Consequences) -> bool:
    """Whether the namespace of an object is there when all is done."""
    return Ground("scope", HOST, key.scope) not in taken.taken


def _settings(changes: Sequence[Change], live: LiveObjects, values: Settings) -> dict[Key, list[Setting]]:
    """What holds while a change is made; a setting that the plan itself writes is left as it writes it."""
    settings: dict[Key, list[Setting]] = defaultdict(list)
    going = {change.key for change in changes if change.action in _GOING} - goes_last(changes, live)
    written = dict(_written(changes))
    for key, name, value in _during(changes, live):
        before = values.get((key.scope, name), value)
        if key not in going:
            before = written.get((key.scope, name), before)
        if before != value:
            settings[key].append(Setting(key.scope, name, value, before))
    return settings


def _written(changes: Iterable[Change]) -> Iterator[tuple[tuple[str, str], str]]:
    """The settings that the plan itself writes, as (scope, sysctl), with their values."""
    for kind, listed in _by_kind(changes, _SETS).items():
        for change in listed:
            setting = _SETS[kind](change)
            if setting is not None:
                yield (change.key.scope, setting[0]), setting[1]


def _counts(key: Key, loss: Loss, topologies: Collection[str]) -> bool:
    """Whether an object must not be lost: no topology of this run owns it, and it does not come back by itself."""
    kind, entry = BY_NAME[key.kind], loss.live
    if entry.owner in topologies:
        return kind.existing and kind.put_back is not None  # a neighbour on a link of ours: no file can declare it
    if entry.owner == KERNEL:
        return loss.ground.what == "learned" or not kind.comes_back(entry.object)
    return entry.owner != UNKNOWN


def _goes_with_its_link(loss: Loss) -> bool:
    """Whether an object of the kernel or of a daemon is lost because its link, its namespace or IPv6 on it ends."""
    return loss.live.owner == KERNEL and loss.ground.what in ("device", "scope", "ipv6")


def _refusal(key: Key, loss: Loss) -> str:
    owner = loss.live.owner
    whose = f"belongs to topology {owner}" if owner not in (NOBODY, KERNEL, UNKNOWN) else "is not netrecon's"
    name = loss.ground.name
    why = {
        "device": f"it lies on {name}",
        "scope": f"it is in namespace {name}",
        "ipv4": f"{name} would have no IPv4 address, or be down",
        "ipv6": f"{name} would be without IPv6",
        "source": f"its source is {name}",
        "learned": f"{name} learned it from a router, and routers do not learn",
    }.get(loss.ground.what, f"it needs {name}")
    do = {"learned": f"set accept_ra of {name} to 2"}.get(loss.ground.what, "move it away first")
    return f"{key} {whose} and would be lost with {loss.cause}: {why}; {do}, or give --force"


def _only_configured(key: Key, entry: Live, gone: Collection[Place]) -> bool:
    """Whether it is what a topology configures of a link that is deleted."""
    return BY_NAME[key.kind].existing and any(place in gone for place in BY_NAME[key.kind].links(entry.object))


class Afterwards:
    """The objects after a plan, without those that are lost (see kinds.grounds.After)."""

    def __init__(self, changes: Sequence[Change], live: LiveObjects, taken: Consequences) -> None:
        self.lasting: Collection[Ground] = taken.lasting
        gone = {change.key for change in changes if change.action == "delete"} | taken.losses.keys()
        gone |= {key for key, entry in live.items() if _only_configured(key, entry, taken.gone)}
        objects = {key: entry.object for key, entry in live.items() if key not in gone}
        objects |= {change.key: change.after for change in changes if change.after is not None}
        self.objects: dict[Key, Any] = objects
        self.links = {place: entry for key, entry in objects.items() for place in _links(key, entry)}
        self._by_scope: dict[tuple[str, str], list[Any]] = defaultdict(list)
        for key, entry in objects.items():
            self._by_scope[key.scope, key.kind].append(entry)

    def of(self, scope: str, kind: str) -> Iterable[Any]:
        return self._by_scope.get((scope, kind), ())

    def put_back(self, key: Key, value: Any) -> None:
        """Add a restored object: objects that are restored later may need it."""
        self.objects[key] = value
        self._by_scope[key.scope, key.kind].append(value)
