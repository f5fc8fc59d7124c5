"""list and show: the objects that the kernel holds of all topologies."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

from reconciler.kernel import live
from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kinds import BY_NAME, TABLES
from reconciler.kinds.grounds import Place
from reconciler.model.changes import Live
from reconciler.model.data import NamedTuple
from reconciler.model.keys import HOST, Key, stamped
from reconciler.model.names import block_owner
from reconciler.model.rows import LiveState
from reconciler.planning import state
from reconciler.safety import records


class Holdings(NamedTuple):
    """The rows read, all ``objects`` in them, those that topologies own (``held``), and the topologies' names.

    A topology may hold nothing and yet have a record.
    """

    rows: LiveState
    objects: Mapping[Key, Live]
    held: Mapping[Key, Live]
    names: list[str]

    def of(self, topology: str) -> list[Key]:
        """The keys of the objects that a topology owns."""
        return [key for key, entry in self.held.items() if entry.owner == topology]


def holdings(kernel: Kernel) -> Holdings:
    """What the kernel holds of all topologies."""
    rows, entries = everything(kernel)
    links = ((key, entry) for key, entry in entries.items() if not BY_NAME[key.kind].existing)
    made = {(place, entry.owner) for key, entry in links for place in BY_NAME[key.kind].links(entry.object)}
    held = {key: one for key, one in entries.items() if is_owned(one) and _counts(key, one, made)}
    names = {*records.load(), *(entry.owner for entry in held.values())}
    return Holdings(rows, entries, held, sorted(names))


def owned_links(kernel: Kernel) -> dict[str, str]:
    """The links of the host that topologies made, each with its topology."""
    rows = live.read(kernel, lambda _: False, (), {}, TABLES).scopes[HOST].links.values()
    return {row.name: owner for row in rows if (owner := stamped(row.alias))}


def is_owned(entry: Live) -> bool:
    """Whether a topology owns the object."""
    return bool(entry.owner) and entry.owner[0] != "<"


def _counts(key: Key, entry: Live, made: Container[tuple[Place, str]]) -> bool:
    """Whether the object counts: interfaces do not, nor sysctls of links and namespaces of the same topology."""
    kind = BY_NAME[key.kind]
    if kind.restores:
        return key.scope == HOST and not any((place, entry.owner) in made for place in kind.lies_on(entry.object))
    return not kind.existing


def everything(kernel: Kernel) -> tuple[LiveState, dict[Key, Live]]:
    """The rows, and all live objects of all topologies and in the namespaces that they own."""
    remembered = records.load()
    memory = records.memory(remembered, ())
    rows = live.read(kernel, bool, (), state.settings((), memory), TABLES)
    names = frozenset(remembered) | _owners_of_blocks(rows.files.values())
    return rows, state.objects(rows, state.View(names, {}, frozenset(), memory))


def _owners_of_blocks(texts: Iterable[str]) -> frozenset[str]:
    owners = (block_owner(line) for text in texts for line in text.splitlines())
    return frozenset(filter(None, owners))
