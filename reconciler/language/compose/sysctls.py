"""Converts the kernel settings of a service."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.language.compose.endpoint import SYSCTLS
from reconciler.language.compose.network import Network
from reconciler.language.compose.service import DEFAULT, Service
from reconciler.language.compose.words import Left, pairs, scalar, text
from reconciler.model.quoting import Path, quoted

_SYSCTL = re.compile(r"net([./][A-Za-z0-9_@-]+)+")
_OF_A_LINK = re.compile(r"net[./]ipv[46][./](?:conf|neigh)[./]([^./]+)[./]")
_DISABLE_IPV6 = re.compile(r"net[./]ipv6[./]conf[./]([^./]+)[./]disable_ipv6")


def sysctls(service: Service, links: Mapping[str, str], networks: Mapping[str, Network], left: Left) -> dict[str, Any]:
    """The settings of the service, and those of its endpoints; ``links`` are the names of the links by network."""
    listed = list(pairs(service.entry.get("sysctls"), (*service.path, "sysctls"), left))
    for key, link in links.items():
        path: Path = (*service.path, "networks", key, "driver_opts", SYSCTLS)
        options = service.of(key).get("driver_opts")
        value = text(options.get(SYSCTLS), path, left) if isinstance(options, dict) else ""
        parts = [one.partition("=") for one in value.split(",") if one]
        listed += [(name.replace("IFNAME", link), setting, path) for name, _, setting in parts]
    ipv6 = {link: None if networks[key].outside else 6 in networks[key].versions for key, link in links.items()}
    settings = dict(_settings(listed, [*links.values(), "lo", "all", DEFAULT], left))
    return {key: value for key, value in settings.items() if not _of_netrecon(key, value, ipv6, service, left)}


def _of_netrecon(key: str, value: Any, ipv6: Mapping[str, bool | None], service: Service, left: Left) -> bool:
    """Whether the networks decide it: a link has IPv6 where its network has (None: of another topology)."""
    match = _DISABLE_IPV6.fullmatch(key)
    on = None if match is None else any(ipv6.values()) if match[1] == "all" else ipv6.get(match[1])
    if match is None or (match[1] == "all" and (not on or str(value) == "0")) or match[1] not in ("all", *ipv6):
        return False
    if on is not (str(value) == "0"):
        left.lost((*service.path, "sysctls"), f"{key}: {value} contradicts the networks of the service; left out")
    return True


def _settings(listed: Sequence[tuple[str, Any, Path]], links: Sequence[str], left: Left) -> Iterator[tuple[str, Any]]:
    for key, written, path in listed:
        value = scalar(written, path, left)
        link = _OF_A_LINK.match(key)
        if not key.startswith(("net.", "net/")):
            left.beside(path[:2], [key])
        elif not _SYSCTL.fullmatch(key):
            left.lost(path, f"{quoted(key)} is no setting; left out")
        elif link and link[1] not in links:
            left.lost(path, f"the service has no link {link[1]}; {key} is left out")
        elif value is not None:
            yield key, int(value) if isinstance(value, bool) else value
