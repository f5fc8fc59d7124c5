"""The oracle: what pyroute2's message classes read from the bytes that our decoders read."""

from __future__ import annotations

import dataclasses
import ipaddress
import socket
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from reconciler.kernel.netlink import decode, reader, transport
from reconciler.kernel.netlink.encode import message_class
from reconciler.model.attributes import Attribute, Table, Tables
from reconciler.model.requests import Netlink
from reconciler.model.rows import FOREVER, Hop, LinkRow
from reconciler.model.secret import Secret

MESSAGES = {
    "link": ("ifinfmsg", reader.RTM_NEWLINK),
    "address": ("ifaddrmsg", reader.RTM_NEWADDR),
    "route": ("rtmsg", reader.RTM_NEWROUTE),
    "rule": ("fibmsg", reader.RTM_NEWRULE),
}


def compare(decoder: str, body: bytes, row: Any, tables: Tables = decode.NO_TABLES) -> None:
    """AssertionError where a row is not what pyroute2 reads; None may stand only for what no row can hold.

    ``tables`` are those that a link was read by.
    """
    module, kind = MESSAGES[decoder]
    message = message_class(module)(bytearray(transport.HEADER.pack(16 + len(body), kind, 0, 0, 0) + body))
    message.decode()
    readers = {"link": partial(link, tables=tables), "address": address, "route": route, "rule": rule}
    wanted = readers[decoder](message)
    assert (row is None) == (wanted is None), (message, row)
    if row is not None:
        found = known_of(row, tables) if decoder == "link" else tuple(getattr(row, name) for name in FIELDS[decoder])
        assert found == wanted, message


FIELDS = {
    "address": ("address", "index", "scope", "flags", "permanent", "protocol", "lifetimes"),
    "route": ("to", "table", "metric", "tos", "type", "scope", "protocol", "source", "mtu", "hops"),
    "rule": ("family", "priority", "table", "action", "protocol"),
}


def _ip(text: str | None) -> str:
    """pyroute2 leaves the spelling to the C library; ours is Python's."""
    return str(ipaddress.ip_address(text)) if text else ""


# ------------------------------------------------------------------ links


def link(message: Any, tables: Tables) -> LinkRow:
    info = message.get_nested("IFLA_LINKINFO") or message_class("ifinfmsg")()
    kind = info.get_attr("IFLA_INFO_KIND") or ""
    nsid = message.get_attr("IFLA_LINK_NETNSID")
    own, port = tables.own.get(kind), tables.port.get(info.get_attr("IFLA_INFO_SLAVE_KIND"))
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
        message.get_attr("IFLA_LINK") or _vxlan_link(info) or 0,
        -1 if nsid is None else nsid,
        _inet6(message),
        message.get_attr("IFLA_GROUP"),
        _values(info, "IFLA_INFO_DATA", own, CLASSES.get(kind)) if own else {},
        _values(info, "IFLA_INFO_SLAVE_DATA", port, CLASSES["bridge_slave"]) if port else {},
    )


CLASSES = message_class("ifinfmsg").ifinfo.data_map
PLAIN = ("uint8", "uint16", "uint32", "uint64", "be16", "be32", "ip4addr", "ip6addr", "ipaddr", "l2addr", "asciiz")


def names(form: Any) -> dict[int, str]:
    """Number -> pyroute2's name of the attributes of a message class that are a plain value there as well."""
    listed = form.nla_map if form else ()
    numbered = listed if listed and isinstance(listed[0][0], int) else [(at, *one) for at, one in enumerate(listed)]
    return {number: name for number, name, kind, *_ in numbered if kind in PLAIN}


def _values(info: Any, nest: str, table: Table, form: Any) -> dict[str, Any]:
    data, known = info.get_attr(nest), names(form)
    values = {one.word: data.get_attr(known[one.number]) for one in table if one.number in known} if data else {}
    return {word: value for word, value in values.items() if value is not None}


def known_of(row: LinkRow, tables: Tables) -> LinkRow:
    """The row with only those attributes of tables that pyroute2 knows too."""
    known, table = names(CLASSES.get(row.kind)), tables.own.get(row.kind)
    told = {word: open_(value) for word, value in row.data.items() if table and table[word].number in known}
    return dataclasses.replace(row, data=told)


def open_(value: Any) -> Any:
    """A value that pyroute2 knows, as it writes it."""
    shown = value.reveal() if isinstance(value, Secret) else value
    return int(shown) if isinstance(shown, bool) else shown


def spelt(request: Netlink) -> Netlink | None:
    """The request with pyroute2's names in place of the attributes of tables; None where it has no name for one."""
    try:
        return dataclasses.replace(request, attributes=tuple(_spelt(request.attributes)))
    except KeyError:
        return None


def _spelt(listed: Iterable[tuple[Any, Any]], form: Any = None) -> Iterator[tuple[str, Any]]:
    kinds = {"IFLA_INFO_DATA": "IFLA_INFO_KIND", "IFLA_INFO_SLAVE_DATA": "IFLA_INFO_SLAVE_KIND"}
    pairs = tuple(listed)
    for name, value in pairs:
        if isinstance(name, Attribute):
            yield names(form)[name.number], open_(value)
        elif isinstance(value, dict) and "attrs" in value:
            kind = dict(pairs)[kinds[name]] if name in kinds else ""
            inner = CLASSES["bridge_slave" if name == "IFLA_INFO_SLAVE_DATA" else kind] if kind else None
            yield name, {**value, "attrs": tuple(_spelt(value["attrs"], inner))}
        else:
            yield name, value


def _vxlan_link(info: Any) -> int:
    """The device that a VXLAN sends by stands among its own data."""
    data = info.get_attr("IFLA_INFO_DATA") if info.get_attr("IFLA_INFO_KIND") == "vxlan" else None
    return 0 if data is None else int(data.get_attr("IFLA_VXLAN_LINK") or 0)


def _inet6(message: Any) -> int:
    inet6 = message.get_attr("IFLA_AF_SPEC").get_attr("AF_INET6")
    if inet6 is None:
        return -1
    mode = inet6.get_attr("IFLA_INET6_ADDR_GEN_MODE")
    return int.from_bytes(_conf(inet6)[188:192], "little") if mode is None else int(mode)


def _conf(inet6: Any) -> bytes:
    """The payload of IFLA_INET6_CONF, of which pyroute2 decodes only the start; Linux 5.10 has the mode only there."""
    (attribute,) = [one for one in inet6["attrs"] if one[0] == "IFLA_INET6_CONF"]
    return bytes(attribute.cell[1].data[attribute.cell[1].offset + 4 :])


# ------------------------------------------------------------------ addresses, routes, rules


def address(message: Any) -> tuple[Any, ...] | None:
    if message["family"] not in (socket.AF_INET, socket.AF_INET6):
        return None
    local = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
    flags = message.get_attr("IFA_FLAGS")
    info = message.get_attr("IFA_CACHEINFO") or {"ifa_preferred": FOREVER, "ifa_valid": FOREVER}
    return (
        f"{_ip(local)}/{message['prefixlen']}",
        message["index"],
        message["scope"],
        flags,
        bool(flags & 0x80),
        message.get_attr("IFA_PROTO") or 0,
        (info["ifa_preferred"], info["ifa_valid"]),
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
