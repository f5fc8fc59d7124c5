"""Which services of a project run, and the references between them that Compose refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from reconciler.language.compose.file import strings
from reconciler.language.compose.merge import names_of
from reconciler.language.compose.node import Node, plain
from reconciler.model.errors import Problem
from reconciler.model.quoting import quoted

EVERY = "*"  # the profile that stands for all
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_MODEL = ("services", "networks", "volumes", "secrets", "configs")


def shape(model: Node) -> Iterator[Problem]:
    """What makes a file no Compose file at all."""
    if not any(word in model.entries for word in (*_MODEL, "name")):
        names = [name for name, value in model.entries.items() if value.get("image") or value.get("build")]
        old = f"; put {names[0]} and the others under services" if names else ""
        yield Problem(model.origin, f"this is no Compose file: it has no services{old}")
    for section in ("services", "networks"):
        found = model.get(section)
        if found is not None and not isinstance(found.value, dict):
            yield Problem(found.origin, f"{section} is {quoted(plain(found))}, not a mapping")
        for name, value in found.entries.items() if found is not None else ():
            if not isinstance(value.value, dict | None):
                yield Problem(value.origin, f"{section}.{name} is {quoted(plain(value))}, not a mapping")
            if not _NAME.fullmatch(name):
                yield Problem(value.origin, f"{quoted(name)} is no name; it has letters, digits, '.', '_' and '-'")


def with_profiles(model: Node, profiles: Sequence[str]) -> Node:
    """The model without the services of profiles that are not active."""
    services = model.get("services")
    if services is None:
        return model
    running = {name: service for name, service in services.entries.items() if _runs(service, profiles)}
    return model.of({**model.entries, "services": services.of(running)})


def _runs(service: Node, profiles: Sequence[str]) -> bool:
    own = [profile.value for profile in strings(service.get("profiles"))]
    return not own or EVERY in profiles or any(profile in profiles for profile in own)


def references(running: Node, whole: Node) -> Iterator[Problem]:
    """Networks and services that the running services name and that are not there; circles of dependencies."""
    services = running.get("services")
    known, every = services.entries if services is not None else {}, _entries(whole, "services")
    networks = {*_entries(running, "networks"), "default"}
    for name, service in known.items():
        joined = names_of(service.get("networks") or Node(None, service.origin))
        for network, place in joined.items():
            if network not in networks:
                yield Problem(
                    place.origin, f"service {name} is on the network {quoted(network)}, which is not declared"
                )
        mode = service.get("network_mode")
        if joined and mode is not None and mode.value:
            yield Problem(mode.origin, f"service {name} has both network_mode and networks; keep one of them")
        yield from _containers(name, service)
        for other, place, required in _needs(service):
            if other not in known and (required or other not in every):
                why = "is in a profile that is not active" if other in every else "is not declared"
                yield Problem(place.origin, f"service {name} needs the service {quoted(other)}, which {why}")
    yield from _circles(known)


def _containers(name: str, service: Node) -> Iterator[Problem]:
    """What Compose refuses of the number of a service's containers."""
    scale, replicas = service.get("scale"), service.get("deploy", "replicas")
    given = [one for one in (scale, replicas) if one is not None and isinstance(one.value, int)]
    if len({one.value for one in given}) > 1:
        yield Problem(given[0].origin, f"service {name} has both scale and deploy.replicas; keep one of them")
    container = service.get("container_name")
    if given and given[0].value > 1 and container is not None and container.value:
        why = f"{given[0].value} containers of service {name} cannot have one container_name; leave it out"
        yield Problem(container.origin, why)


def _entries(model: Node, section: str) -> dict[str, Node]:
    found = model.get(section)
    return found.entries if found is not None else {}


def _needs(service: Node) -> Iterator[tuple[str, Node, bool]]:
    """The services that this one needs, each with its place, and whether it has to run."""
    depends = service.get("depends_on")
    for name, place in names_of(depends).items() if depends is not None else ():
        required = place.get("required")
        yield name, place, required is None or required.value is not False
    for link in strings(service.get("links")):
        yield link.value.partition(":")[0], link, True
    for word in ("network_mode", "ipc", "pid"):
        for mode in strings(service.get(word)):
            kind, _, name = mode.value.partition(":")
            if kind == "service":
                yield name, mode, True


def _circles(services: dict[str, Node]) -> Iterator[Problem]:
    """A problem for each service at which a circle of dependencies was found to close."""
    needs = {name: [need for need in _needs(service) if need[0] in services] for name, service in services.items()}
    done: set[str] = set()
    for start in needs:
        way: list[str] = []
        left: list[tuple[str, Node | None, bool]] = [(start, None, False)]
        while left:
            name, place, leaving = left.pop()
            if leaving:
                way.pop()
                done.add(name)
            elif name in way:
                circle = " -> ".join([*way[way.index(name) :], name])
                yield Problem((place or services[name]).origin, f"services depend on one another in a circle: {circle}")
            elif name not in done:
                way.append(name)
                left.append((name, None, True))
                left += [(other, at, False) for other, at, _ in reversed(needs[name])]
