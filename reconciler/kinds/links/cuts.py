"""What of a changed link cuts a session whose packets it carries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reconciler.kinds.course import Course
from reconciler.kinds.links.link import ends
from reconciler.model.changes import Change


def cuts(change: Change, course: Course) -> str:
    """Why the change cuts the session, "" where it does not: its link goes, is set down, or is another port.

    A new MAC address is unknown to the neighbours for up to a minute.  ``vlan_filtering`` and ``vlan_default_pvid``
    decide which frames a bridge passes.  A port that neither learns nor floods gets no frame.
    """
    return next((f"which is behind {name}" for name in _stopped(change) if course.carried_by(*name)), "")


class _Place(tuple[str, str]):
    """(scope, name) of a link, as people read it: the name."""

    def __str__(self) -> str:
        return self[1]


def _stopped(change: Change) -> Iterator[_Place]:
    """The links that no longer pass packets as before: of a veth both ends, since one is nothing without the other."""
    going = change.action in ("delete", "replace")
    pairs = zip(ends(change.before), ends(change.after), strict=False) if change.action == "update" else ()
    if going or any(_stops(before, after) for before, after in pairs):
        yield from (_Place((end.scope, end.name)) for end in ends(change.before))


def _stops(before: Any, after: Any) -> bool:
    if after.up is False or any(_changes(word, before, after) for word in _WORDS):
        return True
    deaf, was = ([_kept(word, before, end) is False for word in ("learning", "flood")] for end in (after, before))
    return bool(getattr(before, "master", None)) and all(deaf) and not all(was)


_WORDS = ("mac", "master", "vlan_filtering", "vlan_default_pvid")


def _changes(word: str, before: Any, after: Any) -> bool:
    value = getattr(after, word, None)
    return value is not None and value != (getattr(before, word, None) or type(value)())


def _kept(word: str, before: Any, end: Any) -> Any:
    """The attribute of a port; None is not managed and stays as it was."""
    value = getattr(end, word, None)
    return getattr(before, word, None) if value is None else value
