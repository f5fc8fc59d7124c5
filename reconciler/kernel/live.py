"""Everything that one run needs to know of the kernel, read once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from reconciler.kernel import files, nftables, reader, sysctl
from reconciler.kernel.namespaces import Kernel
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
    scopes = [HOST]
    for name in kernel.namespaces():
        if name in chosen or ours(reader.read_owner(kernel, name)):
            scopes.append(name)
    live = LiveState(scopes=reader.read(kernel, scopes))
    for scope, state in live.scopes.items():
        state.tables = nftables.read_tables(kernel, scope)
        keys = list(sysctls.get(scope, ()))
        if keys:
            found = sysctl.read_sysctls(kernel, scope, keys)
            live.sysctls.update({(scope, key): value for key, value in found.items() if value is not None})
    for scope in (HOST, *files.scopes()):
        for name in files.NAMES:
            text = files.read_file(scope, name)
            if text is not None:
                live.files[scope, name] = text
    return live
