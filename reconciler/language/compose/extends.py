"""Gives services what they extend: another service of the same file, or of another one."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from reconciler.language.compose.merge import merged, settled
from reconciler.language.compose.node import Node, refuse
from reconciler.language.compose.reading import MAX_CHAIN, Scope
from reconciler.model.data import dataclass
from reconciler.model.errors import InputError
from reconciler.model.quoting import quoted

_REMOTE = re.compile(r"\w+://|git@")


@dataclass(frozen=True, slots=True)
class _Services:
    """The services of one file, and the scope that their ``extends`` are relative to."""

    file: str
    entries: Mapping[str, Node]
    scope: Scope


def extended(document: Node, path: str, scope: Scope) -> Node:
    """The document of a file, its services with what they extend."""
    services = document.get("services")
    if services is None or not any(service.get("extends") for service in services.entries.values()):
        return document
    held = _Services(os.path.abspath(path), services.entries, scope)
    entries = {}
    for name in services.entries:
        try:
            entries[name] = _resolved(name, held, ())
        except InputError as error:
            scope.reading.problems += error.problems
    return document.of({**document.entries, "services": services.of(entries)})


def _resolved(name: str, services: _Services, chain: tuple[tuple[str, str], ...]) -> Node:
    """The service with what it extends; its own tags stay, for what an earlier file says of it."""
    service = services.entries[name]
    extends = service.get("extends")
    if extends is None or extends.value is None:
        return service
    if (services.file, name) in chain:
        listed = " extends ".join(known for _, known in (*chain, (services.file, name)))
        refuse(extends, f"services extend one another in a circle: {listed}")
    if len(chain) >= MAX_CHAIN:
        refuse(extends, f"more than {MAX_CHAIN} services extend one another")
    other, ref = _named(extends, services)
    base = settled(_resolved(ref, other, (*chain, (services.file, name))))
    own = service.of({word: value for word, value in service.entries.items() if word != "extends"})
    return service.of(merged(base, own, ("services", name)).value)


def _named(extends: Node, services: _Services) -> tuple[_Services, str]:
    """The service that is extended, and the services among which it is."""
    service, file = (extends.get("service"), extends.get("file")) if extends.entries else (extends, None)
    if service is None or not isinstance(service.value, str):
        refuse(extends, "extends takes the name of a service; write service: NAME")
    if file is not None and file.value is not None:
        services = _of_file(file, services.scope)
    if service.value not in services.entries:
        message = f"no service {quoted(service.value)} to extend in {os.path.relpath(services.file)}"
        refuse(service, message)
    return services, service.value


def _of_file(file: Node, scope: Scope) -> _Services:
    name = local(file)
    path = scope.path(name)
    entries: dict[str, Node] = {}
    for document in scope.documents(path, file.origin):
        services = document.get("services")
        entries |= services.entries if services is not None else {}
    inner = Scope(os.path.dirname(path), scope.environment, scope.reading)
    return _Services(os.path.abspath(path), entries, inner)


def local(file: Node) -> str:
    """The name of a file that can be read here.  Raises InputError."""
    if not isinstance(file.value, str) or not file.value:
        refuse(file, f"{quoted(file.value)} is not the name of a file")
    if _REMOTE.match(file.value):
        refuse(file, f"{quoted(file.value)} lies elsewhere; fetch it and name the local file")
    return file.value
