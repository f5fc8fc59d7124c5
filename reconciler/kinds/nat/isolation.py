"""An isolation: into its link go only replies, traffic to published ports and traffic from the allowed links."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from reconciler.kinds.around import Around
from reconciler.kinds.context import Names, Parsed, Reading, Source
from reconciler.kinds.course import Course
from reconciler.kinds.links.link import nearest
from reconciler.kinds.nat import ruleset
from reconciler.kinds.nat.element_kind import element_kind
from reconciler.kinds.nat.ruleset import Element, ElementDifference
from reconciler.model import data as dataclasses
from reconciler.model.changes import Change, Live
from reconciler.model.data import dataclass
from reconciler.model.keys import Key
from reconciler.model.names import table_name
from reconciler.model.quoting import Path
from reconciler.model.requests import ForgetForbidden, Request
from reconciler.model.rows import TableRow


@dataclass(frozen=True, slots=True)
class Isolation:
    """``allow`` are the links that may send to this one; ``internal``: no new connections from the link either.

    ``within``: packets from the link may be forwarded back to it.
    """

    scope: str
    link: str
    allow: tuple[str, ...]
    internal: bool
    table: str
    within: bool = True
    damage: tuple[ElementDifference, ...] = ()


def key_of(scope: str, link: str) -> Key:
    return Key("isolation", scope, link)


def parse(source: Source) -> Iterator[Parsed]:
    seen: dict[str, Any] = {}
    for index, data in enumerate(source.data.get("isolations") or ()):
        path: Path = ("isolations", index)
        link = str(data["link"])
        origin = source.at(path)
        if link in seen:
            source.problem((*path, "link"), f"{link} is isolated already at {seen[link]}; keep one entry")
            continue
        seen[link] = origin
        allow = tuple(sorted({str(name) for name in data.get("allow") or ()} - {link}))
        table, within = table_name(source.topology), bool(data.get("within", True))
        made = Isolation(source.scope, link, allow, bool(data.get("internal")), table, within)
        yield key_of(source.scope, link), made, origin


def check(isolation: Isolation, names: Names) -> Iterator[tuple[Path, str]]:
    scope = isolation.scope
    if (scope, isolation.link) not in names.links:
        yield ("link",), f'no link "{isolation.link}" in {scope}{nearest(isolation.link, scope, names)}'
    for link in isolation.allow:
        if (scope, link) not in names.links:
            yield ("allow",), f'no link "{link}" in {scope}{nearest(link, scope, names)}'
        sender = names.objects.get(key_of(scope, link))
        if sender is not None and sender.internal:
            what = f"{link} is internal, nothing leaves it: it cannot be allowed into {isolation.link}"
            yield ("allow",), what


def mentions(isolation: Isolation) -> list[tuple[str, str]]:
    return [(isolation.scope, link) for link in (isolation.link, *isolation.allow)]


def admits(isolation: Isolation) -> tuple[str, frozenset[str]]:
    itself = {isolation.link} if isolation.within else set()
    return isolation.link, frozenset({*isolation.allow, *itself})


def confines(isolation: Isolation) -> str:
    return isolation.link if isolation.internal else ""


# ------------------------------------------------------------------ the kernel's form


def elements(isolation: Isolation) -> list[Element]:
    """The elements of the link and of the links allowed; the link itself for frames that its bridge shows netfilter."""
    into = ruleset.quoted(isolation.link)
    members = [Element("isolated", into)]
    if isolation.within:
        members.append(Element("allowed", f"{into} . {into}"))
    members += [Element("allowed", f"{ruleset.quoted(link)} . {into}") for link in isolation.allow]
    return members + ([Element("internal", into)] if isolation.internal else [])


def read(reading: Reading) -> Iterator[tuple[Key, Live]]:
    scope = reading.state.scope
    for table, owner in ruleset.owned_tables(reading):
        for link, members in _by_link(table).items():
            into = ruleset.quoted(link)
            pairs = [element.key for element in members if element.set == "allowed"]
            senders = {pair.removesuffix(f" . {into}").strip('"') for pair in pairs}
            live = Isolation(
                scope,
                link,
                tuple(sorted(senders - {link})),
                any(element.set == "internal" for element in members),
                table.name,
                within=link in senders,
            )
            live = dataclasses.replace(live, damage=ruleset.damage(elements(live), members))
            yield key_of(scope, link), Live(live, owner)


def _by_link(table: TableRow) -> dict[str, list[Element]]:
    """The elements of the three sets by the link that they isolate (the second of a pair)."""
    by_link: dict[str, list[Element]] = defaultdict(list)
    for name in ("isolated", "allowed", "internal"):
        for key, value in ruleset.members(table, name).items():
            text = " . ".join(ruleset.quoted(link) for link in key)
            by_link[key[-1]].append(Element(name, text, ruleset.written(value)))
    return by_link


def flows(_before: Isolation | None, after: Isolation | None) -> Iterator[Request]:
    """What the isolation forbids ends, also where it was established before."""
    if after is not None:
        within = (after.link,) if after.within else ()
        yield ForgetForbidden(after.scope, after.link, (*after.allow, *within), after.internal)


def loosens(change: Change) -> bool:
    """Whether the link gets no further protection."""
    if change.after is None or change.before is None:
        return change.after is None
    gone, come = (set(elements(one)) - set(elements(other)) for one, other in _both_ways(change.before, change.after))
    return not any(element.set == "allowed" for element in gone) and all(element.set == "allowed" for element in come)


def _both_ways(before: Isolation, after: Isolation) -> tuple[tuple[Isolation, Isolation], ...]:
    return (before, after), (after, before)


# ------------------------------------------------------------------ packets


def cuts(change: Change, course: Course) -> str:
    """Why a session that the scope forwards is kept out, "" where it is not.

    Connections from before conntrack ran count as new ones.  What the scope itself receives is never isolated.
    """
    passage = course.through(change.key.scope)
    if passage is None or not passage.forwards or change.after is None:
        return ""
    way = passage.out, passage.into, course.published
    kept_out = _keeps_out(change.after, *way) and not (change.before and _keeps_out(change.before, *way))
    return f"because {passage.into} takes no new connections from {passage.out}" if kept_out else ""


def _keeps_out(isolation: Isolation, come: str, go: str, published: bool) -> bool:
    if isolation.link == come and isolation.internal:
        return come != go or not isolation.within
    allowed = come in isolation.allow or (come == go and isolation.within)
    return isolation.link == go and not allowed and not published


def disrupts(change: Change, around: Around) -> str:
    """The flows that it forbids from now on, also those that run (see ``flows``); an idle link has none."""
    before, after = change.before, change.after
    if after is None or around.idle((after.scope, after.link)):
        return ""
    have = set(ruleset.damaged(elements(before), before.damage)) if before is not None else set()
    want = set(elements(after))
    kept_out = sorted(element.key.split(" . ")[0].strip('"') for element in have - want if element.set == "allowed")
    come = {element.set for element in want - have}
    told = []
    if "isolated" in come:
        told.append(f"flows into {after.link}, but to published ports{_but(after)}, are refused")
    elif kept_out:
        told.append(f"flows from {', '.join(kept_out)} into {after.link} are refused")
    if "internal" in come:
        told.append(f"flows from {after.link} to elsewhere are refused")
    return "; ".join(told)


def _but(isolation: Isolation) -> str:
    return f" and from {', '.join(isolation.allow)}" if isolation.allow else ""


def words(isolation: Isolation) -> dict[str, Any]:
    return {"allow": list(isolation.allow), "internal": isolation.internal, "within": isolation.within}


def told(isolation: Isolation, written: bool) -> Iterator[tuple[tuple[str, str], str]]:
    place = isolation.scope, isolation.link
    if isolation.internal or written:
        yield place, "internal" if isolation.internal else "isolated"
    if not isolation.within:
        yield place, "no traffic within"
    if isolation.allow:
        yield place, f"allows {' '.join(isolation.allow)}"


KIND = element_kind(
    told=told,
    name="isolation",
    section="isolations",
    form=Isolation,
    loosens=loosens,
    elements=elements,
    words=words,
    flows=flows,
    parse=parse,
    check=check,
    read=read,
    mentions=mentions,
    admits=admits,
    confines=confines,
    cuts=cuts,
    disrupts=disrupts,
)
