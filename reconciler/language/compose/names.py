"""The names that the parts of a Compose project get in a topology, and in Docker."""

from __future__ import annotations

import re
from collections.abc import Iterable

from reconciler.language.networks import naming

_MOST = 31  # characters in a topology's name
_MOST_OF_NAMESPACE = 64
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_NETWORK = re.compile(r"(?!(host|none)$)[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_LINK = re.compile(r"(?!(\.{1,2}|all|default)$)[A-Za-z0-9_.-]{1,15}")
_SANDBOX = re.compile(r"[A-Za-z0-9_.-]+")


def topology(project: str) -> str:
    """The topology of a project: ``my_shop`` is ``my-shop``, ``1shop`` is ``p1shop``."""
    name = re.sub(r"[^a-z0-9-]", "-", project.lower()) or "compose"
    return naming.cut(name if name[0].isalpha() else f"p{name}", _MOST).lower()


def sandbox(topology: str, service: str, number: int, taken: Iterable[str]) -> str:
    """The sandbox of a service's container: ``shop-web``, of the second one ``shop-web-2``."""
    name = naming.cut(f"{topology}-{service}", _MOST_OF_NAMESPACE - 4)
    if number == 1:
        return name
    # a service may have the name web-2
    return next(one for one in (f"{name}-{number}", f"{name}_{number}", f"{name}.{number}") if one not in taken)


def container(project: str, service: str, number: int) -> str:
    """Docker's name for it, which resolves in its networks."""
    return f"{project}-{service}-{number}"


def project_of(held: str, sandbox: str, known: Iterable[str]) -> str:
    """The project whose topology is ``held``, by the container's name among the names of a sandbox; "" for none."""
    end = f"-{sandbox.removeprefix(f'{held}-')}-1"
    projects = (name.removesuffix(end) for name in known if name.endswith(end))
    return next((project for project in projects if topology(project) == held), "")


def network(project: str, key: str) -> str:
    """Docker's name for a network of the project that has no ``name``."""
    return f"{project}_{key}"


def network_key(key: str) -> str:
    """Its name in the topology, which takes some names for itself."""
    return key if _NETWORK.fullmatch(key) else naming.cut(f"net-{re.sub(r'[^A-Za-z0-9_.-]', '-', key)}", 64)


def is_host(name: str) -> bool:
    """Whether it can stand in a hosts file."""
    return _HOST.fullmatch(name) is not None


def is_link(name: str) -> bool:
    return _LINK.fullmatch(name) is not None


def is_service(name: str) -> bool:
    return _SANDBOX.fullmatch(name) is not None
