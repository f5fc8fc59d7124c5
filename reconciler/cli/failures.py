"""What an apply that failed tells people: equal failures once with a count, each with its place, reason and hint."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from typing import Any

from reconciler.cli.shown import HINTS, sides, value_text
from reconciler.kinds import having
from reconciler.model.changes import Change
from reconciler.model.errors import Failure
from reconciler.planning.apply import Blocked, Failed

# errno where the values are at fault: EINVAL, ERANGE, EOPNOTSUPP
_OF_VALUES = frozenset({22, 34, 95})
# errno where the kernel lacks a feature: EPROTONOSUPPORT, EOPNOTSUPP, EAFNOSUPPORT; of nftables also ENOENT
_LACKING, _NO_EXPRESSION = frozenset({93, 95, 97}), 2
_FEATURES, _IN_TABLES = having(lambda kind: kind.features), having(lambda kind: kind.transaction)
_LISTED = 5  # attributes named in one line


def hint(change: Change, failure: Failure) -> str:
    """What to do about the failure, "" where the kernel's words say all; it names the attributes that were sent."""
    expression = failure.errno == _NO_EXPRESSION and change.key.kind in _IN_TABLES
    if failure.errno in _LACKING or expression:
        text, words = HINTS[errno.EOPNOTSUPP], _suspects(change) or _sent(change)
    else:
        text = HINTS.get(failure.errno, "")
        words = _sent(change) if text and failure.errno in _OF_VALUES else []
        if failure.errno == errno.EINVAL and len(words) == 1:
            text = "the kernel does not take this value"
    return f"{text} ({', '.join(words[:_LISTED])}{', ...' * (len(words) > _LISTED)})" if words else text


def _suspects(change: Change) -> list[str]:
    """The attributes sent that not every kernel has, each with its option; where there is none, those of the kind."""
    features = _FEATURES.get(change.key.kind, {})
    if change.action == "update":
        return [f"{word}: {features[word]}" for word in change.differs if word in features]
    _before, after = sides(change)
    words = [word for word, value in (after or {}).items() if word in features and value is not None]
    own = [features[one] for one in ("", ":") if one in features and one in change.key.name]
    return [f"{word}: {features[word]}" for word in words] or own


def _sent(change: Change) -> list[str]:
    """The attributes that the change sets: of a new object those that have a value, else those that differ."""
    if change.action == "update":
        return list(change.differs)
    _before, after = sides(change)
    return [word for word, value in (after or {}).items() if word != "up" and value not in (None, "", (), [], False)]


def failed_lines(failed: Iterable[Failed]) -> Iterator[str]:
    """A line for the failures of each action, kind, errno and text: the first one, and how many more there are."""
    groups: dict[tuple[Any, ...], list[Failed]] = {}
    for one in failed:
        groups.setdefault((one.change.action, one.change.key.kind, one.failure), []).append(one)
    for first, *more in groups.values():
        advice = hint(first.change, first.failure)
        line = f"failed: {first.change.action} {_named(first.change)}: {first.failure}" + f"; {advice}" * bool(advice)
        yield line + _and_more(len(more), "the same way")


def blocked_lines(blocked: Iterable[Blocked]) -> Iterator[str]:
    """A line for the changes that were not tried because of the same failure."""
    groups: dict[Any, list[Blocked]] = {}
    for one in blocked:
        groups.setdefault(one.waits_for, []).append(one)
    for cause, (first, *more) in groups.items():
        line = f"blocked: {first.change.action} {_named(first.change)}: waits for {cause}, which failed"
        yield line + _and_more(len(more), "for it too")


def remaining_lines(remaining: Iterable[Change]) -> Iterator[str]:
    """A line for each kind of change that was still needed afterwards, with the values of the first."""
    groups: dict[Any, list[Change]] = {}
    for change in remaining:
        groups.setdefault((change.action, change.key.kind, change.differs), []).append(change)
    for first, *more in groups.values():
        before, after = sides(first)
        words = [f"{word} is {_value(before, word)}, not {_value(after, word)}" for word in first.differs]
        line = f"not as declared after all: {first.action} {_named(first)}" + ": " * bool(words) + ", ".join(words)
        line += _ignored(first, before or {})
        yield line + _and_more(len(more), "likewise")


def _ignored(change: Change, before: dict[str, Any]) -> str:
    """The hint where the kernel shows nothing of an attribute: it ignores what it has no feature for."""
    features = _FEATURES.get(change.key.kind, {})
    words = [f"{word}: {features[word]}" for word in change.differs if word in features and before.get(word) is None]
    return f"; {HINTS[errno.EOPNOTSUPP]} ({', '.join(words)})" if words else ""


def _value(side: dict[str, Any] | None, word: str) -> str:
    return value_text((side or {}).get(word))


def _named(change: Change) -> str:
    return f"{change.key} ({change.origin})" if change.origin.file else str(change.key)


def _and_more(number: int, how: str) -> str:
    return f" (and {number} more {how}; --json lists them)" if number else ""
