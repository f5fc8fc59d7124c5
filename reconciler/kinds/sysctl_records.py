"""What is recorded of a sysctl before netrecon's first write, and the value that the sysctl goes back to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from reconciler.kinds import sysctl_effects
from reconciler.kinds.context import Noted, Noting, Reading
from reconciler.kinds.namespace import key_of as namespace_key
from reconciler.kinds.nat.ruleset import members, owned_tables, table_key
from reconciler.kinds.sysctl_effects import link_of, route_localnet
from reconciler.model.keys import HOST, Key, stamped
from reconciler.model.names import table_name
from reconciler.model.rows import TableRow

Record = tuple[Any, ...]  # (value before, our value), and (sysctl, value) pairs of others that the kernel changed along

_UNNOTED = Noted("", (None, ""))
_ON = "1"


def key_of(scope: str, name: str) -> Key:
    """The key of a sysctl."""
    return Key("sysctl", scope, name)


# ------------------------------------------------------------------ what is recorded


def record(key: Key, wanted: Any, noting: Noting) -> Record | None:
    """The value before our first write, and our value; also where the setting had our value already.

    On a link that netrecon made the value before is that of a new link: None, for the default of new links, or where
    the namespace has no such default the value of ``at_birth``.
    """
    noted = _noted(key, noting)
    if noted is not None:
        return noted[0], wanted.value, *noted[2:]
    birth = noting.at_birth.get(sysctl_effects.like_newborn(key.name))
    if _on_our_link(key, noting):
        return birth if sysctl_effects.of_neighbours(key.name) else None, wanted.value
    live = noting.live.get(key)
    if birth is not None and (live is None or _in_our_namespace(key, noting)):
        return birth, wanted.value
    if live is None:
        return None
    if key not in noting.changes and _publishes(key, noting):
        return None, wanted.value
    before = _without_us(key, live.object.value, noting)
    others = tuple(_changed_along(key, before, noting)) if key in noting.changes else ()
    return before, wanted.value, *([others] if others else [])


def _publishes(key: Key, noting: Noting) -> bool:
    """Whether it is the route_localnet of a link to which our table published ports already: its record was lost."""
    if key.name != route_localnet(link_of(key.name)):
        return False
    table = noting.live.get(table_key(key.scope, table_name(noting.names.topology)))
    return table is not None and link_of(key.name) in {link for link, _ in table.object.hairpin}


def _noted(key: Key, noting: Noting) -> Record | None:
    other = sysctl_effects.other_name(key.name)
    noted: Record | None = noting.noted.get(key)
    return noted if noted is not None or not other else noting.noted.get(key_of(key.scope, other))


def _on_our_link(key: Key, noting: Noting) -> bool:
    of = noting.names.links.get((key.scope, link_of(key.name)))
    return of is not None and of.kind != "interface" and _is_ours(of, noting)


def _in_our_namespace(key: Key, noting: Noting) -> bool:
    return key.scope in noting.names.exclusive and _is_ours(namespace_key(key.scope), noting)


def _is_ours(key: Key, noting: Noting) -> bool:
    """Whether the link or namespace is made by this run, or was ours before it."""
    live = noting.live.get(key)
    return live is None or live.owner == noting.names.topology


def _without_us(key: Key, value: str, noting: Noting) -> str:
    """The value that a sysctl had before we wrote another one that changed it."""
    for name, left in sysctl_effects.causes(key.name):
        noted = noting.noted.get(key_of(key.scope, name))
        if noted is not None and noted[0] is not None and left(noted[1]) == value:
            others: dict[str, str] = dict(*noted[2:])
            return others.get(key.name, left(noted[0]))
    return value


def _changed_along(key: Key, before: str, noting: Noting) -> Iterator[tuple[str, str]]:
    """The other sysctls that a write for all links changes, and that writing the old value would not restore."""
    for other, value in noting.upset.items():
        left = dict(sysctl_effects.causes(other.name)).get(key.name) if other.scope == key.scope else None
        if left is not None and sysctl_effects.level(key.name) == 0:
            noted = noting.noted.get(other)
            earlier = value if noted is None else noted[0]
            if earlier not in (None, left(before)):
                yield other.name, earlier


def births(key: Key) -> Iterator[str]:
    """The sysctl that must be read in a new namespace for the record of a sysctl that is written."""
    name = sysctl_effects.like_newborn(key.name)
    if key.scope != HOST or name != key.name or not name.startswith(sysctl_effects.BUILT_IN):
        yield name


def recall(name: str, plain: Any) -> Record:
    """A record as read from its file; raises ValueError or TypeError if it cannot be one."""
    parts = name.translate(str.maketrans("./", "/.")).split("/")
    if parts[0] != "net" or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{name} is no sysctl's name")
    before, ours, *others = plain
    pairs = (tuple((str(name), str(value)) for name, value in listed) for listed in others)
    return None if before is None else str(before), str(ours), *pairs


# ------------------------------------------------------------------ what it goes back to


def published(tables: Iterable[TableRow]) -> list[str]:
    """The route_localnet of the links to which tables of ours publish IPv4 ports."""
    return list(dict.fromkeys(route_localnet(link) for table in tables for link, *_ in members(table, "hairpin4")))


def known(reading: Reading) -> Mapping[Key, Noted]:
    """The records, and one for each setting that ``published`` names and that has none, as if set over the default.

    Its record was lost.  The setting cannot stay: the rules that guard 127.0.0.0/8 go with the table.
    """
    found: dict[Key, Noted] = {}
    for table, owner in sorted(owned_tables(reading), key=lambda pair: pair[1] not in reading.topologies):
        noted = Noted(owner, (None, _ON))
        found.update(dict.fromkeys((key_of(reading.state.scope, name) for name in published([table])), noted))
    return {**found, **reading.noted} if found else reading.noted


def going_back(reading: Reading, name: str, noted: Noted = _UNNOTED) -> str | None:
    """The value that a sysctl has without our write, after this plan; None where that is unknown.

    It is the value before; but where another sysctl that is still wanted has changed it or changes it, that effect.
    """
    topology, (before, *_) = noted if noted.topology else _of(reading, name)
    anew = before is None or sysctl_effects.of_neighbours(name)  # with a default, where the scope has one
    born = _born(reading, name, topology) if anew else None
    value = before if born is None else born
    if value is None:
        return None
    other = sysctl_effects.other_name(name)
    if other and _governs(reading, other, always=True):
        return _after(reading, other)
    for cause, left in sysctl_effects.causes(name):
        if not (sysctl_effects.level(cause) == 1 and (born is not None or _has_address(reading, name))):
            effect = _after(reading, cause) if _governs(reading, cause) else None
            value = value if effect is None else left(effect)
    return value


def _of(reading: Reading, name: str) -> Noted:
    return reading.noted.get(key_of(reading.state.scope, name), _UNNOTED)


def _live(reading: Reading, name: str) -> str | None:
    return reading.live.sysctls.get((reading.state.scope, name))


def _born(reading: Reading, name: str, topology: str) -> str | None:
    """The value that a link of ours gets when it is created; None where the link is not ours (any more)."""
    link, rows = link_of(name), reading.state.links.values()
    whose = {topology, *([""] if name == route_localnet(link) else [])}
    row = next((row for row in rows if row.name == link and stamped(row.alias) in whose), None)
    default = sysctl_effects.default_of(name)
    if row is not None and row.kind == "bridge" and name == sysctl_effects.accept_dad(link):
        return "0"  # as netrecon makes every bridge
    if row is None or not default:
        return None if row is None else str(row.mtu)  # net.ipv6.conf.LINK.mtu has no default
    return _after(reading, default)


def _has_address(reading: Reading, name: str) -> bool:
    """Whether the kernel has given up copying defaults to the link: it does so with the first IPv4 address."""
    link, state = link_of(name), reading.state
    return any(state.links[row.index].name == link for row in state.addresses if row.index in state.links)


def _governs(reading: Reading, cause: str, always: bool = False) -> bool:
    """Whether the effect of a sysctl stays: it is wanted, and was or will be written; or another topology has it."""
    noted, wanted = _of(reading, cause), reading.wanted.get(key_of(reading.state.scope, cause))
    written = bool(noted.topology) and noted.record[0] != noted.record[1]
    if wanted is not None:
        return always or written or _live(reading, cause) != wanted.object.value
    return written and noted.topology not in reading.topologies


def _after(reading: Reading, name: str) -> str | None:
    """The value of a sysctl after this plan."""
    live, noted = _live(reading, name), _of(reading, name)
    wanted = reading.wanted.get(key_of(reading.state.scope, name))
    if wanted is not None:
        return str(wanted.object.value)
    if noted.topology:
        back = noted.topology in reading.topologies and live == noted.record[1]
        return going_back(reading, name) or live if back else live
    for cause, left in sysctl_effects.causes(name):
        effect = _after(reading, cause) if _live(reading, cause) is not None else None
        if effect is not None and effect != _live(reading, cause):
            live = left(effect)
    return live


def along(reading: Reading, name: str) -> tuple[tuple[str, str], ...]:
    """The sysctls to write after this one, because the kernel changes them with it.

    They are those on record as changed along that are not declared and of existing links, and those that topologies
    outside this run have set.
    """
    _, (_, _, *others) = _of(reading, name)
    links = {"", *(row.name for row in reading.state.links.values())}
    listed = {other: value for pairs in others for other, value in pairs if link_of(other) in links}
    listed |= dict(of_others(reading, name))
    return tuple(pair for pair in listed.items() if key_of(reading.state.scope, pair[0]) not in reading.wanted)


def of_others(reading: Reading, name: str) -> Iterator[tuple[str, str]]:
    """The sysctls that topologies outside this run have set and that the kernel changes with this one."""
    for key, (topology, noted) in reading.noted.items():
        if key.kind == "sysctl" and topology not in reading.topologies and _live(reading, key.name) == noted[1]:
            yield from ((key.name, noted[1]) for cause, _ in sysctl_effects.causes(key.name) if cause == name)
