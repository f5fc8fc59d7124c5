"""The MTU of the way by which the host's packets leave: networks without an ``mtu`` of their own get it."""

from __future__ import annotations

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import path
from reconciler.kinds.route.form import TABLES, TYPES
from reconciler.language.networks.ipam import Block, block, number
from reconciler.model.data import NamedTuple
from reconciler.model.keys import HOST
from reconciler.model.rows import LinkRow, LiveState, RouteRow, ScopeState
from reconciler.planning.intent import Intent
from reconciler.run.expected import is_generated

# Addresses outside, for which hardly a host has a route of their own: a.root-servers.net.  No packet is sent to them.
OUTSIDE = {4: "198.41.0.4", 6: "2001:503:ba3e::2:30"}


class _Out(NamedTuple):
    """The ifindex of the link of a packet to the outside, and the MTU of its route (0: none)."""

    link: int
    mtu: int


def mtus(kernel: Kernel, intent: Intent, live: LiveState, after: LiveState) -> dict[int, int]:
    """IP version -> the MTU of the way out, for the versions that have one.

    The kernel is asked, so that rules and all tables count.  Where the plan changes the routes of the main table
    (``after``), and it is this table that decides, the best of its routes afterwards counts.  The networks themselves
    are no way out.
    """
    host, later = live.scopes[HOST], after.scopes[HOST]
    answers = path.ways(kernel, HOST, [path.Packet(to) for to in OUTSIDE.values()])
    found: dict[int, int] = {}
    for (version, to), answer in zip(OUTSIDE.items(), answers, strict=True):
        out = _Out(answer.oif if answer.type == "unicast" else 0, answer.mtu)
        if later.routes is not host.routes:
            before, then = _in_main(host, to), _in_main(later, to)
            out = then if before.link == out.link else out
        link = later.links.get(out.link)
        if link is not None and not link.loopback and not _is_network(link, intent):
            found[version] = _least(link, out.mtu)
    return found


def _is_network(link: LinkRow, intent: Intent) -> bool:
    keys = (topology.names.links.get((HOST, link.name)) for topology in intent.topologies)
    return any(key is not None and is_generated(intent.desired[key].origin) for key in keys)


def _least(link: LinkRow, of_route: int) -> int:
    return min(link.mtu, of_route) if of_route else link.mtu


def _in_main(state: ScopeState, to: str) -> _Out:
    """The answer of the main table alone: the longest prefix, then the lowest metric."""
    version, value = number(to)
    outside = Block(version, value, 128 if version == 6 else 32)
    fitting = [row for row in state.routes if row.table == TABLES["main"] and block(row.to).holds(outside)]
    best = min(fitting, key=_rank, default=None)
    if best is None or best.type != TYPES["unicast"] or not best.hops:
        return _Out(0, 0)
    return _Out(best.hops[0].oif, best.mtu)


def _rank(row: RouteRow) -> tuple[int, int]:
    return -block(row.to).length, row.metric
