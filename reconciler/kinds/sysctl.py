"""A kernel setting under /proc/sys/net of one namespace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field

from reconciler.kinds.kind import EVERYWHERE, RECORD, Kind, Names, Noting, Parsed, Path, Reading, Source
from reconciler.kinds.namespace import home
from reconciler.kinds.namespace import key_of as namespace_key
from reconciler.kinds.nat.target_links import published_links
from reconciler.model.changes import Change, Live
from reconciler.model.data import dataclass
from reconciler.model.keys import HOST, NO_ORIGIN, Key
from reconciler.model.requests import Request, WriteSysctl

# These are there from the start; settings under net.netfilter and net.bridge come with a kernel module.
BUILT_IN = ("net.ipv4.", "net.ipv6.", "net.core.")
# Each namespace has its own of these.  Others, as of connection tracking, some kernels share between all of them.
_OF_ONE_SCOPE = ("net.ipv4.", "net.ipv6.")


@dataclass(frozen=True, slots=True)
class Sysctl:
    """``value`` has its blanks folded to one; ``restore`` is what a delete puts back, None for nothing."""

    scope: str
    key: str
    value: str
    restore: str | None = field(default=None, compare=False)


def key_of(scope: str, name: str) -> Key:
    """The key of a setting."""
    return Key("sysctl", scope, name)


def folded(value: object) -> str:
    """A value as the kernel would print it, blanks folded."""
    return " ".join(str(value).split())


def canonical(key: str) -> str:
    """sysctl(8) spelling with dots between the parts and "/" for a dot within one."""
    first = next((character for character in key if character in "./"), ".")
    return key.translate(str.maketrans("./", "/.")) if first == "/" else key


def parse(source: Source) -> Iterator[Parsed]:
    for key, value in (source.data.get("sysctls") or {}).items():
        sysctl = Sysctl(source.scope, canonical(key), folded(value))
        yield Key("sysctl", source.scope, sysctl.key), sysctl, source.at(("sysctls", key))


def imply(names: Names) -> Iterator[Parsed]:
    """A port published on 127.0.0.1 is sent on with that source: the kernel forbids it without route_localnet."""
    for scope in {key.scope for key in names.objects if key.kind == "port_map"}:
        maps = [one for one in names.by_scope.get((scope, "port_map"), ()) if ":" not in names.objects[one].target]
        prefixes = published_links(names, scope).items()
        for link in [link for link, held in prefixes if any(":" not in prefix for prefix in held)]:
            key = f"net.ipv4.conf.{link.replace('.', '/')}.route_localnet"
            if maps and Key("sysctl", scope, key) not in names.objects:
                origin = names.origins.get(maps[0], NO_ORIGIN)
                yield Key("sysctl", scope, key), Sysctl(scope, key, "1"), origin


def link_of(key: str) -> str:
    """The link that a sysctl belongs to, "" for none: net.ipv4.conf.LINK.forwarding."""
    parts = key.split(".")
    named = len(parts) >= 5 and parts[2] in ("conf", "neigh") and parts[3] not in ("all", "default")
    return parts[3].replace("/", ".") if named else ""


def check(sysctl: Sysctl, names: Names) -> Iterator[tuple[Path, str]]:
    link = link_of(sysctl.key)
    if link and sysctl.scope in names.exclusive and (sysctl.scope, link) not in names.links:
        yield (), f'no link "{link}" in {sysctl.scope}; declare it there'


def read(reading: Reading) -> Iterator[tuple[Key, Live]]:
    scope = reading.state.scope
    for (where, name), value in reading.live.sysctls.items():
        if where != scope:
            continue
        key = Key("sysctl", scope, name)
        topology, before, ours = reading.sysctls.get(key, ("", "", ""))
        wanted = reading.wanted.get(key)
        if wanted is not None:
            contested = topology not in ("", wanted.owner) and ours != wanted.object.value
            yield key, Live(Sysctl(scope, name, value, before), topology if contested else wanted.owner)
        elif topology and value == ours != before:  # where they are equal there is nothing to put back
            yield key, Live(Sysctl(scope, name, value, before), topology)


def create(sysctl: Sysctl, _owner: str) -> Iterator[Request]:
    yield WriteSysctl(sysctl.scope, sysctl.key, sysctl.value)


def update(_before: Sysctl, after: Sysctl, owner: str) -> Iterator[Request]:
    yield from create(after, owner)


def delete(sysctl: Sysctl) -> Iterator[Request]:
    if sysctl.restore is not None:
        yield WriteSysctl(sysctl.scope, sysctl.key, sysctl.restore)


def needs(sysctl: Sysctl, names: Names) -> Iterator[Key]:
    yield from home(sysctl.scope)
    where = (sysctl.scope, link_of(sysctl.key))
    if where in names.links:
        yield names.links[where]


def without(sysctl: Sysctl, gone: frozenset[tuple[str, str]]) -> Sysctl | None:
    return None if (sysctl.scope, link_of(sysctl.key)) in gone else sysctl


def shown(sysctl: Sysctl) -> Mapping[str, str]:
    return {"value": sysctl.value}


def record(key: Key, wanted: Sysctl, noting: Noting) -> list[str] | None:
    """The value before our first write, and ours; a setting of a link that we made goes with the link."""
    of = noting.names.links.get((wanted.scope, link_of(wanted.key)))
    if wanted.scope != HOST or (of is not None and of.kind != "interface"):
        return None
    change, noted = noting.changes.get(key), noting.noted.get(key)
    if noted is not None:
        return [noted[0], wanted.value]
    return [change.before.value, wanted.value] if change is not None and change.before is not None else None


def impossible(sysctl: Sysctl, made: Names) -> str:
    """Why a setting that is not there will not be there either: nothing in the plan brings it along."""
    brought = namespace_key(sysctl.scope) in made.objects or (sysctl.scope, link_of(sysctl.key)) in made.links
    known = sysctl.key.startswith(BUILT_IN)
    return f"the kernel has no setting {sysctl.key} in {sysctl.scope}" if known and not brought else ""


def is_local(change: Change) -> bool:
    return change.key.name.startswith(_OF_ONE_SCOPE)


def settings(key: Key) -> tuple[str]:
    return (key.name,)


KIND = Kind(
    name="sysctl",
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
    shown=shown,
    harmless=True,
    section="sysctls",
    alone=True,
    ownership=RECORD,
    shareable=True,
    record=record,
    shows=EVERYWHERE,
    local=is_local,
    impossible=impossible,
    settings=settings,
)
