"""Links that one topology makes and another one configures (under ``interfaces``): who manages which attribute."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from reconciler.kinds.context import Noted, Reading
from reconciler.kinds.links import going_back
from reconciler.kinds.links.link import WORDS, End, ends
from reconciler.kinds.links.port import PORT
from reconciler.model import data as dataclasses
from reconciler.model.changes import Desired
from reconciler.model.keys import STAMP, Key, stamped
from reconciler.model.rows import LinkRow, ScopeState

_ONCE_A_PORT = ("master", *PORT.words)


# ------------------------------------------------------------------ reading


def only_configured(reading: Reading, row: LinkRow, makers: Callable[[], Iterable[Key]]) -> bool:
    """Whether a link is read as an interface alone; ``makers()`` are the keys under which a topology may make it.

    Not where a topology of this run makes it, or has made it and must delete it now.
    """
    configured = reading.wanted.get(_key(reading.state.scope, row.name))
    if configured is None:
        return False
    maker = stamped(row.alias)
    others = maker in reading.topologies and maker not in ("", configured.owner)
    return not others and not any(key in reading.wanted for key in makers())


def lent(reading: Reading, row: LinkRow, owner: str, master: str) -> tuple[str, ...]:
    """The attributes of a link of ``owner`` that another topology has set; only a master can be in nobody's file."""
    key = _key(reading.state.scope, row.name)
    configured, noted = reading.wanted.get(key), reading.noted.get(key)
    if configured is not None and configured.owner != owner and configured.object.master == master:
        return ("master",)
    others = noted is not None and noted.topology != owner and noted.record.get("master", ("", ""))[1] == master
    return ("master",) if others and master else ()


def maker_of(row: LinkRow, owner: str) -> str:
    """The topology that made a link which ``owner`` configures, "" where it is its own or nobody's."""
    other = row.alias.startswith(STAMP) and not row.loopback and stamped(row.alias) != owner
    return stamped(row.alias) if other else ""


def is_managed_elsewhere(reading: Reading, row: LinkRow, live: End, wanted: Desired, noted: Noted | None) -> bool:
    """Whether ``wanted`` changes an attribute that the topology which made the link manages."""
    own = noted.record if noted is not None and noted.topology in {wanted.owner, *reading.topologies} else {}
    theirs = {"up", *_managed(reading.noted, reading.state, row, live.maker)}
    theirs |= {*_ONCE_A_PORT} if live.master and "master" not in own else set()
    desired = settled(wanted.object, live)
    values = ((word, getattr(desired, word)) for word in theirs - own.keys())
    return any(value is not None and value != getattr(live, word) for word, value in values)


def _managed(noted: Mapping[Key, Noted], state: ScopeState, row: LinkRow, maker: str) -> Iterator[str]:
    """The attributes on the record of the topology that made the link."""
    record = noted.get(Key(row.kind, state.scope, row.name))
    if record is not None and record.topology == maker:
        yield from record.record


def _key(scope: str, name: str) -> Key:
    return Key("interface", scope, name)


# ------------------------------------------------------------------ comparing


def settled(wanted: End, live: End) -> End:
    """The desired interface; whether a link of another topology is up is not its matter, unless the file says so."""
    if live.maker and "up" in wanted.defaults:
        wanted = dataclasses.replace(wanted, up=None)
    return going_back.filled(wanted, live)


def as_made(wanted: End, made: Any, maker: str) -> End:
    """The link as another topology of the run will make it, before ``wanted`` configures it."""
    end = _end(wanted, made)
    births = {**going_back.NEW_LINK, "master": ""}
    values = {word: getattr(end, word, None) for word in WORDS}
    known: dict[str, Any] = {word: births.get(word) if value is None else value for word, value in values.items()}
    return End(wanted.scope, wanted.name, maker=maker, **known)


def disagreeing(wanted: End, made: Any) -> list[str]:
    """The attributes that the file of ``wanted`` and the one that makes the link set to different values."""
    end = _end(wanted, made)
    pairs = {word: (getattr(wanted, word), getattr(end, word, None)) for word in WORDS if word not in wanted.defaults}
    differ = [word for word, (here, there) in pairs.items() if None not in (here, there) and here != there]
    return [word for word in differ if not (word == "master" and pairs[word][1] == "")]


def merged(one: End, other: End) -> tuple[End, list[str]]:
    """One interface with the attributes of two topologies, and the attributes on which they disagree."""
    values, differ = {}, []
    for word in WORDS:
        here, there = getattr(one, word), getattr(other, word)
        if here is None or (word in one.defaults and there is not None):
            values[word] = there
        elif there is not None and here != there and word not in other.defaults:
            differ.append(word)
    policies = {one.foreign_addresses, other.foreign_addresses} - {None}
    differ += ["foreign_addresses"] if len(policies) > 1 else []
    values["foreign_addresses"] = one.foreign_addresses or other.foreign_addresses
    defaults = tuple(word for word in one.defaults if word in other.defaults)
    return dataclasses.replace(one, defaults=defaults, **values), differ


def _end(wanted: End, made: Any) -> Any:
    return next(end for end in ends(made) if (end.scope, end.name) == (wanted.scope, wanted.name))
