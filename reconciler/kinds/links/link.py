"""What all links have: name, state, mtu, mac, queue, and their place as a port of a bridge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any

from reconciler.kinds.kind import Names, Path
from reconciler.model.changes import NOBODY, UNKNOWN
from reconciler.model.data import dataclass
from reconciler.model.keys import BIRTH_GROUP, STAMP, Key, stamped
from reconciler.model.requests import LinkRef, Netlink, Request
from reconciler.model.rows import LinkRow, ScopeState

IFF_UP = 1
IN6_ADDR_GEN_MODE_NONE = 1
NLM_F_EXCL, NLM_F_CREATE, NLM_F_REPLACE = 0x200, 0x400, 0x100

# Our word -> pyroute2's name of the IFLA_BRPORT_* attribute.
PORT_ATTRIBUTES = {
    "hairpin": "IFLA_BRPORT_MODE",
    "isolated": "IFLA_BRPORT_ISOLATED",
    "learning": "IFLA_BRPORT_LEARNING",
    "flood": "IFLA_BRPORT_UNICAST_FLOOD",
    "cost": "IFLA_BRPORT_COST",
}
PORT_DEFAULTS = {"isolated": False, "learning": True, "flood": True}  # and hairpin: see veth.imply
PORT_AT_BIRTH = {"hairpin": False, **PORT_DEFAULTS}  # how the kernel makes a port (new_nbp)
_STAMP = {"alias": "IFLA_IFALIAS", "group": "IFLA_GROUP"}
_PLAIN = {"mtu": "IFLA_MTU", "mac": "IFLA_ADDRESS", "txqueuelen": "IFLA_TXQLEN"}


@dataclass(frozen=True, slots=True)
class End:
    """One link: a veth's end, or a link that exists already.

    None means "not managed"; ``master`` "" means that it has none.  ``quiet`` matters at its birth only.  ``alias`` and
    ``group`` are what a live link bears: never compared, but a link that is made again bears them again.
    """

    scope: str
    name: str
    up: bool | None = None
    mtu: int | None = None
    mac: str | None = None
    txqueuelen: int | None = None
    master: str | None = None
    hairpin: bool | None = None
    isolated: bool | None = None
    learning: bool | None = None
    flood: bool | None = None
    cost: int | None = None
    quiet: bool = field(default=False, compare=False)  # made without an IPv6 address of its own (see quiet.py)
    alias: str | None = field(default=None, compare=False)
    group: int | None = field(default=None, compare=False)


UNREAD = End("", "")  # the peer of a veth whose other end is in a namespace we did not read


def parse_end(scope: str, name: str, entry: Mapping[str, Any], ours: bool) -> End:
    """An End from its YAML mapping; ``ours``: we create it, so that what is not written has a default."""
    words: dict[str, Any] = {word: entry.get(word) for word in (*_PLAIN, "master", *PORT_ATTRIBUTES)}
    words["mac"] = words["mac"] and str(words["mac"]).lower()
    if ours and words["master"] is None:
        words["master"] = ""
    if ours and words["master"]:
        words.update({word: value for word, value in PORT_DEFAULTS.items() if words[word] is None})
    return End(scope, name, entry.get("up", True), **words)


def read_end(state: ScopeState, row: LinkRow) -> End:
    """An End with every attribute that the kernel shows."""
    master = state.links.get(row.master)
    port = {word: value if word == "cost" else bool(value) for word, value in row.port.items()}
    plain = {"mtu": row.mtu, "mac": row.mac, "txqueuelen": row.txqueuelen, "alias": row.alias, "group": row.group}
    return End(state.scope, row.name, row.up, **plain, master=master.name if master else "", **port)  # type: ignore[arg-type]


def owner_of(row: LinkRow, scope_owner: str, exclusive: bool) -> str:
    """Whose link it is: by its stamp, else by the namespace that is somebody's whole."""
    if row.alias.startswith(STAMP):
        return stamped(row.alias)
    if exclusive and scope_owner:
        return scope_owner
    return UNKNOWN if row.group == BIRTH_GROUP else NOBODY


def is_fixture(row: LinkRow) -> bool:
    """Whether the kernel put the link there: ``lo``, hardware, and the fallback devices of tunnel modules."""
    fallbacks = ("tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "sit0", "ip6tnl0", "ip6gre0")
    return not row.kind or row.name in fallbacks


def plain_attributes(end: Any) -> Iterator[tuple[str, Any]]:
    """The netlink attributes that a link may be born with."""
    for word, attribute in _PLAIN.items():
        value = getattr(end, word)
        if value is not None:
            yield attribute, value


def birth_stamp(end: Any, owner: str) -> dict[str, Any]:
    """What takes a new link out of the birth group: the owner's stamp, or the one that it bore in an earlier life."""
    return {"alias": STAMP + owner if end.alias is None else end.alias, "group": end.group or 0}


def stamp(end: Any, owner: str) -> Iterator[Request]:
    """The request that makes an existing link the owner's and changes nothing else of it."""
    values: dict[str, Any] = {"alias": STAMP + owner}
    yield from set_link(end.scope, end.name, values | ({"group": 0} if end.group == BIRTH_GROUP else {}))


def restamp(end: Any) -> Iterator[Request]:
    """The request that gives an existing link the alias and group that ``end`` bears."""
    yield from set_link(end.scope, end.name, {"alias": end.alias or "", "group": end.group or 0})


def set_link(scope: str, name: str, values: Mapping[str, Any]) -> Iterator[Request]:
    """The requests that give an existing link the values named."""
    attributes: list[tuple[str, Any]] = [(_PLAIN[word], value) for word, value in values.items() if word in _PLAIN]
    if "master" in values:
        attributes.append(("IFLA_MASTER", LinkRef(scope, values["master"]) if values["master"] else 0))
    attributes += [(_STAMP[word], value) for word, value in values.items() if word in _STAMP]
    fields: dict[str, Any] = {"index": LinkRef(scope, name)}
    if "up" in values:
        fields |= {"flags": IFF_UP if values["up"] else 0, "change": IFF_UP}
    if attributes or "up" in values:
        yield Netlink(scope, "setlink", fields, tuple(attributes))
    yield from set_port(scope, name, values)


def set_port(scope: str, name: str, values: Mapping[str, Any]) -> Iterator[Request]:
    """Bridge port attributes: only RTM_NEWLINK with IFLA_INFO_SLAVE_DATA carries them in one message."""
    port = tuple((PORT_ATTRIBUTES[word], int(value)) for word, value in values.items() if word in PORT_ATTRIBUTES)
    if port:
        info = (("IFLA_INFO_SLAVE_KIND", "bridge"), ("IFLA_INFO_SLAVE_DATA", {"attrs": port}))
        yield Netlink(scope, "newlink", {"index": LinkRef(scope, name)}, (("IFLA_LINKINFO", {"attrs": info}),))


def hush(scope: str, name: str) -> Request:
    """The request for no IPv6 address of the link's own; it must come before the link is up.

    Optional: a kernel without IPv6 refuses it, and there it is of no use.
    """
    mode = (("AF_INET6", {"attrs": (("IFLA_INET6_ADDR_GEN_MODE", IN6_ADDR_GEN_MODE_NONE),)}),)
    fields = {"index": LinkRef(scope, name)}
    return Netlink(scope, "setlink", fields, (("IFLA_AF_SPEC", {"attrs": mode}),), optional=True)


def born(end: Any, kind: str, data: tuple[tuple[str, Any], ...], first: tuple[tuple[str, Any], ...] = ()) -> Request:
    """The message that creates a link, in the birth group."""
    info: tuple[tuple[str, Any], ...] = (("IFLA_INFO_KIND", kind),)
    if data:
        info += (("IFLA_INFO_DATA", {"attrs": data}),)
    attributes = (
        ("IFLA_IFNAME", end.name),
        ("IFLA_GROUP", BIRTH_GROUP),
        *plain_attributes(end),
        *first,
        ("IFLA_LINKINFO", {"attrs": info}),
    )
    return Netlink(end.scope, "newlink", {}, attributes, NLM_F_CREATE | NLM_F_EXCL)


def delete_link(scope: str, name: str) -> Request:
    """The message that deletes a link."""
    return Netlink(scope, "dellink", {"index": LinkRef(scope, name)})


def changed(before: Any, after: Any, words: tuple[str, ...]) -> dict[str, Any]:
    """The attributes of ``after`` that are managed and differ."""
    pairs = {word: getattr(after, word, None) for word in words}
    return {word: value for word, value in pairs.items() if value is not None and value != getattr(before, word, None)}


LINK_WORDS = ("mac", "mtu", "txqueuelen", "master", "up")
END_WORDS = (*LINK_WORDS, *PORT_ATTRIBUTES)


def changed_end(before: End, after: End) -> dict[str, Any]:
    """What to set on a link; joining a bridge resets the port, so its attributes go along."""
    values = changed(before, after, END_WORDS)
    if values.get("master"):
        port = {word: getattr(after, word) for word in PORT_ATTRIBUTES}
        values |= {word: value for word, value in port.items() if value is not None}
    return values


def check_end(end: End, names: Names, at: Path = ()) -> Iterator[tuple[Path, str]]:
    """The references of a link: its master must be a bridge of its scope."""
    if end.master:
        key = names.links.get((end.scope, end.master))
        if key is None:
            yield (*at, "master"), f'no link "{end.master}" in {end.scope}{nearest(end.master, end.scope, names)}'
        elif key.kind not in ("bridge", "interface"):
            yield (*at, "master"), f'"{end.master}" is a {key.kind}; a master is a bridge'
        return
    for word in PORT_ATTRIBUTES:
        if getattr(end, word) is not None:
            yield (*at, word), f'"{word}" is an attribute of a bridge port; name the bridge with "master"'


def declared_end(scope: str, name: str, names: Names) -> Any:
    """The End or the Bridge that a declared link is; None for a link that is not declared."""
    key = names.links.get((scope, name))
    held: Any = names.objects.get(key) if key else None
    for end in (getattr(held, "end", held), getattr(held, "peer", None)):
        if end is not None and (end.scope, end.name) == (scope, name):
            return end
    return None


def nearest(name: str, scope: str, names: Names) -> str:
    """A hint that follows "no link X in SCOPE": the known name that looks like it, or all of them."""
    import difflib

    known = sorted(link for where, link in names.links if where == scope)
    close = difflib.get_close_matches(name, known, 1)
    if close:
        return f'; did you mean "{close[0]}"?'
    listed = ", ".join(known[:8]) + (", ..." if len(known) > 8 else "")
    return f"; it has {listed}" if known else "; declare it under bridges, veths or interfaces"


def master_of(end: End, names: Names) -> tuple[Key, ...]:
    """The key of the bridge that an end is a port of."""
    key = names.links.get((end.scope, end.master)) if end.master else None
    return (key,) if key else ()
