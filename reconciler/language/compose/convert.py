"""Converts a Compose project to a topology; everything without an equivalent is reported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from reconciler.language.compose import declared, names, publish
from reconciler.language.compose.endpoint import Given
from reconciler.language.compose.external import NOBODY_ELSE, Others
from reconciler.language.compose.network import Network
from reconciler.language.compose.sandbox import Whole, sandbox, share
from reconciler.language.compose.service import BRIDGE, DEFAULT, Service, service_of
from reconciler.language.compose.words import Left, LeftOut, mapping
from reconciler.model import data as dataclasses
from reconciler.model.data import dataclass
from reconciler.model.keys import Origin
from reconciler.model.quoting import Path, quoted

_BESIDE = ("volumes", "secrets", "configs", "models")


class Project(Protocol):
    """A read Compose project."""

    @property
    def name(self) -> str: ...

    @property
    def data(self) -> Any: ...

    def place(self, path: Path) -> Origin: ...


@dataclass(frozen=True, slots=True)
class Converted:
    """``left_out`` are in the order of the file; ``services`` is service -> the sandboxes of its containers.

    ``outside`` are the names of external networks: in the file, and in Docker.
    """

    topology: dict[str, Any]
    left_out: tuple[LeftOut, ...]
    services: Mapping[str, tuple[str, ...]]
    outside: frozenset[str]


def convert(project: Project, others: Others = NOBODY_ELSE) -> Converted:
    """The topology, and a part for all of the project that has no equivalent in it."""
    left, data = Left(project.place), project.data
    left.keys((), data, ("version", "name", "services", "networks"), _BESIDE)
    known = mapping(data.get("networks"), ("networks",), left)
    same = declared.same(project.name, known, others)
    services = {one.name: one for one in _services(project, known, same, left)}
    made = [service for service in services.values() if service.number]
    used = {key: service.path for service in reversed(made) for key in service.networks}
    networks = declared.networks(project.name, known, used, others, left)
    services = {name: _on_predefined(service, networks, left) for name, service in services.items()}
    whole = Whole(project.name, services, networks, _sandboxes(project.name, services), left)
    topology = {"version": 1, "name": names.topology(project.name), **_sections(whole)}
    return Converted(
        {word: value for word, value in topology.items() if value != {}},
        tuple(sorted(left.parts, key=lambda part: part.problem)),
        {name: tuple(whole.sandboxes[whole.holder(service).name]) for name, service in services.items()},
        frozenset(_outside(project.name, known, networks)),
    )


def _outside(project: str, known: Mapping[str, Any], networks: Mapping[str, Network]) -> Iterator[str]:
    """The names of the external networks."""
    for key in {*known, *networks}:
        if not declared.is_own(key, known):
            yield from (key, declared.docker_name(project, key, known))


def _sections(whole: Whole) -> dict[str, Any]:
    """The networks and the sandboxes, in the order of the file."""
    sandboxes: dict[str, dict[str, Any]] = {}
    given, taken = Given(), publish.Taken()
    own = [service for service in whole.services.values() if service.holder == service.name]
    for service in own:
        for index, name in enumerate(whole.sandboxes[service.name]):
            sandboxes[name] = sandbox(whole, service, index, given, taken)
    for service in whole.services.values():
        if service not in own and service.number:
            share(whole, service, sandboxes, taken)
    used = {key for service in own if whole.sandboxes[service.name] for key in service.networks}
    networks = {names.network_key(key): one.written for key, one in whole.networks.items() if key in used}
    return {"networks": networks, "sandboxes": sandboxes}


def _services(project: Project, known: Mapping[str, Any], same: Mapping[str, str], left: Left) -> Iterator[Service]:
    """The services; ``same`` are the networks that have two keys in the file."""
    keys = {declared.docker_name(project.name, key, known): key for key in (*known, DEFAULT) if key not in same}
    listed = mapping(project.data.get("services"), ("services",), left)
    containers = {_container(project.name, name, value): name for name, value in reversed([*listed.items()])}
    for name, value in listed.items():
        path: Path = ("services", name)
        if names.is_service(name):
            entry = _in_own(_on_own(mapping(value, path, left), same), name, containers)
            service = service_of(name, entry, left)
            mode = keys.get(str(entry.get("network_mode", "")))  # network_mode: shop_web
            yield dataclasses.replace(service, networks=(mode,)) if mode else service
        else:
            left.lost(path, f"{quoted(name)} cannot be in the name of a namespace; the service is left out")


def _container(project: str, service: str, value: Any) -> str:
    """Docker's name for the first container of a service."""
    given = value.get("container_name") if isinstance(value, dict) else None
    return str(given or names.container(project, service, 1))


def _in_own(entry: Mapping[str, Any], name: str, containers: Mapping[str, str]) -> Mapping[str, Any]:
    """The service with network_mode: service:X in place of container:NAME where that is the container of X."""
    kind, _, container = str(entry.get("network_mode", "")).partition(":")
    own = kind == "container" and containers.get(container, name) != name
    return {**entry, "network_mode": f"service:{containers[container]}"} if own else entry


def _on_own(entry: Mapping[str, Any], same: Mapping[str, str]) -> Mapping[str, Any]:
    """The service with its networks under the keys of the project's own."""
    joined = entry.get("networks")
    if not same or not isinstance(joined, dict | list):
        return entry
    if isinstance(joined, list):
        return {**entry, "networks": [same.get(str(key), key) for key in joined]}
    return {**entry, "networks": {same.get(key, key): endpoint for key, endpoint in joined.items()}}


def _on_predefined(service: Service, networks: Mapping[str, Network], left: Left) -> Service:
    """A service on networks that are Docker's own under another name: none, host and bridge."""
    own = [key for key in service.networks if key in networks and networks[key].predefined]
    if not own:
        return service
    kind = networks[own[0]].predefined
    if len(service.networks) == 1 and kind != BRIDGE:
        return dataclasses.replace(service, mode=kind, networks=())
    rest = tuple(key for key in service.networks if key not in own)
    why = f"Docker's own network {kind} is not one of this topology; {', '.join(own)} is left out"
    left.lost((*service.path, "networks"), why)
    return dataclasses.replace(service, networks=rest, mode="" if rest else "none")


def _sandboxes(project: str, services: Mapping[str, Service]) -> dict[str, tuple[str, ...]]:
    """Service -> the names of the sandboxes of its containers."""
    topology = names.topology(project)
    taken = {names.sandbox(topology, name, 1, ()) for name in services}
    listed: dict[str, tuple[str, ...]] = {}
    for service in services.values():
        own: list[str] = []
        for number in range(1, service.number + 1) if service.mode != "lost" else ():
            own.append(names.sandbox(topology, service.name, number, taken))
            taken.add(own[-1])
        listed[service.name] = tuple(own)
    return listed
