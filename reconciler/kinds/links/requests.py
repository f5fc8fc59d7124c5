"""The requests that create, change, stamp and delete links."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from reconciler.kinds.links.port import PORT
from reconciler.model.attributes import Attribute, Table
from reconciler.model.keys import BIRTH_GROUP, STAMP
from reconciler.model.requests import NLM_F_CREATE, NLM_F_EXCL, LinkRef, Netlink, Request
from reconciler.model.secret import is_lost

IFF_UP = 1
IN6_ADDR_GEN_MODE_NONE = 1

_STAMP = {"alias": "IFLA_IFALIAS", "group": "IFLA_GROUP"}
_PLAIN = {"mtu": "IFLA_MTU", "mac": "IFLA_ADDRESS", "txqueuelen": "IFLA_TXQLEN"}
Values = tuple[tuple[Attribute, Any], ...]


def plain_attributes(link: Any) -> Iterator[tuple[str, Any]]:
    """The netlink attributes that the kernel accepts when it creates a link."""
    for word, attribute in _PLAIN.items():
        value = getattr(link, word)
        if value is not None:
            yield attribute, value


def of_table(table: Table, values: Mapping[str, Any]) -> Values:
    """The values of a table's attributes, without secrets of which only the digest is known."""
    known = ((table[word], value) for word, value in values.items() if word in table)
    return tuple(pair for pair in known if not is_lost(pair[1]))


def birth_stamp(link: Any, owner: str) -> dict[str, Any]:
    """The stamp of a new link: the owner's, or of a link that is created again its own; and its group after birth."""
    return {"alias": STAMP + owner if link.alias is None else link.alias, "group": link.group or 0}


def stamp(link: Any, owner: str, more: Mapping[str, Any] = MappingProxyType({})) -> Iterator[Request]:
    """The request that stamps an existing link with its owner, and sets no more attributes than ``more``."""
    values: dict[str, Any] = {"alias": STAMP + owner, **more}
    yield from set_link(link.scope, link.name, values | ({"group": 0} if link.group == BIRTH_GROUP else {}))


def restamp(_now: Any, link: Any) -> Iterator[Request]:
    """The request that sets the alias and group of an existing link to those of ``link``."""
    yield from set_link(link.scope, link.name, {"alias": link.alias or "", "group": link.group or 0})


def rename(link: Any, topology: str, to: str) -> Iterator[Request]:
    """The request that stamps a link with the topology ``to`` if it has the stamp of ``topology``."""
    if link.alias == STAMP + topology:
        yield from set_link(link.scope, link.name, {"alias": STAMP + to})


def set_link(scope: str, name: str, values: Mapping[str, Any]) -> Iterator[Request]:
    """The requests that set attributes, by word, of an existing link.

    A port comes up last: until it has its attributes (isolated) it would pass frames.
    """
    port = of_table(PORT, values)
    if port and values.get("up"):
        yield from set_link(scope, name, {word: value for word, value in values.items() if word != "up"})
        yield from set_link(scope, name, {"up": True})
        return
    attributes: list[tuple[str, Any]] = [(_PLAIN[word], value) for word, value in values.items() if word in _PLAIN]
    if "master" in values:
        attributes.append(("IFLA_MASTER", LinkRef(scope, values["master"]) if values["master"] else 0))
    attributes += [(_STAMP[word], value) for word, value in values.items() if word in _STAMP]
    fields: dict[str, Any] = {"index": LinkRef(scope, name)}
    if "up" in values:
        fields |= {"flags": IFF_UP if values["up"] else 0, "change": IFF_UP}
    if attributes or "up" in values:
        yield Netlink(scope, "setlink", fields, tuple(attributes))
    yield from _set_info(scope, name, ("IFLA_INFO_SLAVE_KIND", "bridge"), "IFLA_INFO_SLAVE_DATA", port)


def set_data(scope: str, name: str, rtnl: str, data: Values) -> Iterator[Request]:
    """The request that changes the attributes of a link's own kind."""
    yield from _set_info(scope, name, ("IFLA_INFO_KIND", rtnl), "IFLA_INFO_DATA", data)


def _set_info(scope: str, name: str, kind: tuple[str, str], nest: str, data: Values) -> Iterator[Request]:
    """The request for attributes of a kind or of a port: only RTM_NEWLINK takes them."""
    if data:
        info = (kind, (nest, {"attrs": data}))
        yield Netlink(scope, "newlink", {"index": LinkRef(scope, name)}, (("IFLA_LINKINFO", {"attrs": info}),))


def hush(scope: str, name: str) -> Request:
    """The request for no link-local address; it must be sent before the link is up.

    Optional: a kernel without IPv6 refuses it, and does not need it.
    """
    mode = (("AF_INET6", {"attrs": (("IFLA_INET6_ADDR_GEN_MODE", IN6_ADDR_GEN_MODE_NONE),)}),)
    fields = {"index": LinkRef(scope, name)}
    return Netlink(scope, "setlink", fields, (("IFLA_AF_SPEC", {"attrs": mode}),), optional=True)


def born(link: Any, kind: str, data: tuple[tuple[Any, Any], ...], lower: str = "") -> Request:
    """The request that creates a link in the birth group; ``lower`` is the link of the scope that it lies on."""
    info: tuple[tuple[str, Any], ...] = (("IFLA_INFO_KIND", kind),)
    if data:
        info += (("IFLA_INFO_DATA", {"attrs": data}),)
    attributes = (
        ("IFLA_IFNAME", link.name),
        ("IFLA_GROUP", BIRTH_GROUP),
        *plain_attributes(link),
        *((("IFLA_LINK", LinkRef(link.scope, lower)),) if lower else ()),
        ("IFLA_LINKINFO", {"attrs": info}),
    )
    return Netlink(link.scope, "newlink", {}, attributes, NLM_F_CREATE | NLM_F_EXCL)


def port_after_birth(port: Any) -> dict[str, Any]:
    """The attributes to set on a new port, by word, without those that it already has.

    The kernel takes a master, and IFF_UP of a veth's peer, only after the link is created.
    """
    values = {word: getattr(port, word) for word in ("master", "up", *PORT.words)}
    births = {word: PORT[word].birth for word in PORT.words}
    return {
        word: value
        for word, value in values.items()
        if value not in (None, "") and not (word in births and value is births[word])
    }


def delete_link(scope: str, name: str) -> Request:
    """The request that deletes a link."""
    return Netlink(scope, "dellink", {"index": LinkRef(scope, name)})
