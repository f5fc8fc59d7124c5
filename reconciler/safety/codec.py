"""Turns frozen dataclasses into JSON data and back, by their type hints; snapshots are stored in this form."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from functools import cache
from typing import Any

from reconciler.model import data as dataclasses
from reconciler.model.secret import Secret

Plain = Any  # what json.dumps takes
_PLAIN = frozenset({str, bool, int})  # nine values of ten


def encode(value: Any) -> Plain:
    """A dataclass or tuple as a list of its parts, bytes in hexadecimal, a secret as its digest; other values as is."""
    form: Any = type(value)
    if value is None or form in _PLAIN:
        return value
    names = _names(form)
    if names is not None:
        parts = [getattr(value, name) for name in names]
        return [part if part is None or type(part) in _PLAIN else encode(part) for part in parts]
    if isinstance(value, tuple | list):
        return [encode(part) for part in value]
    if isinstance(value, Secret):
        return {"sha256": value.digest}
    return value.hex() if isinstance(value, bytes) else value


@cache
def _names(form: Any) -> tuple[str, ...] | None:
    """The fields of a dataclass, None for anything else."""
    return tuple(field.name for field in dataclasses.fields(form)) if dataclasses.is_dataclass(form) else None


def decode(form: Any, plain: Plain) -> Any:
    """The dataclass or NamedTuple ``form`` from the data that ``encode`` made of it.

    Raises ValueError, TypeError, KeyError or IndexError for data of another form (from another release, for example).
    """
    return _decoder(form)(plain)


@cache
def _decoder(hint: Any) -> Callable[[Plain], Any]:
    """The decoder for values of one type hint."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType or origin is typing.Union:
        decoders = [_decoder(option) for option in inner if option not in (type(None), Secret)]
        if Secret in inner:
            decoders = [_secret_or(*decoders)]
        return lambda plain: None if plain is None else decoders[0](plain)
    if origin is tuple and inner[1:] == (...,):
        part = _decoder(inner[0])
        return lambda plain: tuple(map(part, plain))
    if origin is tuple:
        return _by_position(inner, lambda *parts: tuple(parts))
    if hint is Secret:
        return _secret_or()
    if dataclasses.is_dataclass(hint) or hasattr(hint, "_fields"):
        return _by_position(tuple(typing.get_type_hints(hint).values()), hint)
    return bytes.fromhex if hint is bytes else lambda plain: plain


def _secret_or(*others: Callable[[Plain], Any]) -> Callable[[Plain], Any]:
    """A decoder for the digest of a secret; other values are decoded by the first of ``others``."""

    def decode_secret(plain: Plain) -> Any:
        return Secret.remembered(plain["sha256"]) if isinstance(plain, dict) or not others else others[0](plain)

    return decode_secret


def _by_position(hints: tuple[Any, ...], make: Callable[..., Any]) -> Callable[[Plain], Any]:
    decoders = [_decoder(hint) for hint in hints]

    def decode_parts(plain: Plain) -> Any:
        return make(*(decoder(part) for decoder, part in zip(decoders, plain, strict=True)))

    return decode_parts
