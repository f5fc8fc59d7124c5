"""Converts a container of a service to a sandbox, and adds to it what services say that share its network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.language.compose import dns, names, publish
from reconciler.language.compose.endpoint import Given, endpoints, gateway, link_names
from reconciler.language.compose.network import Network
from reconciler.language.compose.service import Service, without_a_network
from reconciler.language.compose.sysctls import sysctls
from reconciler.language.compose.words import Left, text, words
from reconciler.model import data as dataclasses
from reconciler.model.data import dataclass
from reconciler.model.quoting import Path, quoted

# what Docker refuses of a service that shares the network of another one, beside ports
_REFUSED = ("mac_address", "links", "external_links", "dns", "dns_search", "dns_opt", "extra_hosts", "hostname")


@dataclass(frozen=True, slots=True)
class Whole:
    """The project: its services and networks by their names in the file, and service -> names of its sandboxes."""

    name: str
    services: Mapping[str, Service]
    networks: Mapping[str, Network]
    sandboxes: Mapping[str, Sequence[str]]
    left: Left

    def holder(self, service: Service) -> Service:
        """The service whose sandbox this one has, at the end of network_mode: service:X."""
        for _ in self.services:
            if service.holder == service.name or service.holder not in self.services:
                break
            service = self.services[service.holder]
        return service


def sandbox(whole: Whole, service: Service, index: int, given: Given, taken: publish.Taken) -> dict[str, Any]:
    """The sandbox of the service's container ``index``."""
    left, name = whole.left, whole.sandboxes[service.name][index]
    if service.mode:
        without_a_network(service, left)
    if service.mode == "host":
        return {"network": "host"}
    made = endpoints(service, name, whole.networks, given, left)
    heard, own = dns.own_names(service.entry, service.path, left)
    for key, endpoint in made.items():
        if not whole.networks[key].nameless:
            endpoint["aliases"] = _aliases(whole, service, index, heard, endpoint.get("aliases", []))
        else:
            own = [*heard, *own]
    known = {one: [name] for one in own if made}
    parts = {
        "publish": publish.written(_published(whole, service, name, service, taken), left.place) if made else [],
        "dns": dns.resolver(service.entry, service.path, left),
        "hosts": _short(known | _hosts(whole, service, bool(made))),
        "sysctls": sysctls(service, link_names(made), whole.networks, left),
    }
    keyed = {names.network_key(key): endpoint for key, endpoint in made.items()}
    head: dict[str, Any] = {"endpoints": keyed} if keyed else {"network": "none"}
    return head | {word: value for word, value in parts.items() if value}


def _short(hosts: Mapping[str, list[str]]) -> dict[str, Any]:
    return {name: values[0] if len(values) == 1 else list(dict.fromkeys(values)) for name, values in hosts.items()}


def _aliases(whole: Whole, service: Service, index: int, heard: list[str], written: list[str]) -> list[str]:
    """The names by which neighbours know it: the service's, its container's, its host name, and aliases."""
    at: Path = (*service.path, "container_name")
    container = text(service.entry.get("container_name"), at, whole.left)
    if container and not names.is_host(container):
        whole.left.lost(at, f"{quoted(container)} is no host name; left out")
    holder = next((one.name for one in whole.services.values() if one.entry.get("container_name") == container), "")
    if container and holder not in ("", service.name):
        whole.left.lost(at, f"{container} is the container_name of {holder} already; left out, as Docker refuses it")
        container = ""
    own = [service.name, container or names.container(whole.name, service.name, index + 1)]
    listed = dict.fromkeys([*own, *heard, *written])
    return [name for name in listed if names.is_host(name) and name != whole.sandboxes[service.name][index]]


# ------------------------------------------------------------------ hosts


def _hosts(whole: Whole, service: Service, gateway: bool) -> dict[str, list[str]]:
    """The names that only this service knows: of links, which lead to other sandboxes, and of extra_hosts."""
    left, path = whole.left, service.path
    listed: dict[str, list[str]] = {}
    for alias, other, at in dns.links(service.entry, path, left):
        _link(whole, service, alias, other, at, listed)
    for index, one in enumerate(words(service.entry.get("external_links"), (*path, "external_links"), left)):
        container, _, alias = one.partition(":")
        of = [name for name, entry in whole.services.items() if entry.entry.get("container_name") == container]
        at = (*path, "external_links", index)
        if of:
            _link(whole, service, alias or container, of[0], at, listed)
        else:
            left.lost(at, f"{container} is a container of no service here; the link is left out")
    return listed | dns.hosts(service.entry, path, gateway, left)


def _link(whole: Whole, service: Service, alias: str, other: str, at: Path, listed: dict[str, list[str]]) -> None:
    there = whole.holder(whole.services[other]) if other in whole.services else None
    if there is not None and set(there.networks) & set(service.networks) and whole.sandboxes[there.name]:
        listed[alias] = list(whole.sandboxes[there.name])
    else:
        whole.left.lost(at, f"{other} is on no network with this service; the link is left out")


# ------------------------------------------------------------------ ports


def _published(whole: Whole, service: Service, name: str, holder: Service, taken: publish.Taken) -> list[publish.Port]:
    """The ports of a service that lead to the sandbox ``name`` of ``holder``."""
    path: Path = (*service.path, "ports")
    way = gateway(holder, whole.networks)
    if way is None:
        if service.entry.get("ports"):
            whole.left.noted(path, "ports have no effect on internal networks, into which nothing gets")
        return []
    listed = publish.ports(service.entry.get("ports"), path, way.host, whole.left)
    out = [whole.networks[key] for key in holder.networks if not whole.networks[key].internal]
    return taken.usable(listed, name, sorted({version for one in out for version in one.versions}), whole.left)


# ------------------------------------------------------------------ network_mode: service:X


def share(whole: Whole, service: Service, sandboxes: Mapping[str, dict[str, Any]], taken: publish.Taken) -> None:
    """Add to the sandbox of another service what one that shares it says of the network."""
    left, holder = whole.left, whole.holder(service)
    name = next(iter(whole.sandboxes[holder.name]), "")
    if name not in sandboxes:
        why = f"{service.holder} has no sandbox that it could share; the service is left out"
        left.lost((*service.path, "network_mode"), why)
        return
    for word in [word for word in _REFUSED if service.entry.get(word)]:
        why = f"Docker refuses {word} where the network of {holder.name} is shared; left out"
        left.lost((*service.path, word), why)
    if holder.mode:
        without_a_network(
            dataclasses.replace(service, entry={"ports": service.entry.get("ports")}, mode=holder.mode), left
        )
        return
    ports = publish.written(_published(whole, service, name, holder, taken), left.place)
    if ports:
        why = f"Docker refuses ports where the network of {holder.name} is shared; taken as ports of {holder.name}"
        left.lost((*service.path, "ports"), why)
        sandboxes[name].setdefault("publish", []).extend(ports)
    made = {key: sandboxes[name]["endpoints"][names.network_key(key)] for key in holder.networks}
    for key, value in sysctls(service, link_names(made), whole.networks, left).items():
        if sandboxes[name].setdefault("sysctls", {}).setdefault(key, value) != value:
            left.lost((*service.path, "sysctls"), f"{key} has another value in {holder.name}, whose network it is")
