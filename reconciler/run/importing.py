"""Reads the files of other programs as topologies; networks of other topologies are looked up in the kernel."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.kernel.proc import dns_files
from reconciler.language.compose import convert, names, project
from reconciler.language.compose.external import Others
from reconciler.language.compose.words import LeftOut
from reconciler.model.data import NamedTuple
from reconciler.model.errors import InputError, Problem
from reconciler.model.keys import NO_ORIGIN
from reconciler.model.names import FILE_STAMP
from reconciler.run import host


class Asked(NamedTuple):
    """The files of one Compose project, and what the command line says of it.

    ``external`` is name -> (topology, network), for networks that the project calls external.
    """

    files: Sequence[str]
    env_files: Sequence[str] = ()
    profiles: Sequence[str] = ()
    project_name: str = ""
    external: Mapping[str, tuple[str, str]] = {}


class Imported(NamedTuple):
    """The data of a topology, what of the project has no equivalent, and what Compose warns of.

    ``services`` is service -> the sandboxes of its containers.
    """

    topology: dict[str, Any]
    left_out: Sequence[LeftOut]
    warnings: Sequence[Problem]
    services: Mapping[str, Sequence[str]]


def compose(asked: Asked) -> Imported:
    """The topology of a Docker Compose project.  Raises InputError where Compose would refuse the files."""
    read = project.read(asked.files, asked.env_files, asked.profiles, asked.project_name)
    _refuse_name_of_another(read.name)
    networks = read.data.get("networks") or {}
    outside = any(isinstance(entry, dict) and entry.get("external") for entry in networks.values())
    held = _links() if outside and os.geteuid() == 0 else {}
    done = convert.convert(read, Others(held, asked.external))
    unknown = sorted(asked.external.keys() - done.outside)
    if unknown:
        text = f"--external {unknown[0]}: the project has no external network of that name"
        raise InputError([Problem(NO_ORIGIN, text)])
    return Imported(done.topology, done.left_out, read.warnings, done.services)


def _refuse_name_of_another(project_name: str) -> None:
    """Raise InputError where this host has the topology of another project, such as my-shop beside my_shop.

    A hosts file tells which project a topology was: it has Docker's names of the containers.
    """
    topology = names.topology(project_name)
    for namespace in (one for one in dns_files.scopes() if one.startswith(f"{topology}-")):
        text = dns_files.read_file(namespace, "hosts") or ""
        if text.partition("\n")[0] == f"{FILE_STAMP}{topology}":
            other = names.project_of(topology, namespace, text.split())
            if other and other != project_name:
                why = f"the topology {topology} is held on this host for the project {other}, not {project_name}"
                way = f"choose another name with -p, or first: netrecon delete --name {topology}"
                raise InputError([Problem(NO_ORIGIN, f"{why} (see /etc/netns/{namespace}/hosts); {way}")])


def _links() -> dict[str, str]:
    from reconciler.run import holdings

    with host.kernel() as kernel:
        return holdings.owned_links(kernel)
