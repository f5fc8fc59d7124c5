"""The nftables table of a topology in one scope; it follows from port maps, masquerades and isolations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from reconciler.kinds.around import Around
from reconciler.kinds.context import Names, Parsed, Reading
from reconciler.kinds.kind import NAME, NFT, Kind
from reconciler.kinds.namespace import home
from reconciler.kinds.nat import ruleset
from reconciler.kinds.nat.ruleset import FRAME, Element
from reconciler.kinds.nat.target_links import published_links
from reconciler.model.changes import Change, Live
from reconciler.model.data import dataclass, field
from reconciler.model.keys import Key
from reconciler.model.names import ADMIN_CHAIN, table_name
from reconciler.model.requests import ForgetUntranslated, NftFrame, RenameTable, Request
from reconciler.model.rows import TableRow


@dataclass(frozen=True, slots=True)
class NftTable:
    """``frame`` has each fixed part of the table with its form, sorted; ``hairpin`` has (link, prefix) pairs.

    ``catch_all`` are the sets into which somebody put a catch-all element (*).
    ``text`` is the whole table as nft lists it, which a rollback restores with the rules of others in it.
    """

    scope: str
    name: str
    frame: tuple[tuple[str, str], ...]
    hairpin: tuple[tuple[str, str], ...]
    catch_all: tuple[str, ...] = ()
    text: str = field(default="", compare=False)


_WHOLE = tuple(sorted(FRAME.items()))


def imply(names: Names) -> Iterator[Parsed]:
    """One table for each scope with NAT objects; its origin is that of the first of these objects."""
    needing: dict[str, Key] = {}
    for (scope, kind), keys in names.by_scope.items():
        if kind in ruleset.NAT_KINDS and keys:
            needing.setdefault(scope, keys[0])
    for scope, key in needing.items():
        table = table_name(names.topology)
        links = published_links(names, scope)
        hairpin = sorted((link, prefix) for link, prefixes in links.items() for prefix in prefixes)
        made = NftTable(scope, table, _WHOLE, tuple(hairpin))
        yield ruleset.table_key(scope, table), made, names.origins[key]


def read(reading: Reading) -> Iterator[tuple[Key, Live]]:
    scope = reading.state.scope
    for table, owner in ruleset.owned_tables(reading):
        frame = tuple(sorted((part, form) for part, form in table.frame.items() if not _administrators(part)))
        everything = tuple(element.set for element in ruleset.catch_alls(table))
        live = NftTable(scope, table.name, frame, tuple(sorted(_hairpin(table))), everything)
        yield ruleset.table_key(scope, table.name), Live(live, owner)


def _administrators(part: str) -> bool:
    if part in FRAME:
        return False
    name = part.partition(" ")[2]
    # chains and sets called admin, or admin-something, are the administrator's
    return name == ADMIN_CHAIN or name.startswith(f"{ADMIN_CHAIN}-")


def _hairpin(table: TableRow) -> Iterator[tuple[str, str]]:
    for name in ("hairpin4", "hairpin6"):
        for (link, prefix), value in ruleset.members(table, name).items():
            yield link, " ".join([prefix, *map(str, value)])


def _elements(table: NftTable) -> Iterator[Element]:
    for link, text in table.hairpin:
        prefix, _, extra = text.partition(" ")
        yield Element(f"hairpin{6 if ':' in prefix else 4}", f"{ruleset.quoted(link)} . {prefix}", extra)
    yield from (Element(name, "*") for name in table.catch_all)


def _move(before: Iterable[Element], after: NftTable) -> list[Request]:
    return [*ruleset.move(after.scope, after.name, before, _elements(after))]


def needs(table: NftTable, _names: Names) -> tuple[Key, ...]:
    return home(table.scope)


def create(table: NftTable, _owner: str) -> list[Request]:
    if table.text:
        return [NftFrame(table.scope, table.name, _anew(table), stamp=False)]
    return [NftFrame(table.scope, table.name, ruleset.frame_text(table.name, {})), *_move((), table)]


def _anew(table: NftTable) -> str:
    name = f"table inet {table.name}"
    return f"add {name}\ndelete {name}\n{table.text}"


def update(before: NftTable, after: NftTable, owner: str) -> list[Request]:
    if after.text:
        return create(after, owner)
    requests = _move(_elements(before), after)
    if before.frame != after.frame:
        text = ruleset.frame_text(after.name, dict(before.frame))
        requests.append(NftFrame(after.scope, after.name, text))
        requests.append(ForgetUntranslated(after.scope, after.name))  # connections made while the table was damaged
    return requests


def delete(table: NftTable) -> list[Request]:
    return [NftFrame(table.scope, table.name, f"delete table inet {table.name}", stamp=False)]


def disrupts(change: Change, _around: Around) -> str:
    """Connections from while the table was damaged; what a whole table does is told of its elements."""
    repaired = change.action == "update" and change.before.frame != change.after.frame
    return "connections made while the table was changed are reset" if repaired else ""


def rename(table: NftTable, topology: str, to: str) -> Iterator[Request]:
    if table.name == table_name(topology):
        yield RenameTable(table.scope, table.name, table_name(to))


def renamed(key: Key, to: str) -> Key:
    return ruleset.table_key(key.scope, table_name(to))


def shown(table: NftTable) -> dict[str, Any]:
    """Its attributes; each part of the frame is one, so that a plan names the chain that was edited."""
    return {**dict(table.frame), "hairpin": [" ".join(pair) for pair in table.hairpin]}


KIND = Kind(
    name="nft_table",
    form=NftTable,
    imply=imply,
    read=read,
    needs=needs,
    create=create,
    update=update,
    delete=delete,
    rename=rename,
    renamed=renamed,
    shown=shown,
    disrupts=disrupts,
    brief=True,
    listed=True,
    ownership=NAME,
    transaction=NFT,
    features=ruleset.FEATURES,
)
