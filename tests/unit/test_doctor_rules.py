"""How a packet comes through chains: rows in, outcome out."""

from __future__ import annotations

import struct

import pytest

from reconciler.kernel.nftables import xtables
from reconciler.model.firewall import Chain, Do, Doubt, Load, Match, Members, Pick, Rule, Step, Verdict
from reconciler.planning.doctor import rules, words
from reconciler.planning.doctor.classes import Classes
from reconciler.planning.doctor.packet import DNAT, NEW, Link, Packet, first

PACKET = first("tcp", "192.0.2.9", "10.0.0.2", 80, Link("eth0", 2, "", 0)).but(
    oif=Link("br0", 3, "bridge", 0), state=NEW, status=DNAT
)
ACCEPT, DROP, RETURN = xtables.ACCEPT, xtables.DROP, xtables.RETURN
SOURCE, PORT, MARK = xtables.address("ip", True), xtables.port(2), Load(("meta", 3), 4)
ODD = Doubt("-m recent")
SET, IS_SET = Do("mark", load=Load(("const", b"\7\0\0\0"), 4)), xtables.equals(MARK, b"\7\0\0\0")


def port(number: int, negated: bool = False) -> Match:
    return xtables.equals(PORT, struct.pack(">H", number), negated)


def go(code: str, chain: str = "") -> Do:
    return Do("verdict", Verdict(code, chain))


def to(name: str) -> Do:
    return Do(name)


def prefix(address: bytes, length: int) -> Match:
    mask = ((1 << 32) - (1 << 32 - length)).to_bytes(4, "big")
    return xtables.equals(SOURCE._replace(changes=(("mask", mask, bytes(4)),)), address)


def outcome(
    *chain: tuple[Step, ...], packet: Packet = PACKET, policy: str = "accept", **others: list[tuple[Step, ...]]
) -> str:
    """The end of a packet in a base chain, with the places of the rules that may change it, from 1 on."""
    named = {"base": list(chain), **others}
    chains = [
        Chain("nft", "ip", "fw", name, tuple(Rule(steps, at) for at, steps in enumerate(listed, 1)))
        for name, listed in named.items()
    ]
    chains[0] = chains[0]._replace(hook="forward", policy=policy)
    found = rules.run(chains[0], packet, {one.place: one for one in chains})
    doubts = ",".join(f"{at.chain.name}{at.rule.number if at.rule else ''}" for at in found.doubts)
    return found.what + (f" unless {doubts}" if doubts else "")


VMAP = Members({(b"\0\x50",): Verdict("jump", "sub")}, ((((b"\0\x5a"),), ((b"\0\x63"),), Verdict("drop")),))


@pytest.mark.parametrize(
    ("listed", "others", "policy", "found"),
    [
        ([], {}, "accept", "accept"),
        ([], {}, "drop", "drop"),
        ([(port(80), DROP)], {}, "accept", "drop"),
        ([(port(81), DROP)], {}, "accept", "accept"),
        ([(port(80, True), DROP)], {}, "accept", "accept"),
        ([(port(80), ACCEPT), (DROP,)], {}, "drop", "accept"),
        ([(to("reject"),)], {}, "accept", "drop"),
        ([(to("dnat"),), (DROP,)], {}, "accept", "dnat"),
        ([(prefix(b"\xc0\0\2\0", 24), DROP)], {}, "accept", "drop"),
        ([(prefix(b"\xc0\0\3\0", 24), DROP)], {}, "accept", "accept"),
        # jumps, gotos and returns
        ([(go("jump", "sub"),), (ACCEPT,)], {"sub": [(port(80), RETURN), (DROP,)]}, "drop", "accept"),
        ([(go("jump", "sub"),)], {"sub": [(port(80), RETURN), (DROP,)]}, "drop", "drop"),
        ([(go("goto", "sub"),), (ACCEPT,)], {"sub": [(port(81), ACCEPT)]}, "drop", "drop"),
        ([(go("jump", "sub"),), (ACCEPT,)], {"sub": [(go("goto", "end"),), (DROP,)], "end": []}, "drop", "accept"),
        ([(RETURN,), (ACCEPT,)], {}, "drop", "drop"),
        ([(go("jump", "base"),), (DROP,)], {}, "accept", "drop"),  # the kernel refuses loops; nothing hangs
        ([(Pick((PORT,), VMAP),)], {"sub": [(DROP,)]}, "accept", "drop"),
        ([(Pick((PORT,), Members({(b"\0\x51",): Verdict("drop")})),)], {}, "accept", "accept"),
        # rules that cannot be judged
        ([(ODD, DROP)], {}, "accept", "accept unless base1"),
        ([(ODD, DROP)], {}, "drop", "drop"),
        ([(ODD, ACCEPT)], {}, "drop", "drop unless base1"),
        ([(ODD, ACCEPT), (DROP,)], {}, "accept", "drop unless base1"),
        ([(ACCEPT,), (ODD, DROP)], {}, "accept", "accept"),
        ([(port(81), ODD, DROP)], {}, "accept", "accept"),
        ([(ODD, port(81), DROP)], {}, "accept", "accept"),
        ([(ODD,)], {}, "accept", "accept"),
        ([(ODD, go("jump", "sub"))], {"sub": [(DROP,)]}, "accept", "accept unless base1"),
        ([(ODD, go("jump", "sub"))], {"sub": [(port(81), DROP)]}, "accept", "accept"),
        ([(go("jump", "sub"),)], {"sub": [(ODD, RETURN)]}, "accept", "accept"),
        ([(go("jump", "sub"),)], {"sub": [(ODD, RETURN), (DROP,)]}, "accept", "drop unless sub1"),
        ([(go("queue"),), (ACCEPT,)], {}, "accept", "accept unless base1"),
        ([(Doubt("-j TPROXY", verdict=True),)], {}, "accept", "accept unless base1"),
        # marks
        (
            [(Do("mark", load=Load(("const", b"\7\0\0\0"), 4)),), (xtables.equals(MARK, b"\7\0\0\0"), DROP)],
            {},
            "accept",
            "drop",
        ),
        (
            [(ODD, Do("mark", load=Load(("const", b"\7\0\0\0"), 4))), (xtables.equals(MARK, b"\7\0\0\0"), DROP)],
            {},
            "accept",
            "accept unless base2",
        ),
    ],
)
def test_the_end_of_a_packet(
    listed: list[tuple[Step, ...]], others: dict[str, list[tuple[Step, ...]]], policy: str, found: str
) -> None:
    assert outcome(*listed, policy=policy, **others) == found


def test_a_field_of_which_nothing_is_known() -> None:
    unknown = PACKET.but(iif=Link(None))
    name = Match((Load(("meta", 6), 16),), Members({(b"eth1".ljust(16, b"\0"),): None}))
    assert outcome((name, DROP)) == "accept"
    assert outcome((name, DROP), packet=unknown) == "accept unless base1"
    both = Match((Load(("meta", 6), 16), PORT), Members({(b"eth1".ljust(16, b"\0"), b"\0\x51"): None}))
    assert outcome((both, DROP), packet=unknown) == "accept"  # the port is another one


def test_before_tracking_there_is_no_state() -> None:
    early = PACKET.but(state=1, status=None)
    dnat = Match((xtables.masked(xtables.STATUS, 0x20),), Members({(bytes(4),): None}), negated=True)
    assert outcome((dnat, DROP)) == "drop"
    assert outcome((dnat, DROP), packet=early) == "accept"
    invalid = Match((xtables.masked(xtables.STATE, 1),), Members({(bytes(4),): None}), negated=True)
    assert outcome((invalid, DROP), packet=early) == "drop"


def conntrack(states: int, inverted: int = 0) -> bytes:
    return struct.pack("=146x4H", 1, inverted, states, 0).ljust(168, b"\0")


@pytest.mark.parametrize(
    ("name", "revision", "info", "text", "matches"),
    [
        ("tcp", 0, struct.pack("=4H4B", 0, 65535, 80, 80, 0, 0, 0, 0), "--dport 80", True),
        ("tcp", 0, struct.pack("=4H4B", 0, 65535, 81, 90, 0, 0, 0, 0), "--dport 81:90", False),
        ("tcp", 0, struct.pack("=4H4B", 0, 65535, 80, 80, 0, 0, 0, 2), "! --dport 80", False),
        ("tcp", 0, struct.pack("=4H4B", 0, 65535, 0, 65535, 0, 23, 2, 0), "--tcp-flags FIN,SYN,RST,ACK SYN", True),
        ("multiport", 1, struct.pack("=BB15H15BB", 1, 3, 22, 79, 81, *[0] * 12, 0, 1, *[0] * 13, 0).ljust(56, b"\0"),
         "-m multiport --dports 22,79:81", True),
        ("conntrack", 3, conntrack(0x80), "-m conntrack --ctstate DNAT", True),
        ("conntrack", 3, conntrack(0x2 | 0x4), "-m conntrack --ctstate ESTABLISHED,RELATED", False),
        ("conntrack", 3, conntrack(0x8, 1), "-m conntrack ! --ctstate NEW", False),
        ("mark", 1, struct.pack("=IIB", 7, 0xFF, 0), "-m mark --mark 7", False),
        ("addrtype", 1, struct.pack("=HHI", 0, 4, 0), "-m addrtype --dst-type LOCAL", False),
        ("hashlimit", 3, struct.pack("=256xQQI", 1, 1, 0x14).ljust(328, b"\0"), "", False),
        ("limit", 0, b"", "", True),
        ("comment", 0, b"", "", True),
    ],
)  # fmt: skip
def test_matches_of_iptables(name: str, revision: int, info: bytes, text: str, matches: bool) -> None:
    steps = tuple(xtables.match(name, revision, info, "ip"))
    shown = words.rule_text(Chain("iptables", "ip", "filter", "FORWARD"), Rule((*steps, DROP)))
    assert shown == f"{text} -j DROP".strip()
    assert outcome((*steps, DROP)) == ("drop" if matches else "accept")


@pytest.mark.parametrize("name", ["recent", "u32", "bpf", "set", "string", "time", "no_such_match"])
def test_a_match_that_is_not_known_is_named(name: str) -> None:
    assert xtables.match(name, 0, b"\1" * 64, "ip") == [Doubt(f"-m {name}")]


def test_a_match_that_is_cut_off_is_not_judged() -> None:
    assert xtables.match("conntrack", 3, b"\1", "ip") == [Doubt("-m conntrack")]
    assert xtables.target("NFQUEUE", 3, b"") == [Doubt("-j NFQUEUE", verdict=True)]


def test_classes_of_addresses_and_ports() -> None:
    span = xtables.between(PORT, [(b"\0\x50", b"\0\x5a")])
    known = Classes([Chain("nft", "ip", "fw", "c", (Rule((prefix(b"\x0a\1\0\0", 16), span, DROP)),))])
    assert known.of("10.1.0.1") == known.of("10.1.255.255") != known.of("10.2.0.0") == known.of("192.0.2.1")
    assert known.of("10.0.255.255") != known.of("10.1.0.0")
    assert known.of_port(80) == known.of_port(90) != known.of_port(91)
    assert known.of_port(79) != known.of_port(80)
    odd = SOURCE._replace(changes=(("mask", b"\0\0\0\1", bytes(4)),))  # each second address
    known = Classes([Chain("nft", "ip", "fw", "c", (Rule((xtables.equals(odd, b"\0\0\0\1"), DROP)),))])
    assert known.of("10.1.0.1") != known.of("10.1.0.3")


def test_spans_of_a_large_set() -> None:
    spans = tuple(((struct.pack(">H", at),), (struct.pack(">H", at + 2),), None) for at in range(0, 1000, 4))
    members = Members({}, spans)
    assert [at for at in range(12) if members.find((struct.pack(">H", at),))[0]] == [0, 1, 2, 4, 5, 6, 8, 9, 10]
