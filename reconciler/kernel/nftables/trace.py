"""Has nftables trace packets by a table that lives no longer than this process (meta nftrace, NFT_MSG_TRACE)."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Collection, Iterator
from typing import Any

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import transport
from reconciler.kernel.nftables import nft_tables, rule_steps
from reconciler.kernel.nftables.nft_decode import Attributes, attributes, number, text
from reconciler.model.errors import Failure, KernelError
from reconciler.model.tracing import Sent, Traced

PREFIX = "netrecon_trace_"  # and the pid; not the prefix of a topology's table
_GROUP, _ADD_MEMBERSHIP = 9, 1  # NFNLGRP_NFTRACE, NETLINK_ADD_MEMBERSHIP
_MESSAGE = 10 << 8 | 17  # NFNL_SUBSYS_NFTABLES, NFT_MSG_TRACE
_TABLE, _CHAIN, _HANDLE, _TYPE, _VERDICT, _ID, _NETWORK, _TRANSPORT, _POLICY = 1, 2, 3, 4, 5, 6, 8, 9, 16
_DATA_VERDICT = 2  # NFTA_DATA_VERDICT, in which rule_steps expects a verdict
_WHAT = {1: "policy", 2: "return", 3: "rule"}  # NFT_TRACETYPE_*
_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}  # NFPROTO_*
_FIRST = -(1 << 31)  # before every other chain of the hook, as far as a priority can say so


class Tracer:
    """Traces, in one scope, the packets from and to some ports; use it as a context manager.

    The table belongs to the socket of its libnftables context (NFT_TABLE_F_OWNER): the kernel deletes it with the
    process, however that ends.  Before Linux 5.12 it is deleted at the end, or by the next Tracer in the scope.
    """

    def __init__(self, kernel: Kernel, scope: str, ports: Collection[int]) -> None:
        self._kernel = kernel
        self._scope = scope
        self._table = f"{PREFIX}{os.getpid()}"
        self._ports = ports
        self._context: Any = None
        self._socket: socket.socket | None = None

    def __enter__(self) -> Tracer:
        try:
            self._kernel.run(self._scope, self._open, _left(self._kernel, self._scope, self._table))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, leftovers: Collection[str]) -> None:
        """Called by the worker in the scope."""
        self._socket = transport.open_socket(transport.NETFILTER)
        self._socket.setsockopt(transport.SOL_NETLINK, _ADD_MEMBERSHIP, _GROUP)
        self._socket.setblocking(False)
        self._context = nft_tables.library().Nftables()
        for left in leftovers:
            self._context.cmd(f"delete table inet {left}")
        code, _, error = self._context.cmd(_made(self._table, "flags owner;", self._ports))
        if code != 0:
            code, _, error = self._context.cmd(_made(self._table, "", self._ports))
        if code != 0:
            raise KernelError(f"trace in {self._scope}", nft_tables.failure_of(error))

    def close(self) -> None:
        """Delete the table."""
        context, self._context = self._context, None
        if context is not None:
            with contextlib.suppress(KernelError, OSError):
                self._kernel.run(self._scope, context.cmd, f"delete table inet {self._table}")
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def lines(self) -> Iterator[Traced]:
        """What was traced since the last call."""
        while self._socket is not None:
            try:
                data = self._socket.recv(transport.DATAGRAM)
            except BlockingIOError:
                return
            except OSError as error:
                raise KernelError(f"trace in {self._scope}", Failure(error.errno or 0)) from None
            for kind, body in _messages(data):
                line = decode(self._scope, body) if kind == _MESSAGE else None
                if line is not None and line.table != self._table:
                    yield line


def _made(table: str, flags: str, ports: Collection[int]) -> str:
    """The nft commands that make the table."""
    listed = ", ".join(map(str, sorted(ports)))
    match = [f"meta l4proto {{ tcp, udp }} th {word} {{ {listed} }} meta nftrace set 1" for word in ("sport", "dport")]
    lines = [f"add table inet {table} {{ {flags} }}" if flags else f"add table inet {table}"]
    for hook in ("prerouting", "output"):
        lines.append(f"add chain inet {table} {hook} {{ type filter hook {hook} priority {_FIRST}; }}")
        lines += [f"add rule inet {table} {hook} {words}" for words in match]
    return "\n".join(lines)


def _left(kernel: Kernel, scope: str, own: str) -> list[str]:
    """The tables that killed processes left behind."""
    names = [name for family, name in nft_tables.read_foreign(kernel, scope) if family == "inet"]
    pids = {name: name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX)}
    return [
        name for name, pid in pids.items() if name == own or (pid.isdecimal() and not os.path.exists(f"/proc/{pid}"))
    ]


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + transport.HEADER.size <= len(data):
        length, kind, *_ = transport.HEADER.unpack_from(data, at)
        yield kind, data[at + 16 : at + length]
        at += max((length + 3) & ~3, 16)


# ------------------------------------------------------------------ decoding


def decode(scope: str, body: bytes) -> Traced | None:
    """One line of a trace; None for a packet that is neither of IPv4 nor of IPv6."""
    attrs = dict(attributes(body, 4))
    what = _WHAT.get(number(attrs, _TYPE), "")
    sent = _sent(attrs) if _NETWORK in attrs else None
    if not what or (_NETWORK in attrs and sent is None):
        return None
    place = (_FAMILIES.get(body[0], str(body[0])), text(attrs[_TABLE]), text(attrs[_CHAIN]))
    handle = int.from_bytes(attrs.get(_HANDLE, b""), "big")
    verdict = _policy(attrs) if _POLICY in attrs else _verdict(attrs)
    if not handle and _POLICY not in attrs:
        what = "end"  # the kernel has a line of type rule for the end of a chain
    return Traced(scope, number(attrs, _ID), *place, what, verdict, handle, sent)


def _policy(attrs: Attributes) -> str:
    return "accept" if number(attrs, _POLICY) else "drop"


def _verdict(attrs: Attributes) -> str:
    verdict = rule_steps.verdict_of(transport.attribute(_DATA_VERDICT, attrs.get(_VERDICT, b"")))
    return f"{verdict.code} {verdict.chain}".strip() if verdict is not None else ""


def _sent(attrs: Attributes) -> Sent | None:
    head, ports = attrs[_NETWORK], attrs.get(_TRANSPORT, b"").ljust(4, b"\0")
    if len(head) >= 40 and head[0] >> 4 == 6:
        source, to, protocol = head[8:24], head[24:40], head[6]
    elif len(head) >= 20 and head[0] >> 4 == 4:
        source, to, protocol = head[12:16], head[16:20], head[9]
    else:
        return None
    family = socket.AF_INET if len(to) == 4 else socket.AF_INET6
    return Sent(
        socket.inet_ntop(family, source), socket.inet_ntop(family, to), protocol, *struct.unpack_from(">HH", ports)
    )


# ------------------------------------------------------------------ rules in nft's words


def rule_text(kernel: Kernel, line: Traced) -> str:
    """The rule that decided, as nft lists it; "" where it is not there any more."""
    command = f"list chain {line.family} {line.table} {line.chain}"
    mark = f" # handle {line.handle}"
    listed = kernel.run(line.scope, _listed, command).splitlines()
    return next((one.removesuffix(mark).strip() for one in listed if one.endswith(mark)), "")


def _listed(command: str) -> str:
    context = nft_tables.library().Nftables()
    context.set_handle_output(True)
    return str(context.cmd(command)[1])
