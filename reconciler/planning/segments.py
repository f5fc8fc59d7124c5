"""Which links hear each other's broadcasts: ports of one bridge, the ends of a veth, a macvlan and the link below."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from reconciler.kinds import KINDS
from reconciler.kinds.kind import ENDS
from reconciler.model.rows import AddressRow, LinkRow, ScopeState

Node = tuple[str, int]  # scope, ifindex

_ROUTED = frozenset({"vrf"})  # masters whose links are not joined by them
_SHARED = frozenset({"macvlan", "macvtap", "ipvlan", "ipvtap"})  # links that are on the network of the link below
_ALONE = frozenset({"bridge", "dummy", "ifb", "vrf", *_SHARED})  # links that have no wire of their own
_TWO_ENDED = frozenset(kind.rtnl for kind in KINDS if kind.shows == ENDS)


def ip_of(row: AddressRow) -> str:
    """The address without its prefix length."""
    return row.address.partition("/")[0]


class Segments:
    """The links of all scopes that were read, and the segments that they form; a segment is named by one of its links.

    A link is looked at when it is asked for: most runs ask for a few.
    """

    def __init__(self, scopes: Mapping[str, ScopeState]) -> None:
        self.scopes = scopes
        self._ports: dict[str, dict[int, list[int]]] = {}
        self._uppers: dict[Node, list[Node]] | None = None
        self._names: dict[Node, Node] = {}
        self._members: dict[Node, list[Node]] = {}
        self._behind: dict[Node, frozenset[Node]] = {}
        self._addresses: dict[str, dict[int, list[AddressRow]]] = {}
        self._holders: dict[Node, dict[str, set[Node]]] = {}
        self._macs: dict[Node, dict[str, set[Node]]] = {}

    def __contains__(self, node: Node) -> bool:
        return node[0] in self.scopes and node[1] in self.scopes[node[0]].links

    def row(self, node: Node) -> LinkRow:
        return self.scopes[node[0]].links[node[1]]

    def name(self, node: Node) -> Node:
        """The name of the link's segment."""
        if node not in self._names:
            members = self._walk(node)
            self._members[node] = members
            self._names.update(dict.fromkeys(members, node))
        return self._names[node]

    def members(self, name: Node) -> list[Node]:
        """The links of a segment."""
        return self._members[name]

    def addresses(self, node: Node) -> Sequence[AddressRow]:
        """The addresses of the link."""
        scope, index = node
        if scope not in self._addresses:
            by_link = self._addresses[scope] = {}
            for row in self.scopes[scope].addresses:
                by_link.setdefault(row.index, []).append(row)
        return self._addresses[scope].get(index, ())

    def holders(self, name: Node, address: str) -> set[Node]:
        """The links of a segment that are up and have the address (without its prefix length)."""
        if name not in self._holders:
            known = self._holders[name] = {}
            for node in self.members(name):
                for row in self.addresses(node) if self.row(node).up else ():
                    known.setdefault(ip_of(row), set()).add(node)
        return self._holders[name].get(address, set())

    def with_mac(self, name: Node, mac: str) -> set[Node]:
        """The links of a segment that have the MAC address."""
        if name not in self._macs:
            known = self._macs[name] = {}
            for node in self.members(name):
                known.setdefault(self.row(node).mac, set()).add(node)
        return self._macs[name].get(mac, set())

    def behind(self, node: Node) -> frozenset[Node]:
        """A port with all that its bridge reaches through it; any other link alone."""
        master = self._master(node)
        if master is None:
            return frozenset({node})
        if node not in self._behind:
            self._behind[node] = frozenset(self._walk(node, master))
        return self._behind[node]

    def is_open(self, node: Node) -> bool:
        """Whether there may be others behind the link that were not read: a wire, a tunnel, a veth of a container."""
        row = self.row(node)
        if row.kind in _TWO_ENDED:
            return node[1] not in self.scopes[node[0]].peers
        return row.kind not in _ALONE and not row.loopback

    def passes_on(self, node: Node) -> bool:
        """Whether its own MTU is of what the host sends, and not of what passes through it between other links."""
        return node[1] in self._ports_of(node[0])

    def _walk(self, start: Node, without: Node | None = None) -> list[Node]:
        """All links that can be reached; ``without``: not over the step from the first one to this one."""
        seen = {start: None}
        waiting = [start]
        while waiting:
            node = waiting.pop()
            for other in self._beside(node):
                if other not in seen and other in self and not (node == start and other == without):
                    seen[other] = None
                    waiting.append(other)
        return [*seen]

    def _beside(self, node: Node) -> Iterator[Node]:
        scope, index = node
        state = self.scopes[scope]
        master = self._master(node)
        if master is not None:
            yield master
        yield from ((scope, port) for port in self._ports_of(scope).get(index, ()))
        if index in state.peers:
            yield state.peers[index]
        elif index in state.below and state.links[index].kind in _SHARED:
            yield state.below[index]
        yield from self._above().get(node, ())

    def _master(self, node: Node) -> Node | None:
        scope, index = node
        links = self.scopes[scope].links
        master = links[index].master
        return (scope, master) if master in links and links[master].kind not in _ROUTED else None

    def _ports_of(self, scope: str) -> dict[int, list[int]]:
        if scope not in self._ports:
            ports = self._ports[scope] = {}
            for row in self.scopes[scope].links.values():
                if row.master and self._master((scope, row.index)) is not None:
                    ports.setdefault(row.master, []).append(row.index)
        return self._ports[scope]

    def _above(self) -> dict[Node, list[Node]]:
        if self._uppers is None:
            self._uppers = {}
            for scope, state in self.scopes.items():
                for index, lower in state.below.items():
                    if state.links[index].kind in _SHARED:
                        self._uppers.setdefault(lower, []).append((scope, index))
        return self._uppers
