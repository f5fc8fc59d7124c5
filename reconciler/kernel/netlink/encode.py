"""Encodes requests by pyroute2's message classes, which know the protocol's names and layouts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from reconciler import startup
from reconciler.kernel.netlink import encode_fast, transport
from reconciler.model.requests import LinkRef, NamespaceRef, Netlink, NewMac

Reference = LinkRef | NamespaceRef
Resolve = Callable[[Reference | NewMac], Any]

_COMMANDS = {
    "newlink": (16, "ifinfmsg"),
    "dellink": (17, "ifinfmsg"),
    "setlink": (19, "ifinfmsg"),
    "newaddr": (20, "ifaddrmsg"),
    "deladdr": (21, "ifaddrmsg"),
    "newroute": (24, "rtmsg"),
    "delroute": (25, "rtmsg"),
    "newrule": (32, "fibmsg"),
    "delrule": (33, "fibmsg"),
    "newneigh": (28, "ndmsg"),
    "delneigh": (29, "ndmsg"),
}
_HAVE_FLAGS = ("VETH_INFO_PEER", "RTA_MULTIPATH")  # they begin with a header, in which pyroute2 requires "flags"


def encode(request: Netlink, resolve: Resolve) -> bytes:
    """The request as one message for transport.send_window: by encode_fast where it can, else by pyroute2."""
    return encode_fast.encode(request, resolve) or encode_by_class(request, resolve)


def encode_by_class(request: Netlink, resolve: Resolve) -> bytes:
    """The request as one message, encoded by pyroute2.

    ``resolve`` gives the number for each LinkRef and NamespaceRef and the address for a NewMac; it may raise.  Raises
    TypeError for an attribute or a field that the message class does not know: pyroute2 itself would drop it silently.
    """
    kind, module = _COMMANDS[request.command]
    if request.body:
        return transport.message(kind, request.body, request.flags)
    message = message_class(module)()
    _check_fields(message, request.fields)
    message.update(_resolved(request.fields, resolve))
    message.setdefault("flags", 0)
    message["attrs"] = [[name, _value(name, value, resolve)] for name, value in request.attributes]
    _check_next_hops(message)
    message.encode()
    _check_encoded(message, request.command)
    return transport.message(kind, bytes(message.data[16:]), request.flags)


@cache
def message_class(module: str) -> Any:
    """pyroute2's class of a message, such as ``rtmsg`` from pyroute2.netlink.rtnl.rtmsg."""
    return getattr(startup.submodule(f"pyroute2.netlink.rtnl.{module}"), module)


# ------------------------------------------------------------------ references


def _resolved(value: Any, resolve: Resolve) -> Any:
    if isinstance(value, LinkRef | NamespaceRef | NewMac):
        return resolve(value)
    if isinstance(value, Mapping):
        return {name: _resolved(item, resolve) for name, item in value.items() if name != "attrs"} | (
            {"attrs": [[name, _value(name, item, resolve)] for name, item in value["attrs"]]}
            if "attrs" in value
            else {}
        )
    if isinstance(value, list | tuple):
        return [_resolved(item, resolve) for item in value]
    return value


def _value(name: str, value: Any, resolve: Resolve) -> Any:
    value = _resolved(value, resolve)
    if name in _HAVE_FLAGS:
        for header in value if isinstance(value, list) else [value]:
            header.setdefault("flags", 0)
    return value


def references(value: Any) -> Iterator[Reference]:
    """Every LinkRef and NamespaceRef in a request's fields or attributes."""
    if isinstance(value, LinkRef | NamespaceRef):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from references(item)


# ------------------------------------------------------------------ nothing may be dropped


def _check_fields(message: Any, fields: Mapping[str, Any]) -> None:
    known = {field[0] for field in message.fields}
    for name in fields:
        if name not in known:
            raise TypeError(f"{type(message).__name__} has no field {name}")


def _check_next_hops(message: Any) -> None:
    """Check the attributes of next hops before encoding: afterwards pyroute2 does not have them any more."""
    for name, value in message["attrs"]:
        if name == "RTA_MULTIPATH":
            known = {entry[0] for entry in message.nla_map}
            _check_names((attribute[0] for hop in value for attribute in hop.get("attrs", ())), known)


def _check_names(names: Any, known: set[str]) -> None:
    for name in names:
        if name not in known:
            raise TypeError(f"a next hop has no attribute {name}")


def _check_encoded(message: Any, where: str) -> None:
    """Raise TypeError for what pyroute2 did not encode: that is still a plain list, the rest are nla_slots."""
    for attribute in message["attrs"]:
        if isinstance(attribute, list | tuple):
            raise TypeError(f"{where} has no attribute {attribute[0]}")
        if isinstance(attribute.cell[1], dict) and attribute.cell[1].get("attrs"):
            _check_encoded(attribute.cell[1], attribute.cell[0])
