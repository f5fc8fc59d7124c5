"""Messages of nftables' trace become lines, lines trails of probes, and trails findings."""

from __future__ import annotations

import socket
import struct

import pytest

from reconciler.kernel.nftables import trace
from reconciler.model.firewall import NFT, Chain, Do, Rule, Verdict
from reconciler.model.keys import Key
from reconciler.model.tracing import Sent, Traced
from reconciler.planning.doctor import traced
from reconciler.planning.doctor.flows import Flow
from reconciler.planning.doctor.packet import NO_LINK, Link
from reconciler.planning.doctor.traced import Ask, Trail, Untraced
from reconciler.planning.expectations import Ends

PORT = Key("port_map", "host", "tcp/0.0.0.0:9091")
ASK = Ask("host", "a", "10.0.0.1", 9091, "tcp", ("b", "10.0.0.2", 80), False, PORT, "from a")
THERE = Sent("10.0.0.3", "10.0.0.1", 6, 61001, 9091)
BACK = Sent("10.0.0.2", "10.0.0.3", 6, 80, 61001)


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def message(what: int, *more: bytes) -> bytes:
    names = attribute(1, b"fw\0"), attribute(2, b"c\0"), attribute(4, struct.pack(">I", what))
    return struct.pack(">BBH", 1, 0, 0) + b"".join([*names, attribute(6, struct.pack(">I", 7)), *more])


def verdict(code: int, chain: bytes = b"") -> bytes:
    inner = attribute(1, struct.pack(">I", code & 0xFFFFFFFF)) + (attribute(2, chain + b"\0") if chain else b"")
    return attribute(5, inner)


IPV4 = bytes([0x45]) + bytes(8) + bytes([6, 0, 0]) + socket.inet_aton("10.0.0.3") + socket.inet_aton("10.0.0.1")
IPV6 = bytes([0x60]) + bytes(5) + bytes([17, 1]) + socket.inet_pton(10, "fd00::3") + socket.inet_pton(10, "fd00::1")
PORTS = struct.pack(">HH", 61001, 9091)
MESSAGES = {
    "a_rule_that_drops": (
        message(3, attribute(3, struct.pack(">Q", 4)), verdict(0)),
        Traced("s", 7, "inet", "fw", "c", "rule", "drop", 4),
    ),
    "a_jump": (
        message(3, attribute(3, struct.pack(">Q", 5)), verdict(-3, b"next")),
        Traced("s", 7, "inet", "fw", "c", "rule", "jump next", 5),
    ),
    "a_policy": (message(1, attribute(16, struct.pack(">I", 0))), Traced("s", 7, "inet", "fw", "c", "policy", "drop")),
    "the_first_line_of_ipv4": (
        message(1, attribute(16, struct.pack(">I", 1)), attribute(8, IPV4), attribute(9, PORTS)),
        Traced("s", 7, "inet", "fw", "c", "policy", "accept", 0, THERE),
    ),
    "the_first_line_of_ipv6": (
        message(1, attribute(16, struct.pack(">I", 1)), attribute(8, IPV6), attribute(9, PORTS)),
        Traced("s", 7, "inet", "fw", "c", "policy", "accept", 0, Sent("fd00::3", "fd00::1", 17, 61001, 9091)),
    ),
    "the_end_of_a_chain": (message(3, verdict(-1)), Traced("s", 7, "inet", "fw", "c", "end", "continue")),
    "another_protocol": (message(1, attribute(8, b"\0\1" + bytes(26))), None),
    "an_unknown_type": (message(9), None),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message(name: str) -> None:
    body, wanted = MESSAGES[name]
    assert trace.decode("s", body) == wanted


def line(what: str, verdict: str, handle: int = 0, packet: int = 1, sent: Sent | None = None) -> Traced:
    return Traced("host", packet, "inet", "fw", "c", what, verdict, handle, sent)


def trail(result: tuple[bool, str], *lines: Traced, ask: Ask = ASK) -> Trail:
    (found,) = traced.trails({61001: (ask, result)}, lines, {line("rule", "drop", 4, packet=0): "tcp dport 80 drop"})
    return found


def test_a_trail_has_the_steps_of_both_directions_once() -> None:
    found = trail(
        (True, "connected"),
        line("rule", "accept", 3, 1, THERE),
        line("rule", "accept", 3, 2, BACK),
        line("policy", "accept", 0, 2),
        line("rule", "accept", 3, 3, THERE),  # the next packet of the connection
        line("rule", "drop", 4, 9, Sent("10.9.9.9", "10.0.0.1", 6, 5, 6)),  # of somebody else
        line("rule", "drop", 4, 8),
    )
    assert [(back, one.what, one.verdict) for back, one, _ in found.steps] == [
        (False, "rule", "accept"),
        (True, "rule", "accept"),
        (True, "policy", "accept"),
    ]
    assert list(traced.findings([found])) == []


def test_a_rule_that_drops_several_probes_is_one_finding() -> None:
    one = trail((False, "no answer"), line("rule", "drop", 4, 1, THERE))
    (found,) = traced.findings([one, one._replace(ask=ASK._replace(port=9092, key=None))])
    assert (found.topic, found.key, found.commands) == ("traced", None, ())
    assert found.message == (
        "chain c of table inet fw: the rule (handle 4) `tcp dport 80 drop` dropped the probe "
        "TCP from a to 10.0.0.1:9091 and 1 more"
    )


def test_a_policy_that_drops_an_answer() -> None:
    lines = line("rule", "accept", 3, 1, THERE), line("policy", "drop", 0, 2, BACK)
    (found,) = traced.findings([trail((False, "no answer"), *lines)])
    assert found.key == PORT
    assert "its policy dropped the answer to the probe TCP from a" in found.message


def test_a_probe_that_is_lost_elsewhere() -> None:
    (found,) = traced.findings([trail((False, "no answer"), line("policy", "accept", 0, 1, THERE))])
    assert "did not arrive (no answer), and no rule of nftables dropped it" in found.message
    assert "the last chain to see it was c of table inet fw" in found.hint
    (found,) = traced.findings([trail((False, "no answer"))])
    assert "no chain saw it" in found.hint


def test_what_leaves_by_tcp_is_judged_by_its_trace() -> None:
    out = ASK._replace(leaves=True)
    assert trail((False, "no answer"), line("policy", "accept", 0, 1, THERE), ask=out).arrived
    assert not trail((False, "no answer"), line("rule", "drop", 4, 1, THERE), ask=out).arrived
    assert not trail((False, "no answer"), ask=out).arrived


def test_the_words_of_a_rule() -> None:
    drop = Rule((Do("verdict", Verdict("drop")),), 4)
    assert traced.told(line("rule", "drop", 4), [Chain(NFT, "inet", "fw", "c", (drop,))]) == "drop"
    assert traced.told(line("rule", "drop", 5), [Chain(NFT, "inet", "fw", "c", (drop,))]) == ""
    assert traced.told(line("rule", "drop", 4), [Chain(NFT, "ip", "fw", "c", (drop,))]) == ""


BRIDGE, UPLINK = Link("br0", 2), Link("up0", 3)


def flow(kind: str, source: str, name: str, protocol: str = "tcp", target: tuple[str, int] | None = None) -> Flow:
    iif = NO_LINK if kind == "host" else BRIDGE
    return Flow(kind, protocol, source, "10.0.0.1", 9091, iif, UPLINK, (PORT,), (9091,), name, target)


ASKED = {
    "from_the_host": (flow("host", "10.0.0.1", "from this host", target=("10.9.0.2", 80)), "host"),
    "from_outside": (
        flow("outside", "10.8.0.9", "from outside"),
        "no packet of this host comes in by a link from outside",
    ),
    "sctp": (flow("host", "10.0.0.1", "from this host", "sctp"), "only TCP and UDP are sent"),
    "from_nobody": (flow("sibling", "10.0.0.3", "from its neighbour"), "nobody of the topology has 10.0.0.3"),
}


@pytest.mark.parametrize("name", ASKED)
def test_the_probe_of_a_flow(name: str) -> None:
    followed, wanted = ASKED[name]
    asks, left = traced.asks("host", [followed, followed], Ends({}))
    assert [ask.sender for ask in asks] + [one.why for one in left] == [wanted]


def test_too_many_classes() -> None:
    many = [
        flow("host", "10.0.0.1", "from this host", target=("10.9.0.2", 80))._replace(port=port) for port in range(250)
    ]
    asks, left = traced.asks("host", many, Ends({}))
    assert len(asks) == traced.MOST
    assert left == [Untraced("host", f"at most {traced.MOST} are sent", "50 more classes of packets")]
