"""The files resolv.conf and hosts: of a namespace a whole stamped file under /etc/netns, of the host a marked block."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reconciler.kinds.context import Names, Parsed, Reading, Source
from reconciler.kinds.kind import Kind
from reconciler.kinds.namespace import home
from reconciler.model import data as dataclasses
from reconciler.model.changes import NOBODY, Change, Live
from reconciler.model.data import dataclass, field
from reconciler.model.keys import HOST, Key
from reconciler.model.names import BLOCK_BEGIN, BLOCK_END, FILE_STAMP, MOST_SERVERS
from reconciler.model.quoting import Path
from reconciler.model.requests import RenameBlock, Request, WriteFile

if TYPE_CHECKING:
    from reconciler.kinds.ahead import Ahead
    from reconciler.kinds.around import Around

FILES = ("resolv.conf", "hosts")
_LOOPBACK = ("127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback")


@dataclass(frozen=True, slots=True)
class DnsFile:
    """``lines`` are those of the file or block without the stamp; ``owner`` is the topology in a live file's stamp.

    ``text`` is the exact text of a namespace's live file, so that a rollback can restore it.
    """

    scope: str
    name: str
    lines: tuple[str, ...]
    owner: str = field(default="", compare=False)
    text: str | None = field(default=None, compare=False)


def parse(source: Source) -> Iterator[Parsed]:
    dns, hosts = source.data.get("dns"), source.data.get("hosts")
    if dns is not None:
        lines = tuple(_resolver_lines(source, dns))
        yield _parsed(source, "resolv.conf", lines, ("dns",))
    if hosts is not None:
        lines = tuple(_host_lines(source, hosts))
        # The file replaces /etc/hosts as a whole: without these lines "localhost" would be unknown in there.
        yield _parsed(source, "hosts", (() if source.scope == HOST else _LOOPBACK) + lines, ("hosts",))


def _parsed(source: Source, name: str, lines: tuple[str, ...], at: Path) -> Parsed:
    return Key("dns_file", source.scope, name), DnsFile(source.scope, name, lines), source.at(at)


def _resolver_lines(source: Source, dns: Mapping[str, Any]) -> Iterator[str]:
    servers = dns.get("nameservers") or ()
    if len(servers) > MOST_SERVERS:
        text = f"{len(servers)} name servers; the resolver asks the first {MOST_SERVERS} only, so keep no more"
        source.problem(("dns", "nameservers", MOST_SERVERS), text)
    for index, text in enumerate(servers):
        yield f"nameserver {_address(source, text, ('dns', 'nameservers', index))}"
    for word in ("search", "options"):
        if dns.get(word):
            yield f"{word} {' '.join(dns[word])}"


def _host_lines(source: Source, hosts: Mapping[str, Any]) -> Iterator[str]:
    for name, value in hosts.items():
        listed = isinstance(value, list)
        for index, text in enumerate(value if listed else [value]):
            path: Path = ("hosts", name, index) if listed else ("hosts", name)
            yield f"{_address(source, text, path)} {name}"


def _address(source: Source, text: str, path: Path) -> str:
    canonical = _canonical(text)
    if canonical is None:
        source.problem(path, f'"{text}" is not an IP address')
    return canonical or text


@functools.lru_cache(1 << 14)  # the sandboxes of a network all list each other's addresses
def _canonical(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def read(reading: Reading) -> Iterator[tuple[Key, Live]]:
    scope = reading.state.scope
    for (where, name), text in reading.live.files.items():
        if where != scope:
            continue
        key = Key("dns_file", scope, name)
        if scope == HOST:
            yield from _read_block(reading, key, text)
        else:
            first, _, rest = text.partition("\n")
            stamp = first[len(FILE_STAMP) :].strip() if first.startswith(FILE_STAMP) else NOBODY
            lines = tuple((rest if stamp else text).splitlines())
            owner = stamp or _overwritten(reading, key)
            yield key, Live(DnsFile(scope, name, lines, owner, text), owner, bool(stamp))


def _overwritten(reading: Reading, key: Key) -> str:
    """The owner of a file without a stamp: ours if it is desired in a namespace of ours (an edit removed the stamp)."""
    wanted = reading.wanted.get(key)
    ours = wanted is not None and reading.exclusive and reading.owner == wanted.owner
    return reading.owner if ours else NOBODY


def _read_block(reading: Reading, key: Key, text: str) -> Iterator[tuple[Key, Live]]:
    """The block of a topology of this run in a file of the host; blocks of other topologies are not read.

    Of two, which a run leaves that is killed while it moves the block, the one to move.
    """
    wanted = reading.wanted.get(key)
    for owner in sorted(reading.topologies, key=lambda name: (wanted is not None and wanted.owner == name, name)):
        lines = text.splitlines()
        if BLOCK_BEGIN + owner in lines and BLOCK_END + owner in lines:
            block = lines[lines.index(BLOCK_BEGIN + owner) + 1 : lines.index(BLOCK_END + owner)]
            yield key, Live(DnsFile(HOST, key.name, tuple(block), owner), owner)
            return


def create(file: DnsFile, owner: str) -> Iterator[Request]:
    if file.text is not None:
        yield WriteFile(file.scope, file.name, file.text, owner)
        return
    first, last = (BLOCK_BEGIN + owner, [BLOCK_END + owner]) if file.scope == HOST else (FILE_STAMP + owner, [])
    yield WriteFile(file.scope, file.name, "\n".join([first, *file.lines, *last]) + "\n", owner)


def update(_before: DnsFile, after: DnsFile, owner: str) -> Iterator[Request]:
    yield from create(after, owner)


def adopt(file: DnsFile, _wanted: DnsFile, owner: str) -> Iterator[Request]:
    yield from create(dataclasses.replace(file, text=None), owner)
    if file.scope == HOST and file.owner not in ("", owner):  # another topology's block, of which this is a copy now
        yield from delete(file)


def stamp(file: DnsFile) -> str | None:
    return file.owner if file.scope == HOST else file.text


def restamp(now: DnsFile, file: DnsFile) -> Iterator[Request]:
    yield from create(file, file.owner)
    if file.scope == HOST and now.owner != file.owner:
        yield from delete(now)


def rename(file: DnsFile, topology: str, to: str) -> Iterator[Request]:
    """The rest of the file stays to the letter, also in the host's own."""
    if file.owner != topology:
        return
    if file.scope == HOST:
        yield RenameBlock(file.name, topology, to)
    else:
        _, end, rest = (file.text or "").partition("\n")
        yield WriteFile(file.scope, file.name, FILE_STAMP + to + end + rest, to)


def delete(file: DnsFile) -> Iterator[Request]:
    yield WriteFile(file.scope, file.name, None, file.owner)


def edits(file: DnsFile) -> str:
    """The name of the host's file, which keeps what others wrote into it; "" for a namespace's, which is all ours."""
    return file.name if file.scope == HOST else ""


def refused(change: Change, ahead: Ahead) -> str:
    """Why a declared name server would never be asked: too many of others stand above the block."""
    file: DnsFile = change.after
    if file.scope != HOST or file.name != FILES[0]:
        return ""
    return unasked(file, change.owner, ahead.files.get((HOST, file.name), ""))


def unasked(file: DnsFile, owner: str, text: str) -> str:
    """The name servers of a block that the resolver never asks, and why; "" for none.  ``text`` is the host's file."""
    lines = text.splitlines()
    begin = BLOCK_BEGIN + owner
    # Without a block the place is at the end of the file, where a new one goes.
    above = _servers(lines[: lines.index(begin)] if begin in lines else lines)
    never = _servers(file.lines)[max(MOST_SERVERS - len(above), 0) :]
    if not never:
        return ""
    what = f"the resolver asks the first {MOST_SERVERS} name servers of /etc/{file.name} only, and "
    what += f"{', '.join(above)} of others stand above the block of {owner}: {', '.join(never)} would never be asked"
    return f"{what}; take {len(never)} of them out of the file"


def idle(file: DnsFile, text: str, coming: bool) -> tuple[str, str]:
    """The name servers of the host's block that the resolver never asks; see Kind.idle."""
    own, listed = _servers(file.lines), _servers(text.splitlines())
    if coming:  # at the end of the file
        listed += [server for server in own if server not in listed]
    never = [server for server in own if server in listed[MOST_SERVERS:] and server not in listed[:MOST_SERVERS]]
    if file.scope != HOST or not never:
        return "", ""
    message = f"the resolver asks the first {MOST_SERVERS} name servers of the file only, and never {', '.join(never)}"
    return message, f"take {len(never)} of those that stand above ({', '.join(listed[:MOST_SERVERS])}) out of it"


def _servers(lines: Iterable[str]) -> list[str]:
    words = (line.split() for line in lines)
    return [parts[1] for parts in words if len(parts) > 1 and parts[0] == "nameserver"]


def needs(file: DnsFile, _names: Names) -> tuple[Key, ...]:
    return home(file.scope)


def told(file: DnsFile, written: bool) -> Iterator[tuple[str, str]]:
    lines = [line for line in file.lines if line not in _LOOPBACK] if written else ()
    yield from ((file.name, line) for line in lines)


def disrupts(change: Change, around: Around) -> str:
    """Names that lead elsewhere from now on, and name servers that are asked no more; running flows go on."""
    before, after = (_meaning(file) for file in (change.before, change.after))
    if change.key.name == "hosts":
        gone = sorted(before.keys() - after.keys())
        moved = sorted(
            name for name in before.keys() & after.keys() if _moves(before[name], after[name], change, around)
        )
        parts = [f"new flows to {_named(moved)} go elsewhere"] if moved else []
        return "; ".join([*parts, f"{_named(gone)} {_have(gone)} no address in hosts"] if gone else parts)
    if change.before is None:
        return "names are asked of other name servers" if after.get("nameserver") and change.key.scope != HOST else ""
    other = any(before.get(word) and before[word] != after.get(word, ())[: len(before[word])] for word in _ASKED)
    return "names are asked of other name servers or in other domains" if other else ""


def _moves(before: Sequence[str], after: Sequence[str], change: Change, around: Around) -> bool:
    """Whether a name leads elsewhere: not where addresses come behind those that it has, or all are the scope's own."""
    if after[: len(before)] == before:
        return False
    return not all(around.holders(change.key.scope, address) for address in before) or not all(
        around.holders(change.key.scope, address, after=True) for address in after
    )


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _have(names: Sequence[str]) -> str:
    return "have" if len(names) > 1 else "has"


_ASKED = ("nameserver", "search")


def _meaning(file: DnsFile | None) -> dict[str, tuple[str, ...]]:
    """Of hosts, name -> addresses; of resolv.conf, word -> values."""
    meaning: dict[str, tuple[str, ...]] = {}
    lines = [line for line in (file.lines if file is not None else ()) if line.strip() and line not in _LOOPBACK]
    for first, *rest in map(str.split, lines):
        pairs = (
            [(name, (first,)) for name in rest] if file is not None and file.name == "hosts" else [(first, (*rest,))]
        )
        for name, values in pairs:
            meaning[name] = (*meaning.get(name, ()), *values)
    return meaning


KIND = Kind(
    name="dns_file",
    told=told,
    form=DnsFile,
    schema="dns_file",
    parse=parse,
    read=read,
    needs=needs,
    refused=refused,
    create=create,
    update=update,
    delete=delete,
    adopt=adopt,
    stamp=stamp,
    restamp=restamp,
    disrupts=disrupts,
    rename=rename,
    harmless=True,
    section="dns hosts",
    alone=True,
    edits=edits,
    idle=idle,
    outlives=True,
)
