"""A kernel setting under /proc/sys/net of one namespace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field

from reconciler.kinds.kind import Kind, Names, Parsed, Path, Reading, Source
from reconciler.kinds.namespace import home
from reconciler.kinds.nat.target_links import published_links
from reconciler.model.changes import Live
from reconciler.model.data import dataclass
from reconciler.model.keys import NO_ORIGIN, Key
from reconciler.model.requests import Request, WriteSysctl

# These are there from the start; settings under net.netfilter and net.bridge come with a kernel module.
BUILT_IN = ("net.ipv4.", "net.ipv6.", "net.core.")


@dataclass(frozen=True, slots=True)
class Sysctl:
    """``value`` has its blanks folded to one; ``restore`` is what a delete puts back, None for nothing."""

    scope: str
    key: str
    value: str
    restore: str | None = field(default=None, compare=False)


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
)
