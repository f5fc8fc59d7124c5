"""What all links have: name, up or down, mtu, mac, queue length, and their attributes as a port of a bridge."""

from __future__ import annotations

import bisect
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from reconciler.kinds.context import Names
from reconciler.kinds.fields import declared
from reconciler.kinds.links.port import IMPLIED, PORT
from reconciler.model import data as dataclasses
from reconciler.model.changes import NOBODY, UNKNOWN
from reconciler.model.data import dataclass, field
from reconciler.model.keys import BIRTH_GROUP, STAMP, Key, stamped
from reconciler.model.quoting import Path
from reconciler.model.rows import LinkRow, ScopeState

WORDS = ("mac", "mtu", "txqueuelen", "master", "up", *PORT.words)  # the attributes that can change, in the order sent

_COMPARED = 100  # links on either side of a name in alphabetical order; with all of 10,000 it would take minutes


@dataclass(frozen=True, slots=True)
class Link:
    """What every link has; None means "not managed".

    ``foreign_addresses`` says what to do with addresses of others on it (see kinds/address/).
    ``back`` are the (word, value) pairs to restore on a live link where nothing else is declared (see going_back.py).
    ``followed`` are the words whose value a live bridge has of its ports, or that the kernel never takes (a MAC address
    of zeros): they are never restored by value.
    ``alias`` and ``group`` are those of a live link: never compared, but a link that is created again gets them again.
    ``defaults`` are the words of a desired link that the file does not set.
    ``lent`` are the words of a live link that another topology set on it; ``maker`` is the topology that made a link
    which another one configures (see borrowed.py).
    """

    scope: str
    name: str
    up: bool | None = None
    mtu: int | None = None
    mac: str | None = None
    txqueuelen: int | None = None
    foreign_addresses: str | None = field(default=None, compare=False)
    back: tuple[tuple[str, Any], ...] = field(default=(), compare=False)
    alias: str | None = field(default=None, compare=False)
    group: int | None = field(default=None, compare=False)
    below: tuple[str, str] | None = field(default=None, compare=False)  # the link that a live one lies on
    followed: tuple[str, ...] = field(default=(), compare=False)
    defaults: tuple[str, ...] = field(default=(), compare=False)
    lent: tuple[str, ...] = field(default=(), compare=False)
    maker: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Port(Link):
    """A link that can be a bridge's port; ``master`` "" means that it has none."""

    master: str | None = None
    hairpin: bool | None = None
    isolated: bool | None = None
    learning: bool | None = None
    flood: bool | None = None
    cost: int | None = None


@dataclass(frozen=True, slots=True)
class End(Port):
    """A veth's end, or a link that exists already; ``quiet`` matters only when it is created.

    ``high``: a port of a bridge that the topology does not make.  Such a bridge may take the lowest MAC address of its
    ports, and would lose its own when the port joins, and again when it leaves.
    """

    quiet: bool = field(default=False, compare=False)  # created without a link-local address (see no_link_local.py)
    high: bool = field(default=False, compare=False)


NO_MAC = "00:00:00:00:00:00"  # of lo, and of a bridge whose last port has left
NEW_MAC = "new"  # the word of a plan for a MAC address that is drawn when the request is sent
UNREAD = End("", "")  # the peer of a veth whose other end is in a namespace we did not read
_Port = TypeVar("_Port", bound=Port)

# ------------------------------------------------------------------ from the document, from the kernel


def parse_link(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The words of a Link from its YAML mapping; without ``up`` it is up."""
    words: dict[str, Any] = {word: entry.get(word) for word in ("mtu", "mac", "txqueuelen")}
    words["mac"] = words["mac"] and str(words["mac"]).lower()
    return {"up": entry.get("up", True), "foreign_addresses": entry.get("foreign_addresses"), **words}


def parse_port(entry: Mapping[str, Any], ours: bool) -> dict[str, Any]:
    """The words of a Port from its YAML mapping; ``ours``: netrecon creates it, so that missing words get defaults."""
    words: dict[str, Any] = {word: entry.get(word) for word in ("master", *PORT.words)}
    if words["master"] == "none" or (ours and words["master"] is None):
        words["master"] = ""
    if ours and words["master"]:
        words.update({word: value for word, value in IMPLIED.items() if words[word] is None})
    return words


def parse_end(scope: str, name: str, entry: Mapping[str, Any], ours: bool) -> End:
    """An End from its YAML mapping."""
    return End(scope, name, **parse_link(entry), **parse_port(entry, ours))


def read_link(row: LinkRow) -> dict[str, Any]:
    """The words of a Link as the kernel shows them."""
    plain = {"up": row.up, "mtu": row.mtu, "mac": row.mac, "txqueuelen": row.txqueuelen}
    return {**plain, "alias": row.alias, "group": row.group, "followed": ("mac",) if row.mac == NO_MAC else ()}


def read_port(state: ScopeState, row: LinkRow) -> dict[str, Any]:
    """The words of a Port as the kernel shows them."""
    master = state.links.get(row.master)
    return {"master": master.name if master else "", **row.port}


def read_end(state: ScopeState, row: LinkRow) -> End:
    """An End with every attribute that the kernel shows."""
    return End(state.scope, row.name, **read_link(row), **read_port(state, row))


def owner_of(row: LinkRow, scope_owner: str, exclusive: bool) -> str:
    """The owner of a link: by its stamp, else that of its namespace where the namespace is exclusive."""
    if row.alias.startswith(STAMP):
        return stamped(row.alias)
    if exclusive and scope_owner:
        return scope_owner
    return UNKNOWN if row.group == BIRTH_GROUP else NOBODY


def is_fixture(row: LinkRow) -> bool:
    """Whether the kernel put the link there: ``lo``, hardware, and the fallback devices of tunnel modules."""
    fallbacks = ("tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "sit0", "ip6tnl0", "ip6gre0")
    return not row.kind or row.name in fallbacks


# ------------------------------------------------------------------ comparing, and references


def ends(link: Any) -> tuple[Any, ...]:
    """The one or two ends of a link's object that say what all links have; none of a link of another type."""
    parts = (link.end, link.peer) if hasattr(link, "peer") else (link,)
    return tuple(end for end in parts if hasattr(end, "up") and end != UNREAD)


def masked(wanted: Any, live: Any) -> Any:
    """``live`` with None in what ``wanted`` does not manage, and as ``wanted`` in what both follow (see Link)."""
    seen = declared(wanted, live)
    own = (word for word in wanted.followed if word in live.followed or getattr(wanted, word) == NO_MAC)
    values = {word: getattr(wanted, word) for word in own}
    return dataclasses.replace(seen, **values) if values else seen


def changed(before: Any, after: Any, words: Iterable[str]) -> dict[str, Any]:
    """The attributes of ``after`` that it manages and that differ from ``before``, by name."""
    pairs = {word: getattr(after, word, None) for word in words}
    return {word: value for word, value in pairs.items() if value is not None and value != getattr(before, word, None)}


def changed_end(before: Link, after: Link) -> dict[str, Any]:
    """The attributes to set on a link; when it joins a bridge all those of the port: the kernel resets them."""
    values = changed(before, after, WORDS)
    if values.get("master"):
        port = {word: getattr(after, word) for word in PORT.words}
        values |= {word: value for word, value in port.items() if value is not None}
    return values


def reflecting(port: _Port, published: Collection[str]) -> _Port:
    """The port with its hairpin mode, see ``hairpin``."""
    mode = hairpin(port, published)
    return port if mode == port.hairpin else dataclasses.replace(port, hairpin=mode)


def hairpin(port: Port, published: Collection[str]) -> bool | None:
    """The hairpin mode of a port: on if its bridge is ``published``, unless the file sets it.

    With bridge-nf-call-iptables, a frame that a target sends to its own published port is translated inside the
    bridge and must leave by the port that it came from.
    """
    return port.hairpin if port.hairpin is not None or not port.master else port.master in published


def check_port(port: Port, names: Names, at: Path = ()) -> Iterator[tuple[Path, str]]:
    """The wrong references of a link: its master must be in its scope, and of a kind that has ports."""
    if port.master:
        key = names.links.get((port.scope, port.master))
        if key is None:
            yield (*at, "master"), f'no link "{port.master}" in {port.scope}{nearest(port.master, port.scope, names)}'
        elif key.kind not in (*names.masters, "interface"):
            yield (*at, "master"), f'"{port.master}" is a {key.kind}; a master is a {" or a ".join(names.masters)}'
        return
    for word in PORT.words:
        if getattr(port, word) is not None:
            yield (*at, word), f'"{word}" is an attribute of a bridge port; name the bridge with "master"'


def declared_end(scope: str, name: str, names: Names) -> Any:
    """The declared link of this name (of a veth, the End); None where there is none."""
    key = names.links.get((scope, name))
    link: Any = names.objects.get(key) if key else None
    for end in (getattr(link, "end", link), getattr(link, "peer", None)):
        if end is not None and (end.scope, end.name) == (scope, name):
            return end
    return None


def nearest(name: str, scope: str, names: Names) -> str:
    """A hint for the message "no link X in SCOPE": the most similar link, else the links of the scope."""
    where = f"links like {name} in {scope}"
    if where not in names.near:
        names.near[where] = _nearest(name, _known(scope, names), names.sections)
    hint: str = names.near[where]
    return hint


def _nearest(name: str, known: list[str], sections: Sequence[str]) -> str:
    import difflib

    at = bisect.bisect(known, name)
    close = difflib.get_close_matches(name, known[max(0, at - _COMPARED) : at + _COMPARED], 1)
    if close:
        return f'; did you mean "{close[0]}"?'
    if not known and sections:
        *first, last = sections
        return f"; declare it under {', '.join(first)} or {last}"
    return "; it has " + ", ".join(known[:8]) + (", ..." if len(known) > 8 else "") if known else ""


def _known(scope: str, names: Names) -> list[str]:
    where = f"links of {scope}"
    if where not in names.near:
        names.near[where] = sorted(link for place, link in names.links if place == scope)
    known: list[str] = names.near[where]
    return known


def master_of(port: Port, names: Names) -> tuple[Key, ...]:
    """The key of the bridge that a link is a port of, () for none."""
    key = names.links.get((port.scope, port.master)) if port.master else None
    return (key,) if key else ()


def ports(*links: Port) -> list[tuple[tuple[str, str], str]]:
    """The links that are ports, each as (scope, name) with the name of its bridge."""
    return [((link.scope, link.name), link.master) for link in links if link.master]


def apart(*links: End) -> list[tuple[tuple[str, str], str]]:
    """As ``ports``, of those that pass no frames to each other."""
    return ports(*(link for link in links if link.isolated))


def off_lost_master(port: _Port, gone: frozenset[tuple[str, str]]) -> _Port:
    """The port after links are deleted: without a master if that is one of them."""
    return dataclasses.replace(port, master="") if (port.scope, port.master) in gone else port
