"""The oracle: what pyroute2's message classes read from the bytes that our decoders read."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

from reconciler.kernel.netlink import decode, reader, transport
from reconciler.kernel.netlink.encode import message_class
from reconciler.model.rows import Hop, LinkRow

MESSAGES = {
    "link": ("ifinfmsg", reader.RTM_NEWLINK),
    "address": ("ifaddrmsg", reader.RTM_NEWADDR),
    "route": ("rtmsg", reader.RTM_NEWROUTE),
    "rule": ("fibmsg", reader.RTM_NEWRULE),
}


def compare(decoder: str, body: bytes, row: Any) -> None:
    """AssertionError where a row is not what pyroute2 reads; None may stand only for what no row can hold."""
    module, kind = MESSAGES[decoder]
    message = message_class(module)(bytearray(transport.HEADER.pack(16 + len(body), kind, 0, 0, 0) + body))
    message.decode()
    wanted = {"link": link, "address": address, "route": route, "rule": rule}[decoder](message)
    assert (row is None) == (wanted is None), (message, row)
    if row is not None:
        found = row if decoder == "link" else tuple(getattr(row, name) for name in FIELDS[decoder])
        assert found == wanted, message


FIELDS = {
    "address": ("address", "index", "scope", "flags", "permanent", "protocol"),
    "route": ("to", "table", "metric", "tos", "type", "scope", "protocol", "source", "mtu", "hops"),
    "rule": ("family", "priority", "table", "action", "protocol"),
}


def _ip(text: str | None) -> str:
    """pyroute2 leaves the spelling to the C library; ours is Python's."""
    return str(ipaddress.ip_address(text)) if text else ""


# ------------------------------------------------------------------ links


def link(message: Any) -> LinkRow:
    info = message.get_nested("IFLA_LINKINFO") or message_class("ifinfmsg")()
    kind = info.get_attr("IFLA_INFO_KIND") or ""
    nsid = message.get_attr("IFLA_LINK_NETNSID")
    port = info.get_attr("IFLA_INFO_SLAVE_KIND") == "bridge"
    return LinkRow(
        message["index"],
        message.get_attr("IFLA_IFNAME"),
        kind,
        bool(message["flags"] & 1),
        bool(message["flags"] & 8),
        message.get_attr("IFLA_MTU"),
        message.get_attr("IFLA_ADDRESS") or "",
        message.get_attr("IFLA_MASTER") or 0,
        message.get_attr("IFLA_IFALIAS") or "",
        message.get_attr("IFLA_TXQLEN"),
        message.get_attr("IFLA_LINK") or 0,
        -1 if nsid is None else nsid,
        _inet6(message),
        message.get_attr("IFLA_GROUP"),
        _named(info, "IFLA_INFO_DATA", "IFLA_BR_", BRIDGE) if kind == "bridge" else {},
        _named(info, "IFLA_INFO_SLAVE_DATA", "IFLA_BRPORT_", PORT) if port else {},
    )


BRIDGE = {name: name.upper() for name in decode.BRIDGE_ATTRIBUTES} | {"stp": "STP_STATE"}
PORT = {"cost": "COST", "hairpin": "MODE", "learning": "LEARNING", "flood": "UNICAST_FLOOD", "isolated": "ISOLATED"}


def _named(info: Any, nest: str, prefix: str, names: dict[str, str]) -> dict[str, int]:
    data = info.get_attr(nest)
    values = {name: data.get_attr(prefix + word) for name, word in names.items()} if data is not None else {}
    return {name: value for name, value in values.items() if value is not None}


def _inet6(message: Any) -> int:
    inet6 = message.get_attr("IFLA_AF_SPEC").get_attr("AF_INET6")
    return -1 if inet6 is None else int(inet6.get_attr("IFLA_INET6_ADDR_GEN_MODE"))


# ------------------------------------------------------------------ addresses, routes, rules


def address(message: Any) -> tuple[Any, ...] | None:
    if message["family"] not in (socket.AF_INET, socket.AF_INET6):
        return None
    local = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
    flags = message.get_attr("IFA_FLAGS")
    return (
        f"{_ip(local)}/{message['prefixlen']}",
        message["index"],
        message["scope"],
        flags,
        bool(flags & 0x80),
        message.get_attr("IFA_PROTO") or 0,
    )


def route(message: Any) -> tuple[Any, ...] | None:
    table = message.get_attr("RTA_TABLE")
    known = message["family"] in (socket.AF_INET, socket.AF_INET6) and message["type"] in (1, 6, 7, 8, 9)
    if not known or table == 255 or message["flags"] & 0x200 or message["src_len"]:
        return None
    default = "0.0.0.0" if message["family"] == socket.AF_INET else "::"
    metrics = message.get_attr("RTA_METRICS")
    return (
        f"{_ip(message.get_attr('RTA_DST') or default)}/{message['dst_len']}",
        table,
        message.get_attr("RTA_PRIORITY") or 0,
        message["tos"],
        message["type"],
        message["scope"],
        message["proto"],
        _ip(message.get_attr("RTA_PREFSRC")),
        (metrics.get_attr("RTAX_MTU") or 0) if metrics else 0,
        _hops(message),
    )


def rule(message: Any) -> tuple[Any, ...] | None:
    if message["family"] not in (socket.AF_INET, socket.AF_INET6):
        return None  # the rules of multicast routing
    return (
        message["family"],
        message.get_attr("FRA_PRIORITY") or 0,
        message.get_attr("FRA_TABLE"),
        message["action"],
        message.get_attr("FRA_PROTOCOL") or 0,
    )


def _hops(message: Any) -> tuple[Hop, ...]:
    if message["type"] != 1:
        return ()
    listed = message.get_attr("RTA_MULTIPATH")
    if listed is None:
        return (Hop(_via(message), message.get_attr("RTA_OIF") or 0, 1, bool(message["flags"] & 4)),)
    return tuple(Hop(_via(hop), hop["oif"], hop["hops"] + 1, bool(hop["flags"] & 4)) for hop in listed)


def _via(message: Any) -> str:
    via = message.get_attr("RTA_VIA")
    return _ip(via["addr"] if via else message.get_attr("RTA_GATEWAY"))
