"""Converts the ports of a service to what a sandbox publishes; one port of the host is published once in a project."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from reconciler.language.compose.words import Left, text
from reconciler.model.data import NamedTuple
from reconciler.model.keys import Origin
from reconciler.model.quoting import Path, quoted

EVERY = {4: "0.0.0.0", 6: "::"}
PROTOCOLS = ("tcp", "udp", "sctp")
# mode concerns clusters only; name and app_protocol are for other readers
_KNOWN = ("target", "published", "host_ip", "protocol", "mode", "name", "app_protocol")
_RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")


class Range(NamedTuple):
    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"

    @property
    def length(self) -> int:
        return self.last - self.first + 1


class Port(NamedTuple):
    """One entry: ``host`` is "" for every address of the host, ``published`` None for a free port."""

    path: Path
    host: str
    published: Range | None
    target: Range
    protocol: str

    def __str__(self) -> str:
        on = f"[{self.host}]:" if ":" in self.host else f"{self.host}:" if self.host else ""
        port = f"{self.published}:" if self.published else ":" if on else ""
        return f"{on}{port}{self.target}{'' if self.protocol == 'tcp' else f'/{self.protocol}'}"


def ports(listed: Any, path: Path, default_host: str, left: Left) -> Iterator[Port]:
    """The entries that can be read.  ``default_host`` is the address where they name none."""
    for index, entry in enumerate(listed if isinstance(listed, list) else [listed] if listed else []):
        at: Path = (*path, index)
        port = _port(_words(entry, at, left), at, left)
        if port is not None:
            yield port if port.host else port._replace(host=default_host)


def _words(entry: Any, at: Path, left: Left) -> Mapping[str, str]:
    if isinstance(entry, dict):
        left.keys(at, entry, _KNOWN)
        return {word: text(entry.get(word), (*at, word), left) for word in _KNOWN}
    short, _, protocol = text(entry, at, left).partition("/")
    outer, _, target = short.rpartition(":")
    host, _, published = outer.rpartition(":")
    return {"host_ip": host, "published": published, "target": target, "protocol": protocol}


def _port(words: Mapping[str, str], at: Path, left: Left) -> Port | None:
    target, published = _range(words.get("target", "")), _range(words.get("published", ""))
    host, protocol = words.get("host_ip", "").strip("[]"), words.get("protocol", "").lower() or "tcp"
    given = words.get("published", "") not in ("", "0")
    if target is None or (given and published is None):
        left.lost(at, "this cannot be read as a port; it is left out")
    elif protocol not in PROTOCOLS:
        left.lost(at, f"no protocol {quoted(protocol)}: tcp, udp or sctp; the port is left out")
    elif given and published and published.length != target.length > 1:
        left.lost(at, f"{published.length} ports for {target.length}: the ranges must be of one length; left out")
    elif host and not _is_address(host):
        left.lost(at, f"{quoted(host)} is no address of the host; the port is left out")
    else:
        return Port(at, str(ipaddress.ip_address(host)) if host else "", published if given else None, target, protocol)
    return None


def _range(words: str) -> Range | None:
    match = _RANGE.fullmatch(words)
    if match is None:
        return None
    first, last = int(match[1]), int(match[2] or match[1])
    return Range(first, last) if 1 <= first <= last <= 65535 else None


def _is_address(host: str) -> bool:
    try:
        return not getattr(ipaddress.ip_address(host), "scope_id", None)
    except ValueError:
        return False


# ------------------------------------------------------------------ one port of the host, once


class Taken:
    """The ports that the services of a project publish, each with the service that does."""

    def __init__(self) -> None:
        self._by_port: dict[tuple[str, int, int], dict[str, str]] = {}

    def usable(self, listed: Iterable[Port], service: str, versions: Sequence[int], left: Left) -> list[Port]:
        """Those that nobody publishes already, on addresses of IP versions that the service has."""
        kept = []
        for port in dict.fromkeys(listed):
            on = _versions(port.host) or versions
            if port.host == "::1":
                left.lost(port.path, "the kernel routes nothing from ::1 to another link; left out")
            elif not set(on) & set(versions):
                left.lost(port.path, f"{service} has no IPv{on[0]} address that {port.host} could lead to; left out")
            elif (why := self._clash(port, on, service)) is not None:
                left.lost(port.path, why)
            else:
                kept.append(port)
        return kept

    def _clash(self, port: Port, versions: Sequence[int], service: str) -> str | None:
        """Why the port cannot be had, else None, and it is taken.  Free ports, of a range too, are chosen later."""
        if port.published is None:
            return None
        numbers = range(port.published.first, port.published.last + 1)
        places = [(port.protocol, number, version) for number in numbers for version in versions]
        if port.published.length != port.target.length:
            has_free = any(not self._holder(place, port.host) for place in places)
            return None if has_free else f"none of the ports {port.published} is free; left out, as Docker refuses it"
        for place in places:
            if other := self._holder(place, port.host):
                return f"{other} publishes port {place[1]} already; left out, as Docker refuses it"
        for place in places:
            self._by_port.setdefault(place, {})[port.host or EVERY[place[2]]] = service
        return None

    def _holder(self, place: tuple[str, int, int], host: str) -> str:
        """The service that publishes the port on an address that this one would have, too; "" for none."""
        others, everywhere = self._by_port.get(place, {}), EVERY[place[2]]
        if host in ("", everywhere):
            return next(iter(others.values()), "")
        return others.get(host) or others.get(everywhere, "")


def _versions(host: str) -> tuple[int, ...]:
    return (ipaddress.ip_address(host).version,) if host else ()


def written(listed: Iterable[Port], place: Callable[[Path], Origin]) -> list[str]:
    """The entries as text; the ports of one range in the file, which was taken apart, are one entry again."""
    runs: list[Port] = []
    for port in listed:
        if runs and place(runs[-1].path)[:3] == place(port.path)[:3] and _follows(runs[-1], port):
            last = runs[-1]
            published = port.published and last.published and Range(last.published.first, port.published.last)
            runs[-1] = last._replace(published=published, target=Range(last.target.first, port.target.last))
        else:
            runs.append(port)
    return [str(port) for port in runs]


def _follows(last: Port, port: Port) -> bool:
    same = (last.host, last.protocol) == (port.host, port.protocol) and port.target.first == last.target.last + 1
    if last.published is None or port.published is None:
        return same and last.published is port.published
    fixed = all(one.published and one.published.length == one.target.length for one in (last, port))
    return same and fixed and port.published.first == last.published.last + 1
