"""The ways that the kernel chooses for the followed packets, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address, ip_network

from reconciler.kinds import sysctl
from reconciler.model.rows import Ask, Surroundings, Way
from reconciler.planning.doctor.flows import Flow, Ground
from reconciler.planning.doctor.packet import PROTOCOLS, Link
from reconciler.planning.doctor.walk import Marks, Routes
from reconciler.planning.finding import Finding, Objects, Topic, inside

_MAIN = 254


def there(flow: Flow, marks: Marks) -> Ask:
    """The question for the way of a flow's packet to its end."""
    source = flow.source if flow.iif.index else ""
    port = flow.target[1] if flow.target else flow.port
    return Ask(flow.end, source, flow.iif.index or 0, mark=marks.out, protocol=PROTOCOLS[flow.protocol], port=port)


def back(flow: Flow, marks: Marks) -> Ask:
    """The question for the way of the answer; from the host for what the host itself began."""
    return Ask(flow.source, flow.end, flow.oif.index or 0, mark=marks.back, protocol=PROTOCOLS[flow.protocol])


def comes_from(flow: Flow) -> Ask:
    """The question for the way to the source, by which the reverse path is checked."""
    return Ask(flow.source)


def asked(ground: Ground, flows: Mapping[Flow, Marks], targets: Iterable[str]) -> list[Ask]:
    """The questions for the flows between links that exist, and for each target of a published port."""
    asks: dict[Ask, None] = {}
    for flow, marks in flows.items():
        if _can_ask(ground, flow):
            asks.update(dict.fromkeys((there(flow, marks), back(flow, marks), comes_from(flow))))
    for target in targets:
        if ground.is_live(target, ground.towards(target)):
            asks[Ask(target)] = None
    return list(asks)


def _can_ask(ground: Ground, flow: Flow) -> bool:
    if flow.kind == "discovery" or (flow.iif.name != "" and not flow.iif.index):
        return False
    if flow.target:
        return not ground.towards(flow.end) or ground.is_live(flow.end, ground.towards(flow.end))
    return bool(flow.oif.index) and ground.is_live(flow.source, ground.towards(flow.source))


def chosen(ground: Ground, flow: Flow, marks: Marks, around: Surroundings) -> Routes:
    """The links that the kernel chose for a flow; within a bridge it chooses none."""
    if flow.kind == "within":
        return Routes(flow.oif, flow.iif, True, bridged=True, unseen=flow.family not in around.bridge_nf)
    out, again, source = (around.ways.get(ask) for ask in (there(flow, marks), back(flow, marks), comes_from(flow)))
    returns = source.oif == flow.iif.index if source is not None and source.type and flow.iif.index else None
    # where netfilter sees bridged packets, one that is translated on its way stays in the bridge
    bridged = flow.kind == "sibling" and flow.iif == flow.oif and flow.family in around.bridge_nf
    return Routes(_link(ground, out), _link(ground, again), returns, bridged=bridged)


def _link(ground: Ground, way: Way | None) -> Link | None:
    return ground.at(way.oif) if way is not None and way.oif and way.type == "unicast" else None


# ------------------------------------------------------------------ findings


def wrong(
    ground: Ground, around: Surroundings, flows: Mapping[Flow, Marks], targets: Iterable[str], objects: Objects
) -> Iterator[Finding]:
    """Packets that the kernel does not route, or routes elsewhere than to the target's subnet."""
    findings: dict[tuple[str, str], Finding] = {}
    for target in targets:
        way = around.ways.get(Ask(target))
        if way is not None and (found := _astray(ground, target, way)):
            findings.setdefault((target, "astray"), found)
    for flow, marks in flows.items():
        if (flow.end, "astray") in findings or (flow.source, "astray") in findings:
            continue
        if flow.kind == "discovery":
            continue
        end, goes = _end(ground, flow, marks, around.ways)
        if goes is not None and (one := _astray(ground, end, goes)):
            findings.setdefault((end, "astray"), one)
            continue
        for ask, link in ((there(flow, marks), flow.iif), (back(flow, marks), flow.oif)):
            way = around.ways.get(ask)
            if way is not None and way.errno and (one := _failed(ground, around, ask, link, way, objects)):
                findings.setdefault((one.message, ""), one)
    return iter(findings.values())


def _end(ground: Ground, flow: Flow, marks: Marks, ways: Mapping[Ask, Way]) -> tuple[str, Way | None]:
    """The flow's end in a subnet of the topology, and its way where the kernel has one for these very packets."""
    end = flow.end if flow.target else flow.source
    way = ways.get(there(flow, marks) if flow.target else back(flow, marks))
    return end, way if way is not None and way.type == "unicast" and ground.towards(end) else None


def _astray(ground: Ground, target: str, way: Way) -> Finding | None:
    link = ground.towards(target)
    expected = ground.link(link).index
    if way.type == "unicast" and way.oif == expected:
        return None
    if way.type == "local":
        message = f"{target} is an address of this scope, so packets to it never leave by {link}"
        return Finding(ground.scope, "routing", None, message, "give the target another address, or take this one away")
    route = _over(ground, target)
    towards = (
        f"go out by {ground.at(way.oif).name or way.oif}"
        if way.type == "unicast"
        else f"are not routed ({way.type or way.error})"
    )
    by = f" because of {route}" if route else ""
    message = f"packets to {target} {towards}{by}, and not to its subnet by {link}"
    return Finding(
        ground.scope, "routing", None, message, "it is somebody's route: delete it, or give the target another address"
    )


def _over(ground: Ground, target: str) -> str:
    """The most specific route to the target, in the words of ip-route(8)."""
    rows = [row for row in ground.state.routes if _covers(row.to, target)]
    best = max(rows, key=lambda row: (row.table != _MAIN, int(row.to.rpartition("/")[2])), default=None)
    if best is None:
        return ""
    types = {6: "blackhole ", 7: "unreachable ", 8: "prohibit "}
    hops = "".join(
        (f" via {hop.via}" if hop.via else "") + (f" dev {ground.at(hop.oif).name}" if hop.oif else "")
        for hop in best.hops[:1]
    )
    table = f" table {best.table}" if best.table != _MAIN else ""
    return f"the route {types.get(best.type, '')}{best.to}{hops}{table}"


def _covers(prefix: str, address: str) -> bool:
    network, found = ip_network(prefix), ip_address(address)
    return network.version == found.version and found in network


def _failed(ground: Ground, around: Surroundings, ask: Ask, link: Link, way: Way, objects: Objects) -> Finding | None:
    six = ":" in ask.to
    if not (around.forwarding6 if six else around.forwarding4):
        return None  # that is a finding of its own, and why the kernel routes nothing
    if link.name and ask.iif and not six:
        if around.setting(link.name, "forwarding") == 0:
            message = f"{_setting(link.name, 'forwarding')} is 0: what comes in by {link.name} is not passed on"
            return _set(ground.scope, "forwarding", link.name, "forwarding", 1, message, objects)
        if _is_reverse_path(around, ask, link):
            message = f"the reverse path filter drops what comes from {ask.source} by {link.name}"
            message += ": the way back to it is another one"
            return _set(ground.scope, "routing", link.name, "rp_filter", 2, message, objects)
    message = f"the kernel has no way from {ask.source or 'here'} to {ask.to}: {way.type or way.error}"
    hint = "add a route, or delete the one that stops it (ip route get tells)"
    return Finding(ground.scope, "routing", None, message, hint)


def _is_reverse_path(around: Surroundings, ask: Ask, link: Link) -> bool:
    """Whether the strict check of the source's way back (RFC 3704) stops the packet."""
    source = around.ways.get(Ask(ask.source))
    strict = max(around.setting("all", "rp_filter"), around.setting(link.name or "", "rp_filter")) == 1
    return strict and source is not None and bool(source.type) and source.oif != ask.iif


def _set(scope: str, topic: Topic, link: str, word: str, value: int, message: str, objects: Objects) -> Finding:
    """A finding that a setting of a link removes, unless the topology declares it otherwise."""
    name = _setting(link, word)
    keys = (name, _setting("all", word))
    declared = any(sysctl.key_of(scope, key) in objects for key in keys)
    more = "in place of what the file declares" if declared else "so that it stays, or set it"
    commands = () if declared else (inside(scope, f"sysctl -w {name}={value}"),)
    return Finding(scope, topic, None, message, f"declare {name}: {value}, {more}", commands)


def _setting(link: str, name: str) -> str:
    """The name of a link's setting as sysctl(8) takes it."""
    return f"net/ipv4/conf/{link}/{name}" if "." in link else f"net.ipv4.conf.{link}.{name}"
