"""Reads what was learned of neighbours, and announces addresses to them with packets."""

from __future__ import annotations

import errno
import socket
import struct
import time
from collections.abc import Iterable, Mapping, Sequence

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import decode, reader, transport
from reconciler.kernel.proc import sysctl
from reconciler.model.errors import Failure
from reconciler.model.requests import Announce
from reconciler.model.rows import LearnedRow

AF_BRIDGE = 7
NDA_VLAN, NDA_MASTER = 5, 9
NUD_INCOMPLETE, NUD_FAILED = 0x01, 0x20
NTF_SELF, NTF_EXT_LEARNED, NTF_STICKY = 0x02, 0x10, 0x40
_SET = decode.NUD_PERMANENT | decode.NUD_NOARP  # by somebody, or a link's own address
_OF_OTHERS = NTF_SELF | decode.NTF_PROXY | NTF_EXT_LEARNED | NTF_STICKY  # a device's own, or set by a daemon

_UNSETTLED = 0x40 | 0x08  # IFA_F_TENTATIVE, IFA_F_DADFAILED
IFF_RUNNING = 0x40
IFLA_BRPORT_STATE, BR_STATE_DISABLED = 1, 0
_PATIENCE, _PAUSE = 1.0, 0.005  # seconds
_DETECTION, _DETECTION_PAUSE = 3.0, 0.05  # duplicate address detection takes one to two

ETH_P_ARP, ETH_P_IPV6 = 0x0806, 0x86DD
_BROADCAST, _ALL_NODES = b"\xff" * 6, bytes.fromhex("333300000001")
_NA, _ROUTER, _OVERRIDE, _TARGET_MAC = 136, 0x80, 0x20, 2


# ------------------------------------------------------------------ what was learned


def read_learned(kernel: Kernel, scopes: Iterable[str]) -> dict[str, list[LearnedRow]]:
    """Scope -> its learned neighbours and FDB entries; those that somebody set are left out.  Raises KernelError."""
    return {scope: _learned(kernel.socket(scope)) for scope in kernel.with_sockets(scopes)}


def _learned(sock: socket.socket) -> list[LearnedRow]:
    bodies = [
        body
        for family in (socket.AF_UNSPEC, AF_BRIDGE)  # the first has no FDB in it
        for _, body in transport.dump(sock, reader.RTM_GETNEIGH, decode.NDMSG.pack(family, 0, 0, 0, 0))
    ]
    return [row for row in map(learned, bodies) if row is not None]


@decode.decoder("RTM_NEWNEIGH")
def learned(body: bytes) -> LearnedRow | None:
    """A LearnedRow from an RTM_NEWNEIGH's body; None for an entry that was not learned, or that failed."""
    family, index, state, flags, _type = decode.NDMSG.unpack_from(body)
    if state & (_SET | NUD_FAILED) or flags & _OF_OTHERS:
        return None
    attrs = decode.attributes(body, 12)
    mac = attrs.get(decode.NDA_LLADDR, b"").hex(":")
    if family == AF_BRIDGE:
        vlan = struct.unpack("=H", attrs[NDA_VLAN])[0] if NDA_VLAN in attrs else 0
        return LearnedRow(index, "", mac, decode.u32(attrs, NDA_MASTER), vlan) if NDA_MASTER in attrs else None
    if family not in (socket.AF_INET, socket.AF_INET6) or decode.NDA_DST not in attrs:
        return None
    address = decode.ip_text(family, attrs[decode.NDA_DST])
    return LearnedRow(index, address, "" if state & NUD_INCOMPLETE else mac)


# ------------------------------------------------------------------ whether links can carry a packet


def await_running(kernel: Kernel, links: Mapping[str, Iterable[str]]) -> None:
    """Wait until the links send what is given to them, for a short time: a link without a carrier never does.

    After a link is set up, the kernel starts its queue and its port of a bridge a moment later (linkwatch).
    """
    end = time.monotonic() + _PATIENCE
    waiting = {scope: set(names) for scope, names in links.items()}
    while True:
        waiting = {scope: left for scope, names in waiting.items() if (left := names & _idle(kernel, scope))}
        if not waiting or time.monotonic() > end:
            return
        time.sleep(_PAUSE)


def _idle(kernel: Kernel, scope: str) -> set[str]:
    return {*reader.read_links_as(kernel, scope, _name_if_idle)}


@decode.decoder("RTM_NEWLINK")
def _name_if_idle(body: bytes) -> str | None:
    flags = struct.unpack_from("=BxHiII", body)[3]
    attrs = decode.attributes(body, 16, frozenset({decode.IFLA_IFNAME, decode.IFLA_LINKINFO}))
    info = decode.attributes(attrs.get(decode.IFLA_LINKINFO, b""), 0)
    port = info.get(decode.IFLA_INFO_SLAVE_KIND, b"").startswith(b"bridge")
    state = decode.attributes(info.get(decode.IFLA_INFO_SLAVE_DATA, b""), 0).get(IFLA_BRPORT_STATE) if port else None
    idle = not flags & IFF_RUNNING or (state is not None and state[0] == BR_STATE_DISABLED)
    return decode.text(attrs[decode.IFLA_IFNAME]) if idle else None


def await_detection(kernel: Kernel, requests: Iterable[Announce]) -> list[Announce]:
    """Wait for duplicate address detection of the addresses; those that are usable then."""
    end = time.monotonic() + _DETECTION
    waiting, usable = [*requests], []
    while waiting and time.monotonic() < end:
        time.sleep(_DETECTION_PAUSE)
        settled = {scope: _settled(kernel, scope) for scope in {one.scope for one in waiting}}
        usable += [one for one in waiting if one.address in settled[one.scope]]
        waiting = [one for one in waiting if one.address not in settled[one.scope]]
    return usable


def _settled(kernel: Kernel, scope: str) -> set[str]:
    dumped = transport.dump(kernel.socket(scope), reader.RTM_GETADDR, bytes(8))
    rows = (decode.address(body) for kind, body in dumped if kind == reader.RTM_NEWADDR)
    return {row.address.partition("/")[0] for row in rows if row is not None and not row.flags & _UNSETTLED}


# ------------------------------------------------------------------ announcements


def announce(kernel: Kernel, scope: str, requests: Sequence[Announce]) -> list[Failure | None]:
    """Send one packet for each request; a result for each, None where it was sent.  Raises KernelError."""
    routers = _routers(kernel, {one.holder for one in requests if ":" in one.address})
    frames = [(one.link, *_frame(one, one.holder in routers)) for one in requests]
    return kernel.run(scope, _send, frames)


def _routers(kernel: Kernel, links: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """The links that forward IPv6: who hears that a router is none any more gives up its routes over it (RFC 4861)."""
    keys: dict[str, dict[str, str]] = {}
    for scope, link in links:
        keys.setdefault(scope, {})[f"net/ipv6/conf/{link}/forwarding"] = link
    values = sysctl.read_many(kernel, keys) if keys else {}
    return {(scope, keys[scope][key]) for (scope, key), value in values.items() if value != "0"}


def _send(frames: Sequence[tuple[str, int, bytes]]) -> list[Failure | None]:
    try:
        with socket.socket(
            socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0
        ) as sock:  # 0: it receives nothing
            return [_sent(sock, *frame) for frame in frames]
    except OSError as error:  # without CAP_NET_RAW, or on a kernel without packet sockets
        return [Failure(error.errno or errno.EIO)] * len(frames)


def _sent(sock: socket.socket, link: str, protocol: int, frame: bytes) -> Failure | None:
    try:
        sock.sendto(frame, (link, protocol))
    except OSError as error:
        return Failure(error.errno or errno.EIO)
    return None


def _frame(request: Announce, router: bool) -> tuple[int, bytes]:
    mac = bytes.fromhex(request.mac.replace(":", ""))
    if ":" in request.address:
        return ETH_P_IPV6, advertisement(mac, socket.inet_pton(socket.AF_INET6, request.address), router)
    return ETH_P_ARP, gratuitous_arp(mac, socket.inet_aton(request.address))


def gratuitous_arp(mac: bytes, address: bytes) -> bytes:
    """An ARP announcement (RFC 5227): a broadcast request for its own address."""
    head = struct.pack(">HHBBH", 1, 0x0800, 6, 4, 1)
    return _BROADCAST + mac + struct.pack(">H", ETH_P_ARP) + head + mac + address + bytes(6) + address


def advertisement(mac: bytes, address: bytes, router: bool) -> bytes:
    """An unsolicited neighbour advertisement to all nodes that overrides what they know (RFC 4861, 7.2.6)."""
    everyone = socket.inet_pton(socket.AF_INET6, "ff02::1")
    flags = _OVERRIDE | (_ROUTER if router else 0)
    rest = struct.pack(">B3x", flags) + address + struct.pack("BB", _TARGET_MAC, 1) + mac
    packet = struct.pack(">BBH", _NA, 0, 0) + rest
    pseudo = address + everyone + struct.pack(">II", len(packet), socket.IPPROTO_ICMPV6)
    packet = struct.pack(">BBH", _NA, 0, _checksum(pseudo + packet)) + rest
    head = struct.pack(">IHBB", 6 << 28, len(packet), socket.IPPROTO_ICMPV6, 255)
    return _ALL_NODES + mac + struct.pack(">H", ETH_P_IPV6) + head + address + everyone + packet


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
