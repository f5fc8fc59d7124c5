"""The traffic that a change of an address disrupts."""

from __future__ import annotations

import ipaddress
from typing import Any

from reconciler.kinds.address.form import Address, ip_of, subnet_of
from reconciler.kinds.around import Around
from reconciler.kinds.route.form import TABLES, connected
from reconciler.model.changes import Change

_DEFAULTS = ("0.0.0.0/0", "::/0")


def disrupts(change: Change, around: Around) -> str:
    if change.action == "create":
        return _taken_over(change.after, around)
    if change.action == "update":
        moves = "out_of_order" in change.differs
        return f"new flows over {change.after.link} leave with another source" if moves else ""
    if change.before.duplicate:
        return ""  # the kernel does not use it
    return _lost(change.before, around) if change.after is None else f"flows of {ip_of(change.before)} are interrupted"


def _lost(old: Address, around: Around) -> str:
    if not around.holders(old.scope, ip_of(old), after=True):
        return f"flows of {ip_of(old)} end"
    left = [ipaddress.ip_network(one) for one in around.subnets(old.scope, old.link)]
    subnet: Any = subnet_of(old)
    if any(subnet.version == one.version and subnet.subnet_of(one) for one in left):
        return ""
    return f"packets to {subnet} do not go over {old.link}"


def _taken_over(new: Address, around: Around) -> str:
    """Packets to its subnet or to itself that went elsewhere.

    A default route leads to every subnet; that one of them is new there says nothing about traffic.
    """
    ip, subnet = ip_of(new), str(subnet_of(new))
    if around.holders(new.scope, ip):
        return ""
    near = around.way(new.scope, TABLES["main"], f"{ip}/{ipaddress.ip_address(ip).max_prefixlen}", False)
    if near is not None and near.to not in _DEFAULTS:
        for scope, _ in around.elsewhere(new.scope, ip):
            return f"packets to {ip} end in {new.scope}, now in {scope}"
    now = around.way(new.scope, TABLES["main"], subnet, False)
    if now is None or now.to in _DEFAULTS or now.type != "unicast" or any(hop.dev == new.link for hop in now.hops):
        return ""
    hop = now.hops[0]
    if now.to == subnet and now.metric <= connected(new.scope, subnet, new.link).metric:
        return ""  # of equal routes the kernel takes the one that was there first
    if ":" in subnet and subnet.endswith("/128"):
        return f"packets to {ip} end in {new.scope}, now they go {_way(hop)}"
    return f"packets to {subnet} go over {new.link}, now {_way(hop)}"


def _way(hop: Any) -> str:
    return f"via {hop.via}" if hop.via else f"over {hop.dev}"
