"""A masquerade: packets from a prefix leave the scope with the scope's address, or with a fixed one."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

from reconciler.kinds import ipv6
from reconciler.kinds.around import Around
from reconciler.kinds.context import Names, Parsed, Reading, Source
from reconciler.kinds.course import Course
from reconciler.kinds.links.link import nearest
from reconciler.kinds.nat import ruleset
from reconciler.kinds.nat.element_kind import element_kind
from reconciler.kinds.nat.ruleset import Element, ElementDifference
from reconciler.model import data as dataclasses
from reconciler.model.addresses import ip_address, ip_interface
from reconciler.model.changes import Change, Live
from reconciler.model.data import dataclass
from reconciler.model.keys import Key
from reconciler.model.names import table_name
from reconciler.model.quoting import Path
from reconciler.model.requests import ForgetUnmasqueraded, Request
from reconciler.model.rows import TableRow


@dataclass(frozen=True, slots=True)
class Masquerade:
    """``source`` is a prefix; ``to`` is the fixed address, "" for the address of the link by which packets leave.

    Packets that leave by a link of ``except_out`` keep their source; None is filled in by ``imply``.
    """

    scope: str
    source: str
    except_out: tuple[str, ...] | None
    to: str
    table: str
    damage: tuple[ElementDifference, ...] = ()


def parse(source: Source) -> Iterator[Parsed]:
    seen: list[tuple[Any, Any]] = []
    for index, data in enumerate(source.data.get("masquerades") or ()):
        path: Path = ("masquerades", index)
        prefix = _prefix(source, (*path, "source"), str(data["source"]))
        if prefix is None:
            continue
        to = _fixed(source, (*path, "to"), data.get("to"), prefix)
        origin = source.at(path)
        clash = next((other for other in seen if _overlap(other[0], prefix)), None)
        if clash:
            source.problem((*path, "source"), f"{prefix} overlaps {clash[0]}, masqueraded at {clash[1]}")
            continue
        seen.append((prefix, origin))
        links = data.get("except_out")
        kept = None if links is None else tuple(sorted({str(link) for link in links}))
        made = Masquerade(source.scope, str(prefix), kept, to, table_name(source.topology))
        yield Key("masquerade", source.scope, made.source), made, origin


def _overlap(network: Any, other: Any) -> bool:
    return bool(network.version == other.version and network.overlaps(other))


def _prefix(source: Source, path: Path, text: str) -> Any:
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        source.problem(path, f"{text} has host bits set; the prefix is {ip_network(text, strict=False)}")
    except ValueError:
        source.problem(path, f'"{text}" is not a prefix such as 172.16.0.0/24')
    return None


def _fixed(source: Source, path: Path, to: Any, prefix: Any) -> str:
    if to is None:
        return ""
    try:
        address = ip_address(str(to))
    except ValueError:
        source.problem(path, f'"{to}" is not an IP address')
        return ""
    if address.version != prefix.version:
        source.problem(path, f"{address} and the source {prefix} are of two families; both must be of one")
    elif address.is_multicast or address.is_unspecified or address.is_loopback:
        source.problem(path, f"{address} cannot leave as a source; name an address of the scope")
    return str(address)


def imply(names: Names) -> Iterator[Parsed]:
    """The masquerades without except_out, completed with the links that have an address in the source's prefix."""
    for key, masquerade in list(names.objects.items()):
        if key.kind == "masquerade" and masquerade.except_out is None:
            kept = _own_links(masquerade, names)
            yield key, dataclasses.replace(masquerade, except_out=kept), names.origins[key]


def _own_links(masquerade: Masquerade, names: Names) -> tuple[str, ...]:
    source: Any = ip_network(masquerade.source)
    links = set()
    for address in names.of(masquerade.scope, "address"):
        network: Any = ip_interface(address.address).network
        if _overlap(network, source):
            links.add(address.link)
    return tuple(sorted(links))


def check(masquerade: Masquerade, names: Names) -> Iterator[tuple[Path, str]]:
    off = ipv6.off_everywhere(masquerade.scope, names) if ":" in masquerade.source else ""
    if off:
        yield ("source",), off
    for link in masquerade.except_out or ():
        if (masquerade.scope, link) not in names.links:
            hint = nearest(link, masquerade.scope, names)
            yield ("except_out",), f'no link "{link}" in {masquerade.scope}{hint}'


# ------------------------------------------------------------------ the kernel's form


def elements(masquerade: Masquerade) -> list[Element]:
    """The element of the source, and one for each link by which packets keep their source."""
    family = 6 if ":" in masquerade.source else 4
    source = masquerade.source
    own = Element(f"snat{family}", source, masquerade.to) if masquerade.to else Element(f"masq{family}", source)
    kept = masquerade.except_out or ()
    return [own, *(Element(f"keep{family}", f"{source} . {ruleset.quoted(link)}") for link in kept)]


def read(reading: Reading) -> Iterator[tuple[Key, Live]]:
    scope = reading.state.scope
    for table, owner in ruleset.owned_tables(reading):
        for family in (4, 6):
            by_source: dict[str, list[Element]] = {}
            links: dict[str, set[str]] = {}
            for name, key, value in _members(table, family):
                text = ruleset.written(value)
                element = Element(f"{name}{family}", ruleset.written(key[:1]), text)
                if name == "keep":
                    links.setdefault(key[0], set()).add(key[1])
                    element = element._replace(key=f"{key[0]} . {ruleset.quoted(key[1])}")
                by_source.setdefault(key[0], []).append(element)
            for source, members in by_source.items():
                kept = tuple(sorted(links.get(source, ())))
                live = _whole(Masquerade(scope, source, kept, "", table.name), members)
                yield Key("masquerade", scope, source), Live(live, owner)


def _members(table: TableRow, family: int) -> Iterator[tuple[str, tuple[Any, ...], tuple[Any, ...]]]:
    for name in ("masq", "snat", "keep"):
        for key, value in ruleset.members(table, f"{name}{family}").items():
            yield name, key, value


def _whole(live: Masquerade, members: list[Element]) -> Masquerade:
    to = next((element.value for element in members if element.set.startswith("snat")), "")
    live = dataclasses.replace(live, to=to)
    return dataclasses.replace(live, damage=ruleset.damage(elements(live), members))


def sends(masquerade: Masquerade) -> str:
    return masquerade.source


def flows(before: Masquerade | None, after: Masquerade | None) -> Iterator[Request]:
    """A flow keeps its first translation, or none, for as long as it lasts."""
    if after is not None:
        earlier = before.to if before is not None and before.to != after.to else ""
        yield ForgetUnmasqueraded(after.scope, after.source, after.except_out or (), after.to, earlier)


def cuts(change: Change, course: Course) -> str:
    """Why answers of the session's server would leave with another source, "" where they would not.

    The first packet that conntrack sees decides: of a session that it does not know, that can be an answer.
    """
    passage = course.through(change.key.scope)
    tracked = course.opened not in (None, ("", 0))
    if passage is None or passage.bridged or change.after is None or not course.local or tracked:
        return ""
    is_own = passage == course.home
    if not _rewrites(change.after, course, passage.out, is_own):
        return ""
    if change.before and _rewrites(change.before, course, passage.out, is_own):
        return ""
    return f"because answers from {course.local} would leave {passage.out} with another source"


def _rewrites(masquerade: Masquerade, course: Course, out: str, is_own: bool) -> bool:
    source: Any = ip_network(masquerade.source)
    if ip_address(course.local) not in source or out in (masquerade.except_out or ()):
        return False
    return masquerade.to != course.local if masquerade.to else not is_own or course.holder != out


def disrupts(change: Change, around: Around) -> str:
    """The flows that keep their own source from now on, and those that lose the translation that they have.

    A running flow that got answers keeps its source where a masquerade is new, and its translation where it goes.
    """
    before, after = change.before, change.after
    if before is None or not around.routes_to(change.key.scope, before.source):
        return ""
    if after is None:
        return f"new flows from {before.source} leave with their own source"
    if before.to != after.to:
        return f"running flows from {before.source} are reset, and new ones leave with another source"
    have = ruleset.damaged(elements(before), before.damage)
    kept = (one for one in elements(after) if one.set.startswith("keep") and one not in have)
    names = sorted(one.key.partition(" . ")[2].strip('"') for one in kept)
    links = ", ".join(name for name in names if around.link(after.scope, name) is not None)
    return f"new flows from {before.source} by {links} leave with their own source" if links else ""


def words(masquerade: Masquerade) -> dict[str, Any]:
    return {"except_out": list(masquerade.except_out or ()), "to": masquerade.to}


def told(masquerade: Masquerade, written: bool) -> Iterator[tuple[str, str]]:
    kept = f" except out of {' '.join(masquerade.except_out)}" if masquerade.except_out and written else ""
    yield "masquerades", masquerade.source + (f" as {masquerade.to}" if masquerade.to else "") + kept


def mentions(masquerade: Masquerade) -> list[tuple[str, str]]:
    return [(masquerade.scope, link) for link in masquerade.except_out or ()]


KIND = element_kind(
    told=told,
    name="masquerade",
    mentions=mentions,
    section="masquerades",
    form=Masquerade,
    elements=elements,
    words=words,
    flows=flows,
    parse=parse,
    imply=imply,
    check=check,
    read=read,
    sends=sends,
    cuts=cuts,
    disrupts=disrupts,
)
