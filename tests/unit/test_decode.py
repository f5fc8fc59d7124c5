"""The decoders' numbers are pyroute2's, and no bytes make them answer anything but a row or one clear error."""

from __future__ import annotations

import contextlib
import errno
import struct
import subprocess
import sys
from functools import partial
from typing import Any

import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.kernel.namespaces import stamping
from reconciler.kernel.netlink import decode, decode_rule, encode_fast, peers, transport
from reconciler.kernel.netlink.encode import encode, encode_by_class, message_class
from reconciler.kinds import TABLES
from reconciler.model.attributes import Table, bool8, bool32, u8, u16, u32
from reconciler.model.errors import Failure, KernelError
from reconciler.model.requests import LinkRef, Netlink


def numbers(message: Any) -> dict[str, int]:
    """Name -> number of a message class's attributes."""
    listed = message.nla_map
    if isinstance(listed[0][0], int):
        return {entry[1]: entry[0] for entry in listed}
    return {entry[0]: number for number, entry in enumerate(listed)}


def constants(module: Any, prefix: str) -> dict[str, int]:
    return {name: value for name, value in vars(module).items() if name.startswith(prefix)}


LINK = message_class("ifinfmsg")
INFO = LINK.ifinfo
MAPS = [
    (decode, "IFLA_INFO_", numbers(INFO)),
    (decode, "IFA_", numbers(message_class("ifaddrmsg")) | {"IFA_F_PERMANENT": 0x80}),
    (decode, "RTA_", numbers(message_class("rtmsg"))),
    (decode, "RTAX_", numbers(message_class("rtmsg").metrics)),
    (decode_rule, "FRA_", numbers(message_class("fibmsg"))),
    (peers, "NETNSA_", numbers(message_class("nsidmsg"))),
]


@pytest.mark.parametrize(("module", "prefix", "known"), MAPS, ids=[prefix for _, prefix, _ in MAPS])
def test_numbers_are_pyroute2s(module: Any, prefix: str, known: dict[str, int]) -> None:
    ours = constants(module, prefix)
    assert ours
    assert ours == {name: known[name] for name in ours}


def test_link_numbers_are_pyroute2s() -> None:
    known = numbers(LINK)
    ours = constants(decode, "IFLA_") | {"IFLA_IF_NETNSID": peers.IFLA_TARGET_NETNSID}
    for name, number in ours.items():
        if not name.startswith(("IFLA_INFO_", "IFLA_INET6_", "IFLA_VXLAN_")):
            assert number == known[name], name
    assert numbers(LINK.af_spec_inet.inet6)["IFLA_INET6_ADDR_GEN_MODE"] == decode.IFLA_INET6_ADDR_GEN_MODE
    assert stamping._IFLA_IFALIAS == decode.IFLA_IFALIAS


WIRES = {"uint8": (u8, bool8), "uint16": (u16,), "uint32": (u32, bool32)}


@pytest.mark.parametrize(("table", "form"), [(TABLES.own["bridge"], "bridge"), (TABLES.port["bridge"], "bridge_slave")])
def test_numbers_and_widths_of_a_kinds_table_are_pyroute2s(table: Table, form: str) -> None:
    spelt = {"stp": "STP_STATE", "hairpin": "MODE", "flood": "UNICAST_FLOOD"}
    known = dict(enumerate(oracle.CLASSES[form].nla_map))
    for one in table:
        name, width = known[one.number]
        word = name.removeprefix("IFLA_BRPORT_").removeprefix("IFLA_BR_")
        assert word == spelt.get(one.word, one.word.upper())
        assert one.wire in [make("", 0).wire for make in WIRES[width]], one.word


# ------------------------------------------------------------------ odd bytes

DECODERS = [decode.link, partial(decode.link, tables=TABLES), decode.address, decode.route, decode_rule.rule]


def sample(command: str, fields: dict[str, Any], *attributes: tuple[str, Any]) -> bytes:
    return encode(Netlink("host", command, fields, attributes), lambda _: 7)[16:]  # type: ignore[arg-type]


BRIDGE = (("IFLA_BR_STP_STATE", 1), ("IFLA_BR_PRIORITY", 9), ("IFLA_BR_VLAN_FILTERING", 0))
INFO_ATTRIBUTES = (("IFLA_INFO_KIND", "bridge"), ("IFLA_INFO_DATA", {"attrs": BRIDGE}))
SAMPLES = [
    (
        partial(decode.link, tables=TABLES),
        sample(
            "newlink",
            {"index": 3},
            ("IFLA_IFNAME", "br0"),
            ("IFLA_MTU", 9),
            ("IFLA_LINKINFO", {"attrs": INFO_ATTRIBUTES}),
        ),
    ),
    (
        decode.address,
        sample(
            "newaddr", {"family": 2, "prefixlen": 24}, ("IFA_LOCAL", "10.0.0.1"), ("IFA_FLAGS", 0x80), ("IFA_PROTO", 2)
        ),
    ),
    (
        decode.route,
        sample(
            "newroute",
            {"family": 10, "dst_len": 64, "table": 254, "type": 1},
            ("RTA_DST", "fd00::"),
            ("RTA_METRICS", {"attrs": (("RTAX_MTU", 1300),)}),
            ("RTA_MULTIPATH", [{"oif": LinkRef("host", "x"), "hops": 0, "attrs": (("RTA_GATEWAY", "fd01::1"),)}] * 2),
        ),
    ),
    (
        decode_rule.rule,
        sample("delrule", {"family": 2, "src_len": 8, "action": 1}, ("FRA_SRC", "10.0.0.0"), ("FRA_PROTOCOL", 3)),
    ),
]


@pytest.mark.parametrize(("decoder", "body"), SAMPLES, ids=["link", "address", "route", "rule"])
def test_a_message_cut_short_or_with_one_odd_byte(decoder: Any, body: bytes) -> None:
    assert decoder(body) is not None
    for end in range(len(body)):
        _row_or_error(decoder, body[:end])
    for place in range(len(body)):
        for value in (0, 1, 3, 5, 0x7F, 0xFF):
            _row_or_error(decoder, body[:place] + bytes([value]) + body[place + 1 :])


@given(st.sampled_from(DECODERS), st.binary(max_size=200))
def test_any_bytes(decoder: Any, body: bytes) -> None:
    _row_or_error(decoder, body)


@given(st.sampled_from(SAMPLES), st.data())
def test_a_message_with_a_stretch_of_any_bytes(sample_: Any, data: Any) -> None:
    decoder, body = sample_
    place = data.draw(st.integers(0, len(body)))
    _row_or_error(decoder, body[:place] + data.draw(st.binary(max_size=40)) + body[place:])


def _row_or_error(decoder: Any, body: bytes) -> None:
    """Anything but a KernelError, such as an IndexError, fails the test by itself."""
    with contextlib.suppress(KernelError):
        decoder(body)


def test_the_error_is_clear() -> None:
    with pytest.raises(KernelError, match="malformed RTM_NEWLINK") as caught:
        decode.link(b"short")
    assert caught.value.failure.errno == errno.EBADMSG


def test_a_route_that_a_row_cannot_hold_is_left_out() -> None:
    fields = {"family": 2, "dst_len": 8, "table": 254, "type": 1}
    destination = ("RTA_DST", "10.0.0.0")
    assert decode.route(sample("newroute", fields, destination)) is not None
    assert decode.route(sample("newroute", fields, destination, ("RTA_TABLE", 255))) is None
    for odd in ({"flags": 0x200}, {"type": 2}, {"type": 3}, {"family": 28}, {"src_len": 8}):
        body = bytearray(sample("newroute", fields, destination))
        message = message_class("rtmsg")
        for name, value in odd.items():
            at = [field for field, _ in message.fields].index(name)
            struct.pack_into("=I" if name == "flags" else "=B", body, at, value)
        assert decode.route(bytes(body)) is None, odd


# ------------------------------------------------------------------ dumps and answers


class Socket:
    """Plays datagrams back; an exception among them is raised."""

    def __init__(self, *scripts: list[Any]) -> None:
        self.scripts = list(scripts)
        self.sequence = 0
        self.sent = 0
        self.waiting: list[Any] = []

    def send(self, data: bytes) -> None:
        self.sent += 1
        self.sequence = struct.unpack_from("=I", data, 8)[0]
        self.waiting = list(self.scripts.pop(0))

    def recv(self, _size: int) -> bytes:
        item = self.waiting.pop(0)
        if isinstance(item, BaseException):
            raise item
        return b"".join(self._message(*message) for message in item)

    def _message(self, kind: int, body: bytes, flags: int = 2, shift: int = 0) -> bytes:
        return transport.HEADER.pack(16 + len(body), kind, flags, self.sequence + shift, 0) + body


DONE = (3, bytes(4))
LINK_ = (16, b"link")


def dump(*scripts: list[Any]) -> tuple[list[Any], int]:
    sock = Socket(*scripts)
    return transport.dump(sock, 18, b""), sock.sent  # type: ignore[arg-type]


def test_a_dump_in_several_datagrams() -> None:
    assert dump([[LINK_, LINK_], [LINK_, DONE]]) == ([LINK_] * 3, 1)


def test_an_answer_to_another_request_is_passed_over() -> None:
    assert dump([[(16, b"old!", 2, -1), LINK_], [DONE]]) == ([LINK_], 1)


def test_a_dump_that_was_interrupted_is_taken_again() -> None:
    interrupted = [[LINK_], [(16, b"link", 0x12)], [DONE]]
    assert dump(interrupted, [[LINK_, (3, bytes(4), 0x12)]], [[LINK_, DONE]]) == ([LINK_], 3)


def test_a_dump_that_overflowed_is_read_to_its_end_and_taken_again() -> None:
    assert dump([[LINK_], OSError(errno.ENOBUFS, ""), [DONE]], [[LINK_, DONE]]) == ([LINK_], 2)


def test_a_dump_that_never_comes_out_whole_is_an_error() -> None:
    with pytest.raises(KernelError, match="keeps changing"):
        dump(*[[[(3, bytes(4), 0x12)]]] * transport.RETRIES)


def test_an_error_within_done_is_an_error() -> None:
    with pytest.raises(KernelError) as caught:
        dump([[LINK_, (3, struct.pack("=i", -errno.EMSGSIZE))]])
    assert caught.value.failure.errno == errno.EMSGSIZE


def test_a_refused_dump_has_the_kernels_words() -> None:
    words = transport.attribute(1, b"Unknown attribute\0")
    body = struct.pack("=i", -errno.EINVAL) + bytes(16) + words
    with pytest.raises(KernelError, match="Unknown attribute"):
        dump([[(2, body, 0x300)]])


def test_no_answer_is_an_error_and_not_a_hang() -> None:
    with pytest.raises(KernelError, match="no answer"):
        dump([BlockingIOError()])


def test_a_malformed_datagram_is_an_error() -> None:
    sock = Socket([[LINK_]])
    sock._message = lambda *_: b"\x08\0\0\0short"  # type: ignore[method-assign]
    with pytest.raises(KernelError, match="malformed"):
        transport.dump(sock, 18, b"")  # type: ignore[arg-type]


def test_words_after_an_echoed_request() -> None:
    """Without NLM_F_CAPPED the whole request stands before the extended ack."""
    echoed = struct.pack("=IHHII", 24, 16, 0, 0, 0) + bytes(8)
    body = struct.pack("=i", -errno.EPERM) + echoed + transport.attribute(2, struct.pack("=I", 20))
    whole = transport.HEADER.pack(16 + len(body), 2, 0x200, 0, 0) + body
    assert transport.error_failure(whole, 0x200) == Failure(
        errno.EPERM, "Operation not permitted (attribute at byte 20)"
    )


def test_reading_imports_none_of_the_heavy_libraries() -> None:
    code = (
        "import sys; from reconciler.kernel import live, writer;"
        "from reconciler.kernel.namespaces import enter, worker;"
        "print([name for name in ('pyroute2', 'nftables', 'asyncio', 'logging', 'subprocess') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ------------------------------------------------------------------ requests encoded by struct


@given(st.data())
def test_what_is_encoded_by_struct_is_what_pyroute2_encodes(data: Any) -> None:
    command = data.draw(st.sampled_from(["setlink", "newaddr", "newroute", "delroute", "deladdr"]))
    prefix = {"link": "IFLA_", "addr": "IFA_", "oute": "RTA_"}[command[-4:]]
    values = {
        encode_fast._u32: st.integers(0, 2**32 - 1),
        encode_fast._u8: st.integers(0, 255),
        encode_fast._text: st.text("abc:-0", max_size=20),
        encode_fast._mac: st.binary(min_size=6, max_size=6).map(lambda one: one.hex(":")),
    }
    values[encode_fast._ip] = st.ip_addresses(v=4).map(str)
    names = [name for name in encode_fast._PLAIN if name.startswith(prefix) and "_INFO_" not in name]
    chosen = data.draw(st.lists(st.sampled_from([name for name in names if "INET6" not in name]), unique=True))
    attributes = tuple((name, data.draw(values[encode_fast._PLAIN[name][1]])) for name in chosen)
    fields = (
        {"index": LinkRef("host", "x")} if prefix != "RTA_" else {"table": data.draw(st.integers(0, 255)), "type": 1}
    )
    request = Netlink("host", command, {**fields, "family": 2}, attributes, flags=data.draw(st.integers(0, 0xF00)))
    by_struct = encode_fast.encode(request, lambda _: 7)
    assert by_struct is not None
    assert by_struct == encode_by_class(request, lambda _: 7)


def test_what_struct_does_not_know_is_left_to_pyroute2() -> None:
    assert encode_fast.encode(Netlink("host", "setlink", {"index": 3}, (("IFLA_PROMISCUITY", 1),)), int) is None
    assert encode_fast.encode(Netlink("host", "setlink", {"colour": 3}), int) is None
    assert encode_fast.encode(Netlink("host", "delrule", {}, body=b"raw!"), int) is None
