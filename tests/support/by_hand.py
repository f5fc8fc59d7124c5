"""What ip, sysctl, nft and a few file commands of the situations do, done to a pretended host."""

from __future__ import annotations

import errno
import pathlib
import shlex
from collections.abc import Callable
from ipaddress import ip_interface, ip_network
from typing import Any

from pretended import addresses, links, nft, routes
from pretended.host import PROXY, RESERVED, Host, add_neighbour, rule_from
from pretended.space import AF_INET, AF_INET6, Refused, Space

from reconciler.model import port_ranges
from reconciler.model.rows import FOREVER, AddressRow, Hop, NeighbourRow, RouteRow

PROTOCOLS = {"kernel": 2, "boot": 3, "static": 4, "ra": 9, "dhcp": 16, "zebra": 11, "bird": 12, "ospf": 188, "bgp": 186}
TYPES = {"unicast": 1, "blackhole": 6, "unreachable": 7, "prohibit": 8, "throw": 9}
TABLES = {"default": 253, "main": 254}
SCOPES = {"global": 0, "site": 200, "link": 253, "host": 254}
BRIDGE = {"stp_state": "stp"}
TRUTHS = {word for table in (links.BRIDGE, links.PORT) for word, value in table.items() if isinstance(value, bool)}


class Unknown(Exception):
    """A command that is not understood here: the case is for the live runner."""


def run(host: Host, etc: pathlib.Path, command: str) -> None:
    """Carry out a shell command; Unknown where it is not one of those below, Refused where the kernel says no."""
    if any(sign in command for sign in ("&&", "||", "$", "|", "(", " & ")):
        raise Unknown(command)
    for part in command.split("; ") if "'" not in command else [command]:
        words = shlex.split(part)
        if not words:
            continue
        scope = "host"
        while words[:3] == ["ip", "netns", "exec"]:
            scope, words = words[3], words[4:]
        _one(host, etc, scope, words)


def _one(host: Host, etc: pathlib.Path, scope: str, words: list[str]) -> None:
    program, *rest = words
    if program == "ip":
        _ip(host, scope, rest)
    elif program == "sysctl":
        for word in rest:
            if not word.startswith("-"):
                key, _, value = word.partition("=")
                _sysctl(host, scope, key, value)
    elif program == "nft":
        _nft(host, scope, " ".join(rest))
    elif program in ("echo", "mkdir", "rm"):
        _file(etc, program, rest)
    elif program != "sleep":
        raise Unknown(" ".join(words))


def _sysctl(host: Host, scope: str, key: str, value: str) -> None:
    if key == RESERVED:
        value = ",".join(port_ranges.written(port_ranges.parse(value)))
    host.write(scope, key, value)


def _nft(host: Host, scope: str, text: str) -> None:
    space = host.space(scope)
    try:
        if not text.startswith(("add ", "delete ", "flush ")):
            raise Unknown(text)
        space.tables = nft.run(space.tables, text)
    except nft.Invalid as invalid:
        raise Refused(invalid.number, invalid.text) from None
    except nft.NotPretended:
        raise Unknown(text) from None


def _file(etc: pathlib.Path, program: str, words: list[str]) -> None:
    folders = {"/etc/": etc, "/run/netrecon/": etc.parent / "netrecon"}
    found = next((start for start in folders if words[-1].startswith(start)), None)
    if found is None:
        raise Unknown(" ".join(words))
    path = folders[found] / words[-1].removeprefix(found)
    if program == "mkdir":
        path.mkdir(parents=True, exist_ok=True)
    elif program == "rm":
        import shutil

        shutil.rmtree(path) if path.is_dir() else path.unlink()
    else:
        with path.open("a" if words[-2] == ">>" else "w") as file:
            file.write(" ".join(words[:-2]) + "\n")


# ------------------------------------------------------------------ ip


def _ip(host: Host, scope: str, words: list[str]) -> None:
    family = AF_INET
    while words[0].startswith("-"):
        option = words.pop(0)
        if option == "-n":
            scope = words.pop(0)
        elif option == "-6":
            family = AF_INET6
    what, verb, *rest = words
    verb = {"del": "delete"}.get(verb, verb)
    if what == "netns":
        _netns(host, verb, *rest)
        return
    action = _ACTIONS.get({"address": "addr"}.get(what, what))
    if action is None:
        raise Unknown(" ".join(words))
    action(host, host.space(scope), verb, rest, family)


def _netns(host: Host, verb: str, name: str) -> None:
    if verb == "add":
        host.open(name, up=False)
    elif verb == "delete":
        host.close(name)
    else:
        raise Unknown(f"ip netns {verb}")


def _link(host: Host, space: Space, verb: str, words: list[str], _family: int) -> None:
    if verb == "delete":
        links.remove(host, space, space.link(words[-1]).index)
        return
    if verb not in ("add", "set"):
        raise Unknown(f"ip link {verb}")
    name, *rest = words[1:] if words[0] in ("dev", "name") else words
    kind, more = "", []
    if "type" in rest:
        at = rest.index("type")
        kind, more, rest = rest[at + 1], rest[at + 2 :], rest[:at]
    values = _link_words(host, space, rest)
    if verb == "set":
        values |= {"data": _pairs(more)} if kind == "bridge" else {"port": _pairs(more)} if kind else {}
        links.change(host, space, space.link(name).index, values)
    elif kind == "veth":
        theirs = _link_words(host, space, more[3:])
        links.pair(host, space, name, values, theirs.pop("space", space), more[2], theirs)
    elif kind == "vxlan" and "dev" in more:
        raise Unknown("ip link add type vxlan dev")
    elif kind in ("bridge", "vxlan", "ifb", "macvlan", "dummy"):
        links.born(host, space, name, kind, values | ({"data": _pairs(more)} if kind == "bridge" else {}))
    else:
        raise Unknown(f"ip link add type {kind}")


def _pairs(words: list[str]) -> dict[str, Any]:
    named = ((BRIDGE.get(word, word), value) for word, value in zip(words[::2], words[1::2], strict=True))
    return {word: value in ("on", "1") if word in TRUTHS else int(value, 0) for word, value in named}


def _link_words(host: Host, space: Space, words: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    listed = iter(words)
    for word in listed:
        if word in ("up", "down"):
            values["up"] = word == "up"
        elif word == "nomaster":
            values["master"] = 0
        elif word in ("master", "link"):
            values[word] = space.link(next(listed)).index
        elif word == "netns":
            values["space"] = host.space(next(listed))
        elif word in ("mtu", "txqueuelen", "group"):
            values[word] = int(next(listed))
        elif word in ("address", "alias", "name"):
            values[{"address": "mac"}.get(word, word)] = next(listed)
        elif word in ("id", "dstport", "mode"):
            next(listed)
        else:
            raise Unknown(f"ip link ... {word}")
    return values


def _addr(_host: Host, space: Space, verb: str, words: list[str], _family: int) -> None:
    found = _options(words[1:], {"nodad", "noprefixroute", "home"})
    if {"peer", "metric", "brd", "broadcast"} & found.keys():
        raise Unknown(f"ip addr {' '.join(words)}")
    index, address = space.link(found["dev"]).index, str(ip_interface(words[0]))
    if verb == "delete":
        addresses.remove(space, index, address)
    elif verb in ("add", "replace", "change"):
        lifetimes = _lifetime(found.get("preferred_lft")), _lifetime(found.get("valid_lft"))
        permanent = lifetimes[1] == FOREVER
        flags = permanent * addresses.PERMANENT | ("nodad" in found) * addresses.NODAD
        flags |= ("noprefixroute" in found) * addresses.NOPREFIXROUTE
        scope = 254 if address.startswith("127.") else SCOPES[found.get("scope", "global")]
        rest = (("IFA_LABEL", found["label"]),) if "label" in found else ()
        row = AddressRow(index, address, permanent, int(found.get("proto", 0)), scope, flags, lifetimes, rest=rest)
        addresses.add(space, index, row, verb != "add")
    else:
        raise Unknown(f"ip addr {verb}")


def _lifetime(text: str | None) -> int:
    return FOREVER if text in (None, "forever") else int(text)


def _options(words: list[str], alone: set[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    listed = iter(words)
    for word in listed:
        found[word] = "" if word in alone else next(listed)
    return found


def _route(_host: Host, space: Space, verb: str, words: list[str], family: int) -> None:
    kind = TYPES[words.pop(0)] if words[0] in TYPES else 1
    if {"nhid", "nexthop", "inet6"} & set(words):
        raise Unknown(f"ip route {' '.join(words)}")
    if words[0] == "local":
        raise Unknown("ip route local")
    to, found = words[0], _options(words[1:], {"onlink"})
    via, oif = found.get("via", ""), space.link(found["dev"]).index if "dev" in found else 0
    family = AF_INET6 if ":" in to + via else family
    to = {AF_INET: "0.0.0.0/0", AF_INET6: "::/0"}[family] if to == "default" else str(ip_network(to))
    if verb == "delete":
        hops = (Hop(via, oif, 1, False),) if via or oif else ()
        kind = kind if kind != 1 else 0
    else:
        hops = (Hop(via, oif, 1, "onlink" in found),) if kind == 1 else ()
    scope = SCOPES[found["scope"]] if "scope" in found else 0 if via or kind != 1 or family == AF_INET6 else 253
    metric = int(found.get("metric", 0)) or (1024 if family == AF_INET6 else 0)
    protocol = found.get("proto", "boot")
    row = RouteRow(
        family, to, int(TABLES.get(found.get("table", "main"), found.get("table", 254))), metric, 0, kind, scope,
        PROTOCOLS[protocol] if protocol in PROTOCOLS else int(protocol), found.get("src", ""), int(found.get("mtu", 0)),
        hops,
    )  # fmt: skip
    flags = {"add": 0x600, "append": 0xC00, "replace": 0x500, "change": 0x100}
    if verb == "delete":
        routes.delete(space, row)
    elif verb in flags:
        routes.add(space, row, flags[verb])
    else:
        raise Unknown(f"ip route {verb}")


def _rule(_host: Host, space: Space, verb: str, words: list[str], family: int) -> None:
    if verb != "add":
        raise Unknown(f"ip rule {verb}")
    action = next((word for word in words if word in TYPES), "")
    found = _options([word for word in words if word != action], set())
    if set(found) - {"from", "to", "fwmark", "lookup", "table", "pref", "proto", "iif", "oif"}:
        raise Unknown(f"ip rule {words}")
    protocol = PROTOCOLS[found["proto"]] if "proto" in found else 0
    table = int(TABLES.get(found.get("lookup", "0"), found.get("lookup", 0)))
    taken = [row.priority for row in space.rules if row.family == family and row.priority]
    priority = int(found.get("pref", min(taken) - 1))
    text = " ".join(f"{word} {found[word]}" for word in ("from", "to", "fwmark", "iif", "oif") if word in found)
    text = f"{text} {action or 'lookup ' + found.get('lookup', '')}"
    row = rule_from(f"{family} {priority} {protocol} {table} {TYPES.get(action, 1)} {text}".encode())
    if row in space.rules:
        raise Refused(errno.EEXIST)
    space.rules = sorted([*space.rules, row], key=lambda one: (one.family, one.priority))


def _neigh(_host: Host, space: Space, verb: str, words: list[str], _family: int) -> None:
    proxy = words[0] == "proxy"
    address, *rest = words[1:] if proxy else words
    found = _options(rest, set())
    if verb != "add" or (not proxy and found.get("nud") != "permanent"):
        raise Unknown(f"ip neigh {verb} {' '.join(words)}")
    index, flags = space.link(found["dev"]).index, PROXY if proxy else 0
    add_neighbour(space, NeighbourRow(index, address, found.get("lladdr", ""), proxy, flags))


_ACTIONS: dict[str, Callable[[Host, Space, str, list[str], int], None]] = {
    "link": _link,
    "addr": _addr,
    "route": _route,
    "rule": _rule,
    "neigh": _neigh,
}
