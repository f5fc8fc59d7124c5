"""Everything that one run needs to know of the kernel, read once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from reconciler.kernel import files, nftables, reader, sysctl
from reconciler.kernel.namespaces import Kernel
from reconciler.kernel.netlink import NETFILTER
from reconciler.model import HOST, LiveState


def read(
    kernel: Kernel,
    ours: Callable[[str], bool],
    wanted: Iterable[str],
    sysctls: Mapping[str, Iterable[str]],
) -> LiveState:
    """The host scope, the ``wanted`` namespaces that exist, and those whose stamp is ``ours``.

    ``sysctls`` names by scope the keys to read.
    """
    chosen = set(wanted)
    names = kernel.namespaces()
    owners = reader.read_owners(kernel, (name for name in names if name not in chosen))
    scopes = [HOST, *(name for name in names if name in chosen or ours(owners[name]))]
    live = LiveState(scopes=reader.read(kernel, scopes))
    for scope in kernel.with_sockets(scopes, NETFILTER):
        live.scopes[scope].tables = nftables.read_tables(kernel, scope)
    live.sysctls.update(sysctl.read_many(kernel, {scope: sysctls[scope] for scope in scopes if scope in sysctls}))
    for scope in (HOST, *files.scopes()):
        for name in files.NAMES:
            text = files.read_file(scope, name)
            if text is not None:
                live.files[scope, name] = text
    return live
