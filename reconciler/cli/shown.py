"""The parts of a change that are shown, both as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.kinds import BY_NAME
from reconciler.model.changes import Action, Change
from reconciler.model.keys import Key
from reconciler.planning.intent import Planned

GLYPHS: dict[Action, str] = {"create": "+", "update": "~", "replace": "±", "delete": "-", "adopt": "="}
HINTS = {
    1: "run netrecon as root",
    16: "something holds it; see the kernel's words",
    17: "something else made it meanwhile; run netrecon plan again",
    19: "a link or namespace that it needs is missing",
    22: "the kernel does not take these values together",
    34: "a value is out of the range that the kernel takes",
    95: "this kernel lacks the feature; docs/requirements.md lists what netrecon needs",
    100: "the link is down",
    101: "no connected prefix reaches the gateway; give it an address there or onlink",
    113: "no connected prefix reaches the gateway; give it an address there or onlink",
}


def sides(change: Change) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The attributes before and after, None for none; of an update or a replace only those that differ."""
    kind = BY_NAME[change.key.kind]
    before = None if change.before is None else dict(kind.shown(change.before))
    after = None if change.after is None else dict(kind.shown(change.after))
    if change.action == "adopt":
        return {"owner": change.owner_before}, {"owner": change.owner}
    if change.action in ("update", "replace") and before is not None and after is not None:
        before = {name: before.get(name) for name in change.differs}
        after = {name: after.get(name) for name in change.differs}
        if "owner" in change.differs:
            before["owner"], after["owner"] = change.owner_before, change.owner
    return before, after


def losses(planned: Planned) -> Iterator[tuple[Key, Key, bool]]:
    """Objects of others that the kernel deletes because of a change: (key, key of the change, whether restored)."""
    measures = planned.plan.measures
    keys = [*((change.key, True) for change in measures.restored), *((key, False) for key in measures.gone)]
    return ((key, measures.loss(key).cause, restored) for key, restored in keys)


def value_text(value: Any) -> str:
    """A value as people read it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or value == "" or type(value).__name__ == "NotPresent":
        return "none"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {value_text(part)}" for name, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(value_text(part) for part in value) + "]"
    return str(value)
