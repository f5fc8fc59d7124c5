"""What the kernel will refuse of a plan on this host, told before anything is changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cached_property
from typing import Any

from reconciler.kinds import BY_NAME, having
from reconciler.model.changes import Change
from reconciler.model.errors import Problem
from reconciler.model.keys import Key
from reconciler.model.rows import LiveState, ScopeState
from reconciler.planning.intent import Planned

_ASKS, _REFUSED = having(lambda kind: kind.asks), having(lambda kind: kind.refused)
_HOLDS, _SETS = having(lambda kind: kind.holds), having(lambda kind: kind.sets)

Settings = Mapping[tuple[str, str], str]  # (scope, sysctl) -> value
Local = Callable[[str, str], bool]  # (scope, address) -> whether the kernel has it


def asked(planned: Planned) -> dict[str, set[str]]:
    """By scope, the sysctls that tell what the kernel will refuse; only of scopes that exist."""
    names: dict[str, set[str]] = defaultdict(set)
    for change in _made(planned):
        if change.key.kind in _ASKS:
            for scope, sysctl in _ASKS[change.key.kind](change):
                if scope in planned.found.scopes:
                    names[scope].add(sysctl)
    return names


def refusals(planned: Planned, settings: Settings, is_local: Local) -> Iterator[Problem]:
    """A problem for each change that the kernel will refuse; equal ones once, with the place of the first."""
    ahead = Host(planned, settings, is_local)
    told: set[str] = set()
    for change in _made(planned):
        text = _REFUSED[change.key.kind](change, ahead) if change.key.kind in _REFUSED else ""
        if text and text not in told:
            told.add(text)
            yield Problem(change.origin, text)


def _made(planned: Planned) -> Iterator[Change]:
    return (change for change in planned.changes if change.action in ("create", "update", "replace"))


class Host:
    """See kinds.ahead.Ahead; indexes are made when a kind asks for them."""

    def __init__(self, planned: Planned, settings: Settings, is_local: Local) -> None:
        self.changes = planned.changes
        self.is_local = is_local
        self.near: dict[Any, Any] = {}
        self._live, self._settings, self._found = planned.live, settings, planned.found

    @property
    def rows(self) -> dict[str, ScopeState]:
        return self._found.scopes

    @property
    def files(self) -> Mapping[tuple[str, str], str]:
        found: LiveState = self._found
        return found.files

    def setting(self, scope: str, sysctl: str) -> str | None:
        return self._settings.get((scope, sysctl))

    def written(self, scope: str, sysctl: str) -> str | None:
        return self._written.get((scope, sysctl))

    @cached_property
    def _written(self) -> dict[tuple[str, str], str]:
        pairs = ((change, _SETS[change.key.kind](change)) for change in self.changes if change.key.kind in _SETS)
        return {(change.key.scope, pair[0]): pair[1] for change, pair in pairs if pair is not None}

    def makes(self, scope: str, link: str) -> bool:
        return (scope, link) in self._made

    @cached_property
    def _made(self) -> frozenset[tuple[str, str]]:
        made = (change for change in self.changes if change.action in ("create", "replace"))
        return frozenset(place for change in made for place in BY_NAME[change.key.kind].links(change.after))

    def addresses(self, scope: str) -> Collection[str]:
        return self._held[1].get(scope, ())

    def deletes(self, scope: str, address: str) -> bool:
        return address in self._held[0].get(scope, ()) and address not in self.addresses(scope)

    @cached_property
    def _held(self) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
        """By scope, the IP addresses before and after the plan."""
        before = {key: entry.object for key, entry in self._live.items() if key.kind in _HOLDS}
        changed = {change.key: change.after for change in self.changes if change.key.kind in _HOLDS}
        after = {key: value for key, value in {**before, **changed}.items() if value is not None}
        return _by_scope(before), _by_scope(after)


def _by_scope(objects: Mapping[Key, object]) -> dict[str, set[str]]:
    held: dict[str, set[str]] = defaultdict(set)
    for key, value in objects.items():
        held[key.scope].add(_HOLDS[key.kind](value)[1])
    return held
