"""Converts what a service knows of names: its resolv.conf, its hosts file, its links and its own names."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from reconciler.language.compose import names
from reconciler.language.compose.words import Left, pairs, text, words
from reconciler.model.names import MOST_SERVERS
from reconciler.model.quoting import Path, quoted

HOST_GATEWAY = "host-gateway"
_OPTION = re.compile(r"[!-~]{1,255}")
_DOMAIN = re.compile(r"[A-Za-z0-9_.-]{1,255}")
_PAIR = re.compile(r"([^:=]+)[:=](.+)")


def resolver(entry: Mapping[str, Any], path: Path, left: Left) -> dict[str, Any]:
    """The ``dns`` of a sandbox."""
    kept = {
        "nameservers": _only(
            words(entry.get("dns"), (*path, "dns"), left),
            _is_address,
            "no address of a name server",
            (*path, "dns"),
            left,
        ),
        "search": _texts(entry, "dns_search", _DOMAIN, "no domain", path, left),
        "options": _texts(entry, "dns_opt", _OPTION, "no option", path, left),
    }
    if len(kept["nameservers"]) > MOST_SERVERS:
        left.noted(
            (*path, "dns"), f"the resolver asks the first {MOST_SERVERS} name servers only; the others are left out"
        )
        del kept["nameservers"][MOST_SERVERS:]
    dns: dict[str, Any] = {word: value for word, value in kept.items() if value}
    if dns.get("search") == ["."]:  # none, in place of the host's
        dns["search"] = []
    return dns


def _texts(
    entry: Mapping[str, Any], word: str, pattern: re.Pattern[str], why: str, path: Path, left: Left
) -> list[str]:
    at: Path = (*path, word)
    return _only(words(entry.get(word), at, left), lambda one: pattern.fullmatch(one) is not None, why, at, left)


def _only(listed: list[str], fits: Callable[[str], bool], why: str, path: Path, left: Left) -> list[str]:
    """The entries that fit; an empty one, such as of a variable that is not set, is none."""
    for one in listed:
        if one and not fits(one):
            left.lost(path, f"{quoted(one)} is {why}; left out")
    return [one for one in dict.fromkeys(listed) if fits(one)]


def _is_address(one: str) -> bool:
    try:
        return bool(ipaddress.ip_address(one.partition("%")[0]))
    except ValueError:
        return False


# ------------------------------------------------------------------ hosts


def hosts(entry: Mapping[str, Any], path: Path, gateway: bool, left: Left) -> dict[str, list[str]]:
    """The names of extra_hosts; ``gateway`` says whether the service has one."""
    listed: dict[str, list[str]] = {}
    for name, address, at in _extra(entry.get("extra_hosts"), (*path, "extra_hosts"), left):
        if not names.is_host(name):
            left.lost(at, f"{quoted(name)} is no host name; left out")
        elif address == HOST_GATEWAY and not gateway:
            left.lost(at, f"without a network there is no gateway; {name} is left out")
        elif address != HOST_GATEWAY and not _is_address(address):
            left.lost(at, f"{quoted(address)} is no address; {name} is left out")
        else:
            listed.setdefault(name, []).append(address)
    return listed


def _extra(written: Any, path: Path, left: Left) -> Iterator[tuple[str, str, Path]]:
    """(name, address, path) of ``name:address`` or ``name=address`` in a list, or of a mapping."""
    if isinstance(written, dict):
        for name, value, at in pairs(written, path, left):
            for address in words(value, at, left):
                yield name.strip(), address.strip(" []"), at
        return
    for index, one in enumerate(words(written, path, left)):
        match = _PAIR.fullmatch(one)
        if match is None:
            left.lost((*path, index), f"{quoted(one)} is not NAME=ADDRESS; left out")
        else:
            yield match[1].strip(), match[2].strip(" []"), (*path, index)


def links(entry: Mapping[str, Any], path: Path, left: Left) -> Iterator[tuple[str, str, Path]]:
    """(alias, service, path) of each link."""
    for index, one in enumerate(words(entry.get("links"), (*path, "links"), left)):
        service, _, alias = one.partition(":")
        at: Path = (*path, "links", index)
        if alias and not names.is_host(alias):
            left.lost(at, f"{quoted(alias)} is no host name; left out")
        elif alias and alias != service:
            yield alias, service, at


def own_names(entry: Mapping[str, Any], path: Path, left: Left) -> tuple[list[str], list[str]]:
    """The host name, which Docker's neighbours know too, and the other names by which the service knows itself."""
    host, domain = (text(entry.get(word), (*path, word), left).strip(".") for word in ("hostname", "domainname"))
    if host and not names.is_host(host):
        left.lost((*path, "hostname"), f"{quoted(host)} is no host name; left out")
        host = ""
    if domain and not (host and names.is_host(f"{host}.{domain}")):
        why = "without a hostname it is part of no name" if not host else "is no domain"
        left.lost((*path, "domainname"), f"{quoted(domain)}: {why}; left out")
        domain = ""
    short = host.partition(".")[0]
    own = [f"{host}.{domain}"] if domain else []
    return [host] if host else [], [*own, short] if short != host else own
