"""The requests that make, change, stamp and delete links."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    """The netlink attributes that a link may be born with."""
    for word, attribute in _PLAIN.items():
        value = getattr(link, word)
        if value is not None:
            yield attribute, value


def of_table(table: Table, values: Mapping[str, Any]) -> Values:
    """The attributes of a table that are among the values; a secret that is lost cannot be sent."""
    known = ((table[word], value) for word, value in values.items() if word in table)
    return tuple(pair for pair in known if not is_lost(pair[1]))


def birth_stamp(link: Any, owner: str) -> dict[str, Any]:
    """What takes a new link out of the birth group: the owner's stamp, or the one that it bore in an earlier life."""
    return {"alias": STAMP + owner if link.alias is None else link.alias, "group": link.group or 0}


def stamp(link: Any, owner: str) -> Iterator[Request]:
    """The request that makes an existing link the owner's and changes nothing else of it."""
    values: dict[str, Any] = {"alias": STAMP + owner}
    yield from set_link(link.scope, link.name, values | ({"group": 0} if link.group == BIRTH_GROUP else {}))


def restamp(link: Any) -> Iterator[Request]:
    """The request that gives an existing link the alias and group that ``link`` bears."""
    yield from set_link(link.scope, link.name, {"alias": link.alias or "", "group": link.group or 0})


def set_link(scope: str, name: str, values: Mapping[str, Any]) -> Iterator[Request]:
    """The requests that give an existing link the values named."""
    attributes: list[tuple[str, Any]] = [(_PLAIN[word], value) for word, value in values.items() if word in _PLAIN]
    if "master" in values:
        attributes.append(("IFLA_MASTER", LinkRef(scope, values["master"]) if values["master"] else 0))
    attributes += [(_STAMP[word], value) for word, value in values.items() if word in _STAMP]
    fields: dict[str, Any] = {"index": LinkRef(scope, name)}
    if "up" in values:
        fields |= {"flags": IFF_UP if values["up"] else 0, "change": IFF_UP}
    if attributes or "up" in values:
        yield Netlink(scope, "setlink", fields, tuple(attributes))
    yield from _set_info(
        scope, name, ("IFLA_INFO_SLAVE_KIND", "bridge"), "IFLA_INFO_SLAVE_DATA", of_table(PORT, values)
    )


def set_data(scope: str, name: str, rtnl: str, data: Values) -> Iterator[Request]:
    """The request that changes attributes of a link's own kind."""
    yield from _set_info(scope, name, ("IFLA_INFO_KIND", rtnl), "IFLA_INFO_DATA", data)


def _set_info(scope: str, name: str, kind: tuple[str, str], nest: str, data: Values) -> Iterator[Request]:
    """Only RTM_NEWLINK carries attributes of a kind, and those of a port, in one message."""
    if data:
        info = (kind, (nest, {"attrs": data}))
        yield Netlink(scope, "newlink", {"index": LinkRef(scope, name)}, (("IFLA_LINKINFO", {"attrs": info}),))


def hush(scope: str, name: str) -> Request:
    """The request for no IPv6 address of the link's own; it must come before the link is up.

    Optional: a kernel without IPv6 refuses it, and there it is of no use.
    """
    mode = (("AF_INET6", {"attrs": (("IFLA_INET6_ADDR_GEN_MODE", IN6_ADDR_GEN_MODE_NONE),)}),)
    fields = {"index": LinkRef(scope, name)}
    return Netlink(scope, "setlink", fields, (("IFLA_AF_SPEC", {"attrs": mode}),), optional=True)


def born(link: Any, kind: str, data: tuple[tuple[Any, Any], ...], lower: str = "") -> Request:
    """The message that creates a link, in the birth group; ``lower`` is the link that it lies on, in the same scope."""
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
    """What a new port is still to be given: the kernel takes a master, and IFF_UP of a veth's peer, only now.

    What the kernel makes a port with needs no message.
    """
    values = {word: getattr(port, word) for word in ("master", "up", *PORT.words)}
    births = {word: PORT[word].birth for word in PORT.words}
    return {
        word: value
        for word, value in values.items()
        if value not in (None, "") and not (word in births and value is births[word])
    }


def delete_link(scope: str, name: str) -> Request:
    """The message that deletes a link."""
    return Netlink(scope, "dellink", {"index": LinkRef(scope, name)})
