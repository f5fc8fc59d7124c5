"""Reads networks and sandboxes from a document that passed the schema, and checks the names that they refer to."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from reconciler.language.networks import naming
from reconciler.language.networks.drivers import DRIVERS, PREDEFINED
from reconciler.language.networks.ipam import number
from reconciler.language.networks.model import EMPTY, Endpoint, Network, Note, Sandbox
from reconciler.model.quoting import Path

_OF_JOINED = ("external", "name", "bridge", "ip_range", "routes", "hosts")  # the keys of a network of another topology


def networks(data: Mapping[str, Any], note: Note) -> dict[str, Network]:
    """The networks by name, without their subnets yet; those with an unsupported driver are noted and left out."""
    written = data.get("networks") or {}
    usable: dict[str, Network] = {}
    for name, entry in written.items():
        driver = DRIVERS[entry.get("driver", "bridge")]
        if driver.refusal:
            note(("networks", name, "driver"), driver.refusal)
        else:
            usable[name] = _joined(name, entry) if "external" in entry else _network(name, entry)
            _check_keys(name, entry, note)
    usable = dict(_joined_rightly(data["name"], usable, note))
    for network in usable.values():
        for index, other in enumerate(network.allow):
            _check_allowed(network, other, written, note, (*network.path, "allow", index))
    return usable


def each(written: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """(path, word) for a value that is a word or a list of words; nothing for None."""
    if isinstance(written, list):
        yield from (((*path, index), text) for index, text in enumerate(written))
    elif written is not None:
        yield path, written


def _network(name: str, entry: Mapping[str, Any]) -> Network:
    return Network(
        name=name,
        path=("networks", name),
        driver=entry.get("driver", "bridge"),
        bridge=entry.get("bridge") or naming.bridge(name),
        internal=entry.get("internal", False),
        icc=entry.get("icc", True),
        masquerade=entry.get("masquerade", True),
        mtu=entry.get("mtu"),
        allow=tuple(entry.get("allow") or ()),
        routes=tuple(entry.get("routes") or ()),
        hosts=entry.get("hosts") or EMPTY,
    )


def _joined(name: str, entry: Mapping[str, Any]) -> Network:
    """A network of another topology, without what only that one or the host knows (see external.py)."""
    theirs = entry.get("name") or name
    return Network(
        name=name,
        path=("networks", name),
        driver="bridge",
        bridge=entry.get("bridge") or naming.bridge(theirs),
        routes=tuple(entry.get("routes") or ()),
        hosts=entry.get("hosts") or EMPTY,
        external=entry["external"],
        theirs=theirs,
    )


def _check_keys(name: str, entry: Mapping[str, Any], note: Note) -> None:
    """Note the keys that only the topology which has the network may write, or only one that joins it."""
    path = ("networks", name)
    if "external" in entry:
        for word in [word for word in entry if word not in _OF_JOINED]:
            note((*path, word), f"the network belongs to topology {entry['external']}, which sets {word}; leave it out")
    elif "name" in entry:
        note((*path, "name"), "only a network of another topology has a name beside its key; write external: TOPOLOGY")


def _joined_rightly(topology: str, usable: Mapping[str, Network], note: Note) -> Iterator[tuple[str, Network]]:
    """The networks; noted and left out are those of the topology itself, and one that is joined under two names."""
    known: dict[tuple[str, str], str] = {}
    for name, network in usable.items():
        path = (*network.path, "external")
        first = known.setdefault((network.external, network.theirs), name) if network.external else name
        if network.external == topology:
            note(path, f"{topology} is this topology itself; write the name of the one that has the network")
        elif first != name:
            note(path, f"{first} is the network {network.theirs} of {network.external} already; keep one of them")
        else:
            yield name, network


def _check_allowed(network: Network, other: str, written: Mapping[str, Any], note: Note, at: Path) -> None:
    if other not in written:
        note(at, f'no network "{other}"{nearest(other, written)}')
    elif other == network.name:
        note(at, f"{other} is this network itself; its endpoints reach each other anyway, unless icc is false")
    elif written[other].get("internal"):
        note(at, f"nothing leaves {other}, which is internal: it cannot be allowed into {network.name}")


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of the message "no network X": the closest name, or the names that there are."""
    listed = sorted(known)
    close = difflib.get_close_matches(name, listed, 1)
    if close:
        return f'; did you mean "{close[0]}"?'
    return f"; there is {', '.join(listed[:8])}{', ...' if len(listed) > 8 else ''}" if listed else "; declare it"


# ------------------------------------------------------------------ sandboxes


def sandboxes(data: Mapping[str, Any], usable: Mapping[str, Network], note: Note) -> list[Sandbox]:
    """The sandboxes in the order of the file; their endpoints have no addresses yet."""
    declared = data.get("networks") or {}
    listed = []
    for name, entry in (data.get("sandboxes") or {}).items():
        path: Path = ("sandboxes", name)
        endpoints = tuple(_endpoints(name, entry, declared, usable, note))
        sandbox = Sandbox(name, path, entry.get("network", ""), endpoints, entry)
        _check_sandbox(sandbox, entry, note)
        listed.append(sandbox)
    return listed


def _endpoints(
    sandbox: str, entry: Mapping[str, Any], declared: Mapping[str, Any], usable: Mapping[str, Network], note: Note
) -> Iterator[Endpoint]:
    published = bool(entry.get("publish"))
    written = entry.get("endpoints") or {}
    numbers = _numbered(written)
    for name, words in written.items():
        path: Path = ("sandboxes", sandbox, "endpoints", name)
        link = words.get("name") or next(numbers)
        if name not in declared:
            note(path, f'no network "{name}"{nearest(name, declared)}')
        elif name in usable:
            yield Endpoint(
                sandbox=sandbox,
                network=name,
                path=path,
                link=naming.veth(sandbox, name),
                name=link,
                wanted=_wanted(words.get("address"), (*path, "address"), note),
                mac=(words.get("mac") or "").lower(),
                aliases=tuple(words.get("aliases") or ()),
                default_route=words.get("default_route"),
                published=published,
            )


def _numbered(written: Mapping[str, Any]) -> Iterator[str]:
    """eth0, eth1, ... without the names that other endpoints have in the file."""
    given = {entry["name"] for entry in written.values() if "name" in entry}
    return (f"eth{index}" for index in range(len(written) * 2) if f"eth{index}" not in given)


def _wanted(written: str | list[str] | None, path: Path, note: Note) -> dict[int, int]:
    """IP version -> the address in the file, as a number."""
    wanted: dict[int, int] = {}
    for at, text in each(written, path):
        try:
            version, value = number(text)
        except ValueError:
            note(at, f'"{text}" is not an IP address')
            continue
        if version in wanted:
            note(at, f"a second IPv{version} address; an endpoint has one of each family")
        wanted[version] = value
    return wanted


def _check_sandbox(sandbox: Sandbox, entry: Mapping[str, Any], note: Note) -> None:
    if not sandbox.network:
        if not entry.get("endpoints"):
            note(sandbox.path, "it is on no network; write endpoints: {NETWORK: {}}, or network: none")
        return
    if entry.get("endpoints"):
        text = f"{sandbox.network} stands in place of endpoints; leave one of them out"
        note((*sandbox.path, "network"), text)
    for path, message in PREDEFINED[sandbox.network].check(sandbox):
        note((*sandbox.path, *path), message)
