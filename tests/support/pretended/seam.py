"""How the pretended kernel takes the place of the real one."""

from __future__ import annotations

import dataclasses
import errno
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from ipaddress import ip_address, ip_interface, ip_network
from itertools import groupby
from typing import Any

import by_hand
import pytest
from situations import NOT_PRETENDED, Situation

from pretended import nft, settings
from pretended.host import Host, ours
from pretended.picture import picture
from reconciler.cli import options
from reconciler.kernel import live, writer
from reconciler.kernel.namespaces import libc
from reconciler.kernel.netlink import neighbours, reader, transport
from reconciler.kernel.netlink import path as kernel_path
from reconciler.kernel.nftables import nft_tables, rename_table
from reconciler.kernel.observe import foreign_rules, link_programs, sock_diag
from reconciler.kernel.proc import dns_files, link_settings, modules, ssh_session, sysctl
from reconciler.model.errors import Failure
from reconciler.model.firewall import Chain
from reconciler.model.requests import Forget, ForgetForbidden, Netlink, NftElement, NftFrame, NftLateElement, Request
from reconciler.model.rows import LearnedRow, LinkRow, LinkSettings, Listener, LiveState, ScopeState, Way
from reconciler.run import host, rehearsed_ways
from reconciler.safety import journal, state_dir

Fault = Callable[[int, Request], Failure | None]


class Pretended:
    """One pretended host and what was sent to it.

    ``fault`` is asked before each request is carried out, with its number from 1; a Failure refuses it.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.host = Host()
        self.sent: list[Request] = []
        self.fault: Fault = lambda _number, _request: None
        self.listeners: list[Listener] = []
        self.learned: dict[str, list[LearnedRow]] = {}
        self.chains: list[Chain] = []
        self.session: ssh_session.Session | None = None
        self.port = ""  # of a bridge, behind which the session is
        self.absent: dict[str, dict[str, str]] = {}  # modules that are not loaded, and the host's settings with them

    def load(self, _kernel: object, name: str) -> None:
        self.host.space("host").settings.update(self.absent.pop(name))

    def sh(self, *commands: str) -> None:
        """Commands as people type them (see by_hand.py)."""
        for command in commands:
            by_hand.run(self.host, self.etc, command)

    @property
    def etc(self) -> pathlib.Path:
        return self.folder / "etc"

    def picture(self) -> dict[str, Any]:
        """All that an apply can change: the namespaces by name, and the files of /etc."""
        host = self.host
        states = host.states(list(host.names))
        for scope, state in states.items():
            state.neighbours = host.space(scope).neighbours
        found = picture(states, {scope: host.space(scope).settings for scope in states})
        files = sorted(path for path in self.etc.rglob("*") if path.is_file())
        return found | {str(path.relative_to(self.folder)): path.read_text() for path in files}

    def records(self) -> dict[str, str]:
        """What is on record of topologies, and of a run that is not settled."""
        files = sorted((self.folder / "netrecon").glob("*"))
        return {path.name: path.read_text() for path in files if path.is_file() and path.name != "lock"}

    def save(self) -> tuple[Host, dict[pathlib.Path, bytes]]:
        """The host and all files, for ``restore``."""
        files = (path for path in self.folder.rglob("*") if path.is_file() and path.parent != self.folder)
        return self.host.copy(), {path: path.read_bytes() for path in files}

    def restore(self, saved: tuple[Host, dict[pathlib.Path, bytes]]) -> None:
        host, files = saved
        self.host = host.copy()
        for one in self.save()[1].keys() - files.keys():
            one.unlink()
        for one, data in files.items():
            one.parent.mkdir(parents=True, exist_ok=True)
            one.write_bytes(data)

    def carry_out(self, requests: list[Request], parking: bool) -> Failure | None:
        """One request, or those of one scope that go as one: a transaction of nft's, a look for stale flows."""
        number = len(self.sent) + 1
        self.sent.append(requests[0])
        refusal = self.fault(number, requests[0])
        if refusal is not None:
            optional = isinstance(requests[0], Netlink) and requests[0].optional
            return None if optional else refusal
        if isinstance(requests[0], NftFrame | NftElement):
            return self.host.transact(
                requests[0].scope, [one for one in requests if isinstance(one, NftFrame | NftElement)]
            )
        return self.host.carry_out(requests[0], parking)


class Kernel:
    """What of the worker's Kernel the rooms above use."""

    def __init__(self, pretended: Pretended) -> None:
        self.pretended = pretended

    def __enter__(self) -> Kernel:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def namespaces(self) -> list[str]:
        return sorted(name for name in self.pretended.host.names if name != "host")

    def unnamed(self) -> list[str]:
        return []

    def exists(self, name: str) -> bool:
        return name in self.pretended.host.names

    def with_sockets(self, scopes: Iterable[str], *_protocols: int) -> Iterator[str]:
        yield from scopes

    def occupants(self, names: Iterable[str]) -> dict[str, list[int]]:
        return {name: self.pretended.host.occupants.get(name, []) for name in names}

    def in_the_way(self, _name: str) -> str:
        return ""

    def release_parked(self) -> None:
        self.pretended.host.release_parked()


class Writer:
    """As kernel.writer.Writer: entries independent of each other, an entry with a failure goes no further."""

    def __init__(self, kernel: Kernel, _live: object, _nft: object, parking: bool = False) -> None:
        self._pretended, self._parking = kernel.pretended, parking
        self.sent = 0

    def send(self, batch: list[list[Request]]) -> list[Failure | None]:
        results: list[Failure | None] = [None] * len(batch)
        runs = [[list(run) for _, run in groupby(entry, _place)] for entry in batch]
        for stage in range(max(map(len, runs), default=0)):
            together: dict[object, list[tuple[int, Request]]] = {}
            for number, entry in enumerate(runs):
                for request in entry[stage] if results[number] is None and stage < len(entry) else ():
                    together.setdefault(_place(request), []).append((number, request))
            for _, listed in sorted(together.items(), key=lambda one: one[0][0] == "netlink"):  # type: ignore[index]
                self._deliver(listed, results)
        return results

    def _deliver(self, listed: list[tuple[int, Request]], results: list[Failure | None]) -> None:
        one_go = isinstance(listed[0][1], NftFrame | NftElement | Forget | ForgetForbidden)
        for part in [listed] if one_go else [[one] for one in listed]:
            self.sent += 1
            failure = self._pretended.carry_out([request for _, request in part], self._parking)
            for number, _ in part:
                results[number] = results[number] or failure


def _place(request: Request) -> tuple[str, str]:
    if isinstance(request, NftFrame | NftElement):
        return "nft, later" if isinstance(request, NftLateElement) else "nft", request.scope
    return ("netlink" if isinstance(request, Netlink) else type(request).__name__), getattr(request, "scope", "")


def prepared_situation(
    case: dict[str, Any], folder: pathlib.Path, capsys: Any, pretended: Pretended
) -> tuple[Situation, str]:
    """The situation as it is before the attempt, and its file; skipped where a command of it is not pretended."""
    situation = Situation(case, folder, capsys, pretended.sh, pretended.picture)
    try:
        return situation, situation.prepare()
    except by_hand.Unknown as unknown:
        pytest.skip(f"{NOT_PRETENDED}: {unknown}")


# ------------------------------------------------------------------ reading


def _read(kernel: Kernel, scopes: Iterable[str], _tables: object = None) -> dict[str, ScopeState]:
    return kernel.pretended.host.states(list(scopes))


def _read_more(
    kernel: Kernel, found: LiveState, aside: Iterable[str], sysctls: Mapping[str, Iterable[str]], uppers: bool
) -> LiveState:
    """With the neighbours of some scopes; with ``uppers``, links of other namespaces that lie on one of those found."""
    scopes = dict(found.scopes)
    for scope in (scope for scope in aside if scope in scopes):
        space = kernel.pretended.host.space(scope)
        tables = sorted(name for name in space.tables if not ours(*name))
        scopes[scope] = dataclasses.replace(scopes[scope], neighbours=list(space.neighbours), foreign_tables=tables)
    everything = kernel.pretended.host.states(["host", *kernel.namespaces()]) if uppers else {}
    for scope, state in everything.items():
        if scope not in scopes and state.below:
            links = {index: state.links[index] for index in state.below}
            addresses = [row for row in state.addresses if row.index in links]
            routes = [row for row in state.routes if any(hop.oif in links for hop in row.hops)]
            scopes[scope] = ScopeState(scope, links, addresses=addresses, routes=routes, below=state.below)
    values = _read_many(kernel, {scope: keys for scope, keys in sysctls.items() if scope in found.scopes})
    return dataclasses.replace(found, scopes=scopes, sysctls={**found.sysctls, **values})


def _tied(
    kernel: Kernel, known: Mapping[str, ScopeState], wanted: Callable[[LinkRow], bool], _resolve: object
) -> dict[str, ScopeState]:
    everything = kernel.pretended.host.states(["host", *kernel.namespaces()])
    found = {}
    for scope, state in everything.items():
        links = {index: row for index, row in state.links.items() if row.peer_nsid >= 0 and wanted(row)}
        if links and scope not in known:
            found[scope] = dataclasses.replace(state, links=links, addresses=[], routes=[], rules=[], tables={})
    for scope, state in known.items():
        state.peers = {end: far for end, far in everything[scope].peers.items() if far[0] in {**known, **found}}
    return found


def _read_learned(kernel: Kernel, scopes: Iterable[str]) -> dict[str, list[LearnedRow]]:
    return {scope: kernel.pretended.learned.get(scope, []) for scope in scopes}


def _read_owners(kernel: Kernel, scopes: Iterable[str]) -> dict[str, str]:
    return {scope: kernel.pretended.host.state(scope).owner for scope in scopes}


def _read_links(kernel: Kernel, scope: str) -> list[LinkRow]:
    return list(kernel.pretended.host.state(scope).links.values())


def _read_tables(kernel: Kernel, scope: str) -> Any:
    return kernel.pretended.host.state(scope).tables


def _listing(kernel: Kernel, scope: str, name: str) -> str:
    table = kernel.pretended.host.space(scope).tables.get(("inet", name))
    return nft.listing("inet", name, table) if table else ""


def _read_many(kernel: Kernel, keys: Mapping[str, Iterable[str]]) -> dict[tuple[str, str], str]:
    host = kernel.pretended.host
    wanted = ((scope, key) for scope, names in keys.items() for key in names)
    return {(scope, key): value for scope, key in wanted if (value := host.space(scope).settings.get(key)) is not None}


@cache
def _newborn() -> Mapping[str, str]:
    return Host().space("host").settings


def _read_at_birth(keys: Iterable[str]) -> dict[str, str]:
    return {key: value for key in keys if (value := _newborn().get(key)) is not None}


def _ways(kernel: Kernel, scope: str, packets: Iterable[kernel_path.Packet]) -> list[kernel_path.Way]:
    return [_way(kernel, scope, packet) for packet in packets]


def _way(kernel: Kernel, scope: str, packet: kernel_path.Packet) -> kernel_path.Way:
    """By the main table alone: rules and other tables are not pretended."""
    if scope not in kernel.pretended.host.names:
        return kernel_path.Way(error="Network is unreachable")
    state = kernel.pretended.host.states([scope])[scope]
    if any(row.address.partition("/")[0] == packet.to for row in state.addresses):
        return kernel_path.Way("local")
    to = ip_address(packet.to)
    fitting = [row for row in state.routes if row.table == 254 and to in ip_network(row.to)]
    best = min(fitting, key=lambda row: (-ip_network(row.to).prefixlen, row.metric), default=None)
    if best is None or not best.hops:
        return kernel_path.Way(error="Network is unreachable")
    return kernel_path.Way("unicast", best.hops[0].oif, best.hops[0].via, best.source, mtu=best.mtu)


def _read_sysctls(kernel: Kernel, scope: str, keys: Iterable[str]) -> dict[str, str | None]:
    return {key: kernel.pretended.host.space(scope).settings.get(key) for key in keys}


def _settings_of(kernel: Kernel, scope: str, link: str) -> dict[str, dict[str, str]]:
    held = kernel.pretended.host.space(scope).settings
    found = {
        f"ipv{family}": {name: held[key] for name in names if (key := settings.key_of(family, link, name)) in held}
        for family, names in settings.LINK.items()
    }
    return {family: values for family, values in found.items() if values}


def _read_link_settings(kernel: Kernel, links: Mapping[str, Iterable[str]]) -> list[LinkSettings]:
    places = [(scope, link) for scope, names in links.items() for link in names]
    return [
        LinkSettings(b"", _settings_of(kernel, scope, link), ((scope, link),))
        for scope, link in places
        if kernel.pretended.host.space(scope).has(link)
    ]


def _differing(kernel: Kernel, before: Iterable[LinkSettings]) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for one in before:
        for scope, link in one.links:
            now = _settings_of(kernel, scope, link) if kernel.exists(scope) else {}
            for family, values in one.values.items():
                for name, value in values.items() if family in now else ():
                    if name != "mtu" and now[family][name] != value:
                        found[scope, settings.key_of(int(family[-1]), link, name)] = value
    return found


def _ways(kernel: Kernel, scope: str, packets: Sequence[kernel_path.Packet]) -> list[Way]:
    """By the most specific subnet or route, without a look at rules."""
    space = kernel.pretended.host.space(scope)
    own = [(ip_interface(row.address).network, row.index) for row in space.addresses]
    routed = [(ip_network(row.to), row.hops[0].oif) for row in space.routes if row.hops]
    found = []
    for packet in packets:
        to = ip_address(packet.to)
        fitting = [(net.prefixlen, oif) for net, oif in own + routed if net.version == to.version and to in net]
        way = Way("unicast", max(fitting)[1]) if fitting else Way(error="no route", errno=errno.ENETUNREACH)
        found.append(way)
    return found


# ------------------------------------------------------------------ plugged in


# A run makes these once, which takes longer than the run itself does here.
_root, _of_command = cache(options.root), cache(options.of_command)


def plug_in(monkeypatch: pytest.MonkeyPatch, folder: pathlib.Path) -> Pretended:
    """Put a pretended kernel in the place of the real one; /etc and /run/netrecon are folders in ``folder``."""
    pretended = Pretended(folder)
    for module, words in _SEAM.items():
        for name, stand_in in words.items():
            monkeypatch.setattr(module, name, stand_in)
    monkeypatch.setattr(host, "kernel", lambda: Kernel(pretended))
    monkeypatch.setattr(sock_diag, "listeners", lambda *_: pretended.listeners)
    monkeypatch.setattr(foreign_rules, "chains", lambda *_: tuple(pretended.chains))
    monkeypatch.setattr(link_programs, "read", lambda *_: ())
    monkeypatch.setattr(ssh_session, "ssh_session", lambda: pretended.session)
    monkeypatch.setattr(ssh_session, "port_towards", lambda *_: pretended.port)
    monkeypatch.setattr(dns_files, "ETC", str(folder / "etc"))
    monkeypatch.setattr(journal, "SOCKET", str(folder / "log"))
    monkeypatch.setattr(state_dir, "FOLDER", str(folder / "netrecon"))
    monkeypatch.setattr(modules, "absent", lambda names: sorted(pretended.absent.keys() & set(names)))
    monkeypatch.setattr(modules, "load", pretended.load)
    monkeypatch.setattr(reader, "_release", lambda: pretended.host.release)
    monkeypatch.setattr(host, "need_root", lambda: None)
    monkeypatch.setattr(os, "fsync", lambda _file: None)  # nothing here has to outlive the machine
    monkeypatch.setattr(options, "root", _root)
    monkeypatch.setattr(options, "of_command", _of_command)
    (folder / "etc" / "netns").mkdir(parents=True)
    for name in dns_files.NAMES:
        (folder / "etc" / name).write_text("")
    return pretended


def _real(*_: object) -> Any:
    raise AssertionError("this reaches for the real kernel: the seam has a hole")


_SEAM: dict[Any, dict[str, Any]] = {
    writer: {"Writer": Writer},
    libc: {"setns": _real, "unshare": _real, "mount": _real},
    transport: {"open_socket": _real},
    live: {"read_more": _read_more, "_tied": _tied},
    kernel_path: {"way": _way, "ways": _ways},
    rehearsed_ways: {"changed": lambda *_: ()},
    reader: {"read": _read, "read_owners": _read_owners, "read_links": _read_links},
    neighbours: {
        "read_learned": _read_learned,
        "await_running": lambda *_: None,
        "await_detection": lambda _, requests: requests,
    },
    rename_table: {"foreseen": lambda *_: ""},
    nft_tables: {"read_tables": _read_tables, "listing": _listing, "library": lambda: None},
    sysctl: {"read_many": _read_many, "read_sysctls": _read_sysctls, "read_at_birth": _read_at_birth},
    link_settings: {"read_link_settings": _read_link_settings, "differing": _differing},
    sock_diag: {"ports_in_use": lambda *_: frozenset(), "listening": lambda *_: frozenset()},
}
