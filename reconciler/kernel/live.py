"""Reads all that a run needs from the kernel, and later reads a part of it again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import peers, reader
from reconciler.kernel.netlink.transport import NETFILTER
from reconciler.kernel.nftables import nft_tables
from reconciler.kernel.proc import dns_files, sysctl
from reconciler.model import data as dataclasses
from reconciler.model.attributes import Tables
from reconciler.model.errors import KernelError
from reconciler.model.keys import HOST, stamped
from reconciler.model.rows import LinkRow, LiveState, ScopeState


def read(
    kernel: Kernel,
    ours: Callable[[str], bool],
    wanted: Iterable[str],
    sysctls: Mapping[str, Iterable[str]],
    links: Tables,
) -> LiveState:
    """The state of the host scope, of the ``wanted`` namespaces that exist, and of those with a stamp for ``ours``.

    ``ours`` gets the topology on the stamp, "" for none.  ``sysctls``: scope -> keys to read; ``links``: the link
    attributes and dumps to read.  Raises KernelError.
    """
    chosen = set(wanted)
    names = kernel.namespaces()
    owners = reader.read_owners(kernel, (name for name in names if name not in chosen))
    scopes = [HOST, *(name for name in names if name in chosen or ours(owners[name]))]
    return _read(kernel, scopes, sysctls, links, (HOST, *dns_files.scopes()))


def read_stamped(kernel: Kernel, sysctls: Mapping[str, Iterable[str]], links: Tables) -> LiveState:
    """As ``read``, for every namespace with a stamp; of the others those stamped links that belong to a link read here.

    Other namespaces, of containers too, may be hosts with topologies of their own, which may have the same names.
    Raises KernelError.
    """
    names = kernel.namespaces()
    owners = reader.read_owners(kernel, names)
    scopes = [HOST, *(name for name in names if owners[name])]
    live = _read(kernel, scopes, sysctls, links, (HOST, *dns_files.scopes()))
    for scope, state in _tied(kernel, live.scopes, lambda row: bool(stamped(row.alias)), peers.resolve_peers).items():
        far = {**state.peers, **state.below}
        tied = {index: row for index, row in state.links.items() if index in far and far[index][0] in scopes}
        if tied:
            live.scopes[scope] = dataclasses.replace(state, links=tied)
    return live


def read_again(
    kernel: Kernel,
    before: LiveState,
    scopes: Collection[str],
    tables: Iterable[str],
    still: Container[str],
    sysctls: Mapping[str, Iterable[str]],
    links: Tables,
) -> LiveState:
    """``before``, with the ``scopes`` read again, and with the nftables tables of the scopes in ``tables`` read again.

    The tables of ``scopes`` that are ``still`` are taken to be as before.  A scope that does not exist any more is left
    out.  Raises KernelError.
    """
    existing = [scope for scope in scopes if scope == HOST or kernel.exists(scope)]
    with_files = [scope for scope in (HOST, *dns_files.scopes()) if scope in scopes]
    fresh = _read(kernel, existing, sysctls, links, with_files, still)
    for scope, state in fresh.scopes.items():
        if scope in still and scope in before.scopes:
            state.tables = before.scopes[scope].tables
    others = {scope: state for scope, state in before.scopes.items() if scope not in scopes}
    kept = peers.carry_over(before.scopes, fresh.scopes, others)
    for scope in tables:
        known = kept.pop(scope, None)
        if known is not None and (scope == HOST or kernel.exists(scope)):
            kept[scope] = dataclasses.replace(known, tables=nft_tables.read_tables(kernel, scope))
    return LiveState(
        {**kept, **fresh.scopes},
        {**{place: value for place, value in before.sysctls.items() if place[0] not in scopes}, **fresh.sysctls},
        {**{place: text for place, text in before.files.items() if place[0] not in scopes}, **fresh.files},
        before.keeps_protocol,
        before.changes_protocol,
    )


def read_more(
    kernel: Kernel, live: LiveState, aside: Iterable[str], sysctls: Mapping[str, Iterable[str]], uppers: bool
) -> LiveState:
    """``live`` with what only some plans need, see planning/consequences.py.

    ``aside``: the scopes whose neighbours and nftables tables of others are read.  With ``uppers``, namespaces that
    were not read are added with those of their links that lie on a link that was read, and the addresses and routes
    of these.  Raises KernelError.
    """
    scopes = dict(live.scopes)
    for scope in aside:
        if scope in scopes:
            neighbours = reader.read_neighbours(kernel, scope)
            tables = nft_tables.read_foreign(kernel, scope)
            scopes[scope] = dataclasses.replace(scopes[scope], neighbours=neighbours, foreign_tables=tables)
    if uppers:
        scopes.update(_uppers_elsewhere(kernel, scopes))
    values = sysctl.read_many(kernel, {scope: keys for scope, keys in sysctls.items() if scope in live.scopes})
    return dataclasses.replace(live, scopes=scopes, sysctls={**live.sysctls, **values})


def _links_elsewhere(kernel: Kernel, known: Container[str]) -> Iterator[tuple[str, list[LinkRow]]]:
    """(namespace, links) of the namespaces that were not read; one without a name is called by a process in it."""
    for scope in kernel.with_sockets([*(name for name in kernel.namespaces() if name not in known), *kernel.unnamed()]):
        try:
            yield scope, reader.read_links(kernel, scope)
        except KernelError:
            if kernel.exists(scope):
                raise


def _tied(
    kernel: Kernel,
    known: Mapping[str, ScopeState],
    wanted: Callable[[LinkRow], bool],
    resolve: Callable[[Kernel, Mapping[str, ScopeState]], None],
) -> dict[str, ScopeState]:
    """The other namespaces, only with the ``wanted`` links that have a peer, or lie on a link, in another namespace."""
    others = {
        scope: ScopeState(scope, {row.index: row for row in rows if row.peer_nsid >= 0 and wanted(row)})
        for scope, rows in _links_elsewhere(kernel, known)
    }
    candidates = {scope: state for scope, state in others.items() if state.links}
    while True:
        try:
            resolve(kernel, {**known, **candidates})
            return candidates
        except KernelError:  # the last process of a container may have ended meanwhile
            existing = {scope: state for scope, state in candidates.items() if kernel.exists(scope)}
            if len(existing) == len(candidates):
                raise
            candidates = existing


def _uppers_elsewhere(kernel: Kernel, known: Mapping[str, ScopeState]) -> dict[str, ScopeState]:
    """The other namespaces: only links that lie on a link of a ``known`` scope, their addresses and routes."""
    candidates = _tied(kernel, known, peers.leans, peers.resolve_below)
    states = {scope: state for scope, state in candidates.items() if state.below}
    for scope in kernel.with_sockets(states):
        links = {index: states[scope].links[index] for index in states[scope].below}
        addresses, routes = reader.read_rows_of(kernel, scope, links)
        states[scope] = dataclasses.replace(states[scope], links=links, addresses=addresses, routes=routes)
    return states


def _read(
    kernel: Kernel,
    scopes: Sequence[str],
    sysctls: Mapping[str, Iterable[str]],
    links: Tables,
    with_files: Iterable[str],
    still: Container[str] = (),
) -> LiveState:
    live = LiveState(scopes=reader.read(kernel, scopes, links))
    live.keeps_protocol = reader.keeps_protocol(live.scopes.values())
    live.changes_protocol = reader.changes_protocol()
    for scope in kernel.with_sockets((scope for scope in scopes if scope not in still), NETFILTER):
        live.scopes[scope].tables = nft_tables.read_tables(kernel, scope)
    live.sysctls.update(sysctl.read_many(kernel, {scope: sysctls[scope] for scope in scopes if scope in sysctls}))
    for scope in with_files:
        for name in dns_files.NAMES:
            text = dns_files.read_file(scope, name)
            if text is not None:
                live.files[scope, name] = text
    return live
