"""All kinds of objects, in the order in which a plan lists objects that do not depend on each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from reconciler.kinds import dns_file, namespace, neighbour, reserved_ports, rule, sysctl
from reconciler.kinds.address import address
from reconciler.kinds.kind import Kind
from reconciler.kinds.links import bridge, interface, other_link, veth
from reconciler.kinds.nat import foreign_table, isolation, masquerade, nft_table, port_map
from reconciler.kinds.route import route
from reconciler.model.attributes import Tables

KINDS: tuple[Kind, ...] = (
    namespace.KIND,
    nft_table.KIND,
    isolation.KIND,
    masquerade.KIND,
    port_map.KIND,
    bridge.KIND,
    veth.KIND,
    interface.KIND,
    other_link.KIND,
    sysctl.KIND,
    reserved_ports.KIND,
    address.KIND,
    route.KIND,
    rule.KIND,
    neighbour.KIND,
    foreign_table.KIND,
    dns_file.KIND,
)
BY_NAME: dict[str, Kind] = {kind.name: kind for kind in KINDS}
RANK: dict[str, int] = {kind.name: rank for rank, kind in enumerate(KINDS)}

_Fact = TypeVar("_Fact")


def having(fact: Callable[[Kind], _Fact | None]) -> dict[str, _Fact]:
    """The fact by the name of the kind, only for kinds that have it: one look-up then skips an object of any other."""
    return {kind.name: value for kind in KINDS if (value := fact(kind))}


# Links: the types that some kind reads, the attributes of each type, the kinds that have ports, and the sections.
LINK_TYPES: frozenset[str] = frozenset(kind.rtnl for kind in KINDS if kind.rtnl)
TABLES = Tables(
    own={kind.rtnl: kind.data for kind in KINDS if kind.data is not None},
    port={kind.rtnl: kind.port for kind in KINDS if kind.port is not None},
    explains={kind.rtnl: kind.explains for kind in KINDS if kind.explains is not None},
    dumps=frozenset(name for kind in KINDS for name in kind.dumps),
)
MASTERS: tuple[str, ...] = tuple(kind.name for kind in KINDS if kind.port is not None)
LINK_SECTIONS: tuple[str, ...] = tuple(kind.section for kind in KINDS if kind.has_ends)

if len(BY_NAME) != len(KINDS):
    raise RuntimeError("two kinds have one name")
if len(LINK_TYPES) != sum(bool(kind.rtnl) for kind in KINDS):
    raise RuntimeError("two kinds read one type of link")
