"""No bytes make the nf_tables decoders crash, and what is cut short is an error and never a smaller table."""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.kernel.netlink import transport
from reconciler.kernel.netlink.transport import attribute
from reconciler.kernel.nftables import nft_decode as nft
from reconciler.kernel.nftables import nft_elements
from reconciler.kernel.nftables.nft_elements import Layout
from reconciler.kernel.nftables.nft_tables import read_tables
from reconciler.model.errors import KernelError

PORTS = Layout(("inet_proto", "inet_service"), ("ipv4_addr", "inet_service"), False)
LAYOUTS = [
    PORTS,
    Layout(("ipv6_addr", "inet_proto", "inet_service"), ("ipv6_addr", "inet_service"), False),
    Layout(("ipv4_addr",), (), True),
    Layout(("ipv4_addr", "ifname"), (), True),
    Layout(("ifname",), (), False),
]


def element(port: int, *more: bytes) -> bytes:
    key = attribute(1, attribute(1, struct.pack(">B3xH2x", 6, port)))
    return attribute(
        1, key + attribute(2, attribute(1, socket.inet_aton("10.0.0.2") + struct.pack(">H2x", 80))) + b"".join(more)
    )


def message(*elements: bytes) -> bytes:
    """The body of an NFT_MSG_NEWSETELEM: nfgenmsg, table, set, elements."""
    names = attribute(1, b"netrecon-t\0") + attribute(2, b"pub_any4\0")
    return struct.pack(">BBH", 1, 0, 7) + names + attribute(nft_elements.ELEM_LIST_ELEMENTS, b"".join(elements))


UNIFORM = message(*map(element, range(1, 9)))
MIXED = message(element(1), element(2, attribute(nft_elements.ELEM_USERDATA, b"\0\3hi\0")), element(3))


@pytest.mark.parametrize(("body", "count"), [(UNIFORM, 8), (MIXED, 3)], ids=["uniform", "mixed"])
def test_cut_short(body: bytes, count: int) -> None:
    whole = nft_elements.decode([body], PORTS)
    assert len(whole) == count
    boundaries = {4, 19, 20, 33, 34, 35, 36}  # behind nfgenmsg and each name, with or without its padding
    for end in range(4, len(body)):
        if end in boundaries:
            assert nft_elements.decode([body[:end]], PORTS) == {}
        else:
            with pytest.raises(KernelError, match="malformed"):
                nft_elements.decode([body[:end]], PORTS)


@pytest.mark.parametrize("body", [UNIFORM, MIXED], ids=["uniform", "mixed"])
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda form: ".".join(form.key))
def test_one_odd_byte(body: bytes, layout: Layout) -> None:
    for place in range(4, len(body)):
        for value in (0, 1, 3, 5, 0x7F, 0xFF):
            _decoded(body[:place] + bytes([value]) + body[place + 1 :], layout)


@given(st.sampled_from(LAYOUTS), st.binary(max_size=200))
def test_any_bytes(layout: Layout, body: bytes) -> None:
    _decoded(body, layout)
    _decoded(message(body), layout)


def _decoded(body: bytes, layout: Layout) -> None:
    """Anything but a KernelError fails the test by itself; keys and values have the fields of their set."""
    with contextlib.suppress(KernelError):
        for key, value in nft_elements.decode([body], layout).items():
            assert isinstance(key, tuple)
            assert isinstance(value, tuple)


@given(st.dictionaries(st.integers(1, 20), st.binary(max_size=40), max_size=8))
def test_forms_of_any_attributes(found: dict[int, bytes]) -> None:
    for form in (nft.table_form, nft.chain_form, nft.set_form, nft_elements.layout):
        with contextlib.suppress(KernelError):
            form(found)
    nft.comment(found.get(1, b""))
    nft.rules_digest([found])


# ------------------------------------------------------------------ a whole read


class Kernel:
    """Its socket answers every dump with the same message."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.sequence = 0

    def socket(self, _scope: str, _protocol: int = 0) -> Any:
        return self

    def run(self, _scope: str, function: Any, *arguments: Any) -> Any:
        return function(*arguments)

    def send(self, data: bytes) -> None:
        self.sequence = struct.unpack_from("=I", data, 8)[0]

    def recv(self, _size: int) -> bytes:
        rows = ((2560, self.body), (transport.NLMSG_DONE, bytes(4)))
        return b"".join(
            transport.HEADER.pack(16 + len(body), kind, 2, self.sequence, 0) + body + bytes(-len(body) % 4)
            for kind, body in rows
        )


@given(st.one_of(st.binary(max_size=60), st.binary(max_size=60).map(lambda rest: bytes(4) + rest)))
def test_any_answer_is_tables_or_one_clear_error(body: bytes) -> None:
    with contextlib.suppress(KernelError):  # which is what any other error is turned into
        assert isinstance(read_tables(Kernel(body), "host"), dict)


def test_a_table_without_its_name_is_an_error() -> None:
    with pytest.raises(KernelError, match="malformed"):
        read_tables(Kernel(bytes(4) + attribute(2, bytes(4))), "host")
