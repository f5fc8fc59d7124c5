"""Functions over the fields of any object: which of them it manages, how they are shown, which secrets are lost."""

from __future__ import annotations

import functools
from typing import Any

from reconciler.model import data as dataclasses
from reconciler.model.secret import Secret, is_lost


def declared(wanted: Any, live: Any) -> Any:
    """``live`` with None in every field that is None in ``wanted``, which means: not managed."""
    form: Any = type(live)
    managed = [not compared or getattr(wanted, name) is not None for name, compared in _fields(form)]
    return form(*[getattr(live, name) if its else None for its, (name, _) in zip(managed, _fields(form), strict=True)])


@functools.cache
def _fields(form: Any) -> tuple[tuple[str, bool], ...]:
    """The fields of a dataclass in their order, each with whether it is compared."""
    return tuple((field.name, field.compare) for field in dataclasses.fields(form))


def attributes(value: Any) -> dict[str, Any]:
    """The fields that an object manages, by name, without its scope and name; in place of a secret its digest."""
    form: Any = type(value)
    pairs = ((name, getattr(value, name)) for name, compared in _fields(form) if compared)
    return {name: covered(content) for name, content in pairs if content is not None and name not in ("scope", "name")}


def covered(value: Any) -> Any:
    """A value with each secret replaced by its digest."""
    if isinstance(value, Secret):
        return str(value)
    return tuple(map(covered, value)) if type(value) is tuple else value


def lost_secrets(value: Any) -> frozenset[str]:
    """The attributes of which only the digest is known, so that they cannot be restored."""
    form: Any = type(value)
    return frozenset(name for name, _ in _fields(form) if is_lost(getattr(value, name)))
