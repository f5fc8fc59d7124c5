"""A sysctl under /proc/sys/net, in one scope."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from reconciler.kinds import ipv6, sysctl_cuts, sysctl_disrupts, sysctl_effects, sysctl_records, sysctl_values
from reconciler.kinds.context import Names, Noted, Parsed, Reading, Source
from reconciler.kinds.course import Course
from reconciler.kinds.grounds import Ground, Taking
from reconciler.kinds.kind import EVERYWHERE, RECORD, Kind
from reconciler.kinds.namespace import home
from reconciler.kinds.namespace import key_of as namespace_key
from reconciler.kinds.nat.target_links import published_links
from reconciler.kinds.route.form import RTPROT_RA
from reconciler.kinds.sysctl_effects import link_of
from reconciler.kinds.sysctl_records import key_of as key_of
from reconciler.model import data as dataclasses
from reconciler.model.changes import Change, Live
from reconciler.model.data import dataclass, field
from reconciler.model.keys import HOST, NO_ORIGIN, Key
from reconciler.model.patterns import pattern
from reconciler.model.quoting import Path
from reconciler.model.requests import Request, WriteSysctl
from reconciler.model.rows import ScopeState

if TYPE_CHECKING:
    from reconciler.kinds.ahead import Ahead
    from reconciler.kinds.around import Around

_UNNOTED = Noted("", (None, ""))
# The modules that bring settings which do not always exist.
_MODULES = (
    ("net.bridge.", "br_netfilter"),
    ("net.netfilter.nf_conntrack", "nf_conntrack"),
    ("net.nf_conntrack_max", "nf_conntrack"),
    ("net.mpls.", "mpls_router"),
    ("net.sctp.", "sctp"),
)
# Each namespace has its own of these; some kernels share others, as those of connection tracking, between namespaces.
_OF_ONE_SCOPE = ("net.ipv4.", "net.ipv6.")


@dataclass(frozen=True, slots=True)
class Sysctl:
    """A sysctl; each run of blanks in ``value`` is one blank.

    ``restore`` is the value that a deletion writes, None for no write.
    ``others`` are (sysctl, value) pairs to write after that: the kernel changes these sysctls with the first write.
    """

    scope: str
    key: str
    value: str
    restore: str | None = field(default=None, compare=False)
    others: tuple[tuple[str, str], ...] = field(default=(), compare=False)


def folded(value: object) -> str:
    """A value as the kernel prints it, with each run of blanks as one blank."""
    return " ".join(str(value).split())


def canonical(key: str) -> str:
    """A sysctl's name as sysctl(8) spells it: dots between the parts, "/" for a dot within a part."""
    first = next((character for character in key if character in "./"), ".")
    return key.translate(str.maketrans("./", "/.")) if first == "/" else key


def parse(source: Source) -> Iterator[Parsed]:
    """The declared sysctls: those for all links first, then the defaults of new links, then those of single links."""
    listed = [(canonical(key), key, value) for key, value in (source.data.get("sysctls") or {}).items()]
    for name, key, value in sorted(listed, key=lambda entry: sysctl_effects.level(entry[0])):
        sysctl = Sysctl(source.scope, name, sysctl_values.normal(name, folded(value)))
        yield key_of(source.scope, sysctl.key), sysctl, source.at(("sysctls", key))


def imply(names: Names) -> Iterator[Parsed]:
    """route_localnet on links to port map targets: without it the kernel drops what comes from 127.0.0.1."""
    for scope in {key.scope for key in names.objects if key.kind == "port_map"}:
        maps = [
            port_map
            for port_map in names.by_scope.get((scope, "port_map"), ())
            if ":" not in names.objects[port_map].target
        ]
        prefixes = published_links(names, scope).items()
        for link in [link for link, subnets in prefixes if any(":" not in prefix for prefix in subnets)]:
            key = sysctl_effects.route_localnet(link)
            if maps and key_of(scope, key) not in names.objects:
                origin = names.origins.get(maps[0], NO_ORIGIN)
                yield key_of(scope, key), Sysctl(scope, key, "1"), origin


def check(sysctl: Sysctl, names: Names) -> Iterator[tuple[Path, str]]:
    link = link_of(sysctl.key)
    if link and sysctl.scope in names.exclusive and (sysctl.scope, link) not in names.links:
        yield (), f'no link "{link}" in {sysctl.scope}; declare it there'
    elif lost := _lost_below_ipv6(sysctl, link, names):
        yield (), lost
    if text := sysctl_values.wrong(sysctl.key, sysctl.value):
        yield (), text
    other = names.objects.get(key_of(sysctl.scope, sysctl_effects.IP_FORWARD))
    if sysctl.key == sysctl_effects.ALL_FORWARDING and other is not None and other.value != sysctl.value:
        yield (), f"it is the same setting as {other.key}, which is {other.value} here"


def _lost_below_ipv6(sysctl: Sysctl, link: str, names: Names) -> str:
    """Why the kernel has no IPv6 settings of a link: it deletes them together with IPv6."""
    narrow = ipv6.narrow(sysctl.scope, link, names) if link and sysctl.key.startswith("net.ipv6.") else ""
    return f"{narrow}, and below it the kernel has none of its settings for {link}" if narrow else ""


def read(reading: Reading) -> Iterator[tuple[Key, Live]]:
    scope = reading.state.scope
    noted = sysctl_records.known(reading)
    for (where, name), value in reading.live.sysctls.items():
        if where != scope:
            continue
        key = key_of(scope, name)
        topology, (before, ours, *_) = noted.get(key, _UNNOTED)
        wanted = reading.wanted.get(key)
        if wanted is not None:
            contested = topology not in ("", wanted.owner) and ours != wanted.object.value
            others = () if value == wanted.object.value else tuple(sysctl_records.of_others(reading, name))
            yield key, Live(Sysctl(scope, name, value, before, others), topology if contested else wanted.owner)
        elif topology and value == ours:
            back = sysctl_records.going_back(reading, name, noted[key])
            if back not in (None, value) and reading.owner in ("" if scope == HOST else topology, topology):
                yield key, Live(Sysctl(scope, name, value, back, sysctl_records.along(reading, name)), topology)


def create(sysctl: Sysctl, _owner: str) -> Iterator[Request]:
    yield WriteSysctl(sysctl.scope, sysctl.key, sysctl.value)


def update(before: Sysctl, after: Sysctl, owner: str) -> Iterator[Request]:
    yield from create(after, owner)
    yield from _others(before)


def delete(sysctl: Sysctl) -> Iterator[Request]:
    if sysctl.restore is not None:
        yield WriteSysctl(sysctl.scope, sysctl.key, sysctl.restore)
        yield from _others(sysctl)


def _others(sysctl: Sysctl) -> Iterator[Request]:
    return (WriteSysctl(sysctl.scope, key, value) for key, value in sysctl.others)


def needs(sysctl: Sysctl, names: Names) -> Iterator[Key]:
    yield from home(sysctl.scope)
    where = (sysctl.scope, link_of(sysctl.key))
    if where in names.links:
        yield names.links[where]
    yield from (key for key in _causes(sysctl) if key in names.objects)
    if sysctl_effects.opens(sysctl.key):  # our rules must be there first
        yield from names.by_scope.get((sysctl.scope, "nft_table"), ())
    if sysctl.key.startswith("net.ipv6.conf.") and sysctl.key.endswith(".forwarding"):
        yield from _before_forwarding(sysctl.scope, names)


def _before_forwarding(scope: str, names: Names) -> list[Key]:
    """The accept_ra of existing links: it must be set before forwarding, or the kernel deletes the learned routes."""
    keys = names.near.get(f"accept_ra of {scope}")
    if keys is None:
        declared = (key for key in names.by_scope.get((scope, "sysctl"), ()) if key.name.endswith(".accept_ra"))
        keys = [key for key in declared if not _is_made((scope, link_of(key.name)), names)]
        names.near[f"accept_ra of {scope}"] = keys
    listed: list[Key] = keys
    return listed


def _is_made(where: tuple[str, str], names: Names) -> bool:
    return where in names.links and names.links[where].kind != "interface"


def _causes(sysctl: Sysctl) -> Iterator[Key]:
    return (key_of(sysctl.scope, name) for name, _ in sysctl_effects.causes(sysctl.key))


def upset(wanted: Sysctl, changes: Mapping[Key, Change]) -> Sysctl:
    """The sysctl after the kernel has changed it because of others: conf.all.disable_ipv6 sets that of every link."""
    left = wanted
    for name, value_left in sysctl_effects.causes(wanted.key):
        change = changes.get(key_of(wanted.scope, name))
        written = change and (change.after.value if change.after else change.before.restore)
        if written:
            left = dataclasses.replace(wanted, value=value_left(written))
    return left


def upsets(sysctl: Sysctl, links: Iterable[str]) -> Iterator[Key]:
    """The sysctls that the kernel may change when this one is written; ``links`` are those of its scope."""
    return (key_of(sysctl.scope, name) for name in sysctl_effects.reached(sysctl.key, links))


def ipv6_switches(scope: str, link: str, names: Names) -> Iterator[Key]:
    """The declared sysctls that switch IPv6 on or off on a link."""
    keys = (ipv6.switch(scope, place) for place in ("all", "default", link))
    return (key for key in keys if key in names.objects)


def before_links(scope: str, names: Names) -> list[Key]:
    """The declared sysctls for all links and for new links: they are written before a link is created."""
    keys = names.near.get(f"sysctls of {scope}")
    if keys is None:
        keys = [key for key in names.by_scope.get((scope, "sysctl"), ()) if sysctl_effects.of_new_links(key.name)]
        names.near[f"sysctls of {scope}"] = keys
    listed: list[Key] = keys
    return listed


def without(sysctl: Sysctl, gone: frozenset[tuple[str, str]]) -> Sysctl | None:
    return None if (sysctl.scope, link_of(sysctl.key)) in gone else sysctl


# ------------------------------------------------------------------------------------------------ consequences


def lies_on(sysctl: Sysctl) -> tuple[tuple[str, str], ...]:
    link = link_of(sysctl.key)
    return ((sysctl.scope, link),) if link else ()


def takes(changes: Sequence[Change], live: Mapping[Key, Live]) -> Iterator[Taking]:
    """disable_ipv6 deletes the IPv6 addresses and routes of a link or of all; forwarding deletes learned routes."""
    values = {change.key: value for change in changes if (value := _set_to(change)) is not None}
    for key, value in values.items():
        match = _SWITCH.fullmatch(key.name)
        if match is None or value == "0" or match[1] == "default":
            continue
        if match[2] == "forwarding":
            yield from _learned(key, values, live)
            continue
        links = _links_of(key.scope, live) if match[1] == "all" else [match[1].replace("/", ".")]
        for link in links:
            own = key_of(key.scope, f"net.ipv6.conf.{link.replace('.', '/')}.disable_ipv6")
            again = match[1] == "all" and values.get(own, _value_of(live.get(own))) == "0"
            yield Taking(Ground("ipv6", key.scope, link), key, not again)


_SWITCH = pattern(r"net\.ipv6\.conf\.([^.]+)\.(disable_ipv6|forwarding)")


def _learned(cause: Key, values: Mapping[Key, str], live: Mapping[Key, Live]) -> Iterator[Taking]:
    """Forwarding on one link or on all deletes the learned routes of every link whose accept_ra is 1.

    Links with accept_ra 2 keep them, and where it is 0 a daemon adds the routes (rt6_purge_dflt_routers in
    net/ipv6/route.c).
    """
    routes = [entry.object for key, entry in live.items() if key.kind == "route" and key.scope == cause.scope]
    for link in sorted({hop.dev for route in routes if route.protocol == RTPROT_RA for hop in route.hops if hop.dev}):
        name = _accept_ra(link)
        if values.get(key_of(cause.scope, name), "1") == "1":
            yield Taking(Ground("learned", cause.scope, link), cause, True, (cause.scope, name, "1"))


def _accept_ra(link: str) -> str:
    return f"net.ipv6.conf.{link.replace('.', '/')}.accept_ra"


def sets(change: Change) -> tuple[str, str] | None:
    """The setting, and the value that a change writes to it; None where it writes nothing."""
    value = _set_to(change)
    return None if value is None else (change.key.name, value)


def cuts(change: Change, course: Course) -> str:
    value = _set_to(change)
    return "" if value is None else sysctl_cuts.cuts(change.key.name, value, change.key.scope, course)


def disrupts(change: Change, around: Around) -> str:
    """What the value stops that is written; a sysctl that does not exist yet stops nothing."""
    value, scope = _set_to(change), change.key.scope
    before = None if change.before is None else str(change.before.value)
    if value is None or before is None:
        return ""
    return sysctl_disrupts.disrupts(change.key.name, before, value, lambda name: around.value(scope, name))


def _set_to(change: Change) -> str | None:
    after = change.after.value if change.after is not None else change.before.restore
    return str(after) if after is not None else None


def _value_of(live: Live | None) -> str:
    return "" if live is None else str(live.object.value)


def _links_of(scope: str, live: Mapping[Key, Live]) -> list[str]:
    """The links of a scope that have addresses or routes."""
    links = {entry.object.link for key, entry in live.items() if key.kind == "address" and key.scope == scope}
    routes = (entry.object for key, entry in live.items() if key.kind == "route" and key.scope == scope)
    return sorted(links | {hop.dev for route in routes for hop in route.hops if hop.dev})


def shown(sysctl: Sysctl) -> Mapping[str, str]:
    return {"value": sysctl.value}


def impossible(sysctl: Sysctl, made: Names) -> str:
    """The message for a sysctl that does not exist and that no object of the plan brings, "" for any other."""
    brought = namespace_key(sysctl.scope) in made.objects or (sysctl.scope, link_of(sysctl.key)) in made.links
    known = sysctl.key.startswith(sysctl_effects.BUILT_IN)
    return f"the kernel has no setting {sysctl.key} in {sysctl.scope}" if known and not brought else ""


def modules(sysctl: Sysctl) -> Iterator[str]:
    return (module for start, module in _MODULES if sysctl.key.startswith(start))


def asks(change: Change) -> Iterator[tuple[str, str]]:
    yield change.key.scope, change.key.name


def refused(change: Change, ahead: Ahead) -> str:
    live = ahead.setting(change.key.scope, change.key.name)
    return "" if live is None else sysctl_values.unlike(change.key.name, change.after.value, live)


def is_local(change: Change) -> bool:
    """Whether each namespace has its own value of the sysctl."""
    return change.key.name.startswith(_OF_ONE_SCOPE)


def settings(key: Key) -> tuple[str, ...]:
    """The sysctl, for a link's sysctl the default that a new link takes its value from, and what overrules it."""
    return tuple(filter(None, (key.name, sysctl_effects.default_of(key.name), sysctl_disrupts.overruling(key.name))))


def shown_by(state: ScopeState) -> Iterator[str]:
    """The route_localnet of the links to which our tables publish ports: read also where the record is lost."""
    for name in sysctl_records.published(state.tables.values()):
        yield from settings(key_of(state.scope, name))


def told(sysctl: Sysctl, written: bool) -> Iterator[tuple[str, str]]:
    if written:
        yield "", f"{sysctl.key} {sysctl.value}"


KIND = Kind(
    name="sysctl",
    told=told,
    form=Sysctl,
    schema="sysctl",
    parse=parse,
    imply=imply,
    check=check,
    read=read,
    needs=needs,
    create=create,
    update=update,
    delete=delete,
    without=without,
    upset=upset,
    upsets=upsets,
    lies_on=lies_on,
    takes=takes,
    sets=sets,
    cuts=cuts,
    disrupts=disrupts,
    shown=shown,
    harmless=True,
    restores=True,
    section="sysctls",
    alone=True,
    ownership=RECORD,
    shareable=True,
    record=sysctl_records.record,
    births=sysctl_records.births,
    recall=sysctl_records.recall,
    shows=EVERYWHERE,
    local=is_local,
    modules=modules,
    asks=asks,
    refused=refused,
    impossible=impossible,
    settings=settings,
    shown_by=shown_by,
)
