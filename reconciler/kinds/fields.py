"""The fields of an object: which are managed, how they are shown, and which secrets are lost."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from reconciler.model.secret import Secret, is_lost


def declared(wanted: Any, live: Any) -> Any:
    """``live`` with every field blanked that ``wanted`` leaves unmanaged (None)."""
    form: Any = type(live)
    values = ((getattr(wanted, name), getattr(live, name), compared) for name, compared in _fields(form))
    return form(*(None if compared and mine is None else its for mine, its, compared in values))


@functools.cache
def _fields(form: Any) -> tuple[tuple[str, bool], ...]:
    """The fields of a form in their order, and whether they count when two are compared."""
    return tuple((field.name, field.compare) for field in dataclasses.fields(form))


def attributes(value: Any) -> dict[str, Any]:
    """The fields that an object manages, by name; its scope and name are left to the key, a secret is its digest."""
    form: Any = type(value)
    pairs = ((name, getattr(value, name)) for name, compared in _fields(form) if compared)
    return {name: covered(held) for name, held in pairs if held is not None and name not in ("scope", "name")}


def covered(value: Any) -> Any:
    """A value as it may be shown: in place of each secret its digest."""
    if isinstance(value, Secret):
        return str(value)
    return tuple(map(covered, value)) if type(value) is tuple else value


def lost_secrets(value: Any) -> frozenset[str]:
    """The attributes of an object that are known by their digests alone, so that nothing can give them back."""
    form: Any = type(value)
    return frozenset(name for name, _ in _fields(form) if is_lost(getattr(value, name)))
