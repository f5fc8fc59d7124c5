"""What changes of objects that are there, on one line each; equal changes of several objects share a line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from reconciler.cli import differences
from reconciler.cli.plans.facts import listed
from reconciler.cli.plans.grouping import Group, plain
from reconciler.cli.shown import sides, value_text
from reconciler.kinds import BY_NAME, KINDS, having
from reconciler.kinds.grounds import Place
from reconciler.model.changes import Change
from reconciler.model.keys import HOST, Key

_SETS, _PORTS = having(lambda kind: kind.sets), having(lambda kind: kind.ports)
_ONE_VALUE = frozenset(kind.name for kind in KINDS if kind.sets or kind.outlives or kind.folded)
_HOLDS, _TELLS = having(lambda kind: kind.holds), having(lambda kind: kind.told)
_LABELS = 3  # objects named on a line
_MAC = (("mac",), ("peer.mac",))

Line = tuple[list[Change], str]


def lines(group: Group, changes: Iterable[Change]) -> Iterator[Line]:
    """The changes that share a line, with its text: ``mtu 1500 → 1400 on br-back and 3 endpoints``."""
    alike: dict[tuple[Any, ...], list[Change]] = {}
    for change in changes:
        what, with_name = _difference(change)
        own = change.key if with_name else None
        alike.setdefault((change.action, change.impact, what, own), []).append(change)
    for (_action, _impact, what, own), listed_changes in alike.items():
        yield listed_changes, _named(group, own, what) if own else f"{what}{_on(group, listed_changes)}"


def exchanged(
    group: Group, going: Sequence[Change], coming: Sequence[Change], changes: Sequence[Change]
) -> Iterator[Line]:
    """An address in place of the only other one of its link that goes, with the MAC address that follows from it."""
    old, new = _by_place(going), _by_place(coming)
    for place, (before, text) in old.items():
        after, now = new.get(place, (None, ""))
        if before is None or after is None:
            continue
        macs = [one for one in changes if one.action == "update" and one.differs in _MAC and place[0] in _places(one)]
        mac = " with its MAC address" if macs else ""
        on = "" if place[0] == (HOST, group.name) else f" on {place[0][1]}"
        yield [before, after, *macs], f"{text} → {now}{mac}{on}"


def _by_place(changes: Iterable[Change]) -> dict[tuple[Place, bool], tuple[Change | None, str]]:
    """By link and family the change of its address and its text; None where there are several."""
    found: dict[tuple[Place, bool], tuple[Change | None, str]] = {}
    for change in changes:
        if change.key.kind in _HOLDS:
            value = change.before or change.after
            link, address = _HOLDS[change.key.kind](value)
            ((_, text),) = _TELLS[change.key.kind](value, False)
            at = (change.key.scope, link), ":" in address
            found[at] = (None, "") if at in found else (change, text)
    return found


def _places(change: Change) -> tuple[Place, ...]:
    return tuple(BY_NAME[change.key.kind].links(change.after))


def _difference(change: Change) -> tuple[str, bool]:
    """What changes, and whether the name of the object comes first: of what has one value only."""
    texts = list(differences.pairs(*_without_implied(*_sides(change))))
    words = dict.fromkeys(word for word, _ in texts)
    if change.key.kind in _ONE_VALUE and words.keys() == BY_NAME[change.key.kind].shown(change.after).keys():
        return listed([text for _, text in texts]), True
    by_word = {word: listed([text for other, text in texts if other == word]) for word in words}
    alike = {text: [word for word, other in by_word.items() if other == text] for text in by_word.values()}
    return listed([f"{listed(same)} {text}" for text, same in alike.items()]), False


def _without_implied(before: dict[str, Any], after: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Without attributes that the object has only because another one changes: hairpin of what becomes a port."""
    new = {word for word, old in before.items() if old is None and after.get(word) is not None}
    if len(new) == len(before):
        return before, after
    return (
        {word: old for word, old in before.items() if word not in new},
        {word: value for word, value in after.items() if word not in new},
    )


def _sides(change: Change) -> tuple[dict[str, Any], dict[str, Any]]:
    if change.action in ("update", "replace") and "owner" not in change.differs:
        pairs = plain(change)
        return {word: old for word, (old, _) in pairs.items()}, {word: new for word, (_, new) in pairs.items()}
    before, after = sides(change)
    return before or {}, after or {}


def back(group: Group, change: Change) -> str:
    """What the deletion of a setting writes: ``net.ipv4.ip_forward 1 → 0``; "" for any other change."""
    setting = _SETS[change.key.kind](change) if change.action == "delete" and change.key.kind in _SETS else None
    if setting is None:
        return ""
    old = ", ".join(value_text(value) for value in BY_NAME[change.key.kind].shown(change.before).values())
    return _named(group, change.key, f"{old} → {setting[1]}, as before netrecon")


def _named(group: Group, key: Key, what: str) -> str:
    return what if _is_entry(group, key) else f"{name_of(key)} {what}"


def _is_entry(group: Group, key: Key) -> bool:
    """Whether the entry is the object itself, so that its line names it."""
    return key.name == group.name and group.entry.path[0] in BY_NAME[key.kind].sections


def _on(group: Group, changes: Sequence[Change]) -> str:
    if len(changes) == 1:
        key = changes[0].key
        return "" if _is_entry(group, key) else f" on {name_of(key)}"
    ports = [change for change in changes if change.key.kind in _PORTS]
    others = [name_of(change.key) for change in changes if change.key.kind not in _PORTS]
    if len(ports) > 1 and others:
        word = "endpoints" if group.entry.path[0] == "networks" else "ports"
        return f" on {listed(others)} and {len(ports)} {word}"
    return f" on {listed([name_of(change.key) for change in changes], most=_LABELS)}"


def name_of(key: Key) -> str:
    """An object in words: ``route main/default``; a link, a setting and a file by their own name."""
    kind = BY_NAME[key.kind]
    plain_name = kind.has_ends or key.kind in _SETS or kind.outlives
    return key.name if plain_name else f"{key.kind.replace('_', ' ')} {key.name}"
