"""Brings the services, networks and volumes of included projects into a file."""

from __future__ import annotations

import os
from collections.abc import Callable

from reconciler.language.compose.extends import local
from reconciler.language.compose.file import strings
from reconciler.language.compose.merge import settled
from reconciler.language.compose.node import Node, plain, refuse
from reconciler.language.compose.reading import MAX_CHAIN, Scope, default_env_files
from reconciler.model.errors import Problem
from reconciler.model.quoting import quoted

SECTIONS = ("services", "networks", "volumes", "secrets", "configs")
Read = Callable[[list[tuple[str, Node]], Scope, tuple[str, ...]], Node]


def with_included(document: Node, scope: Scope, chain: tuple[str, ...], read: Read) -> Node:
    """The document with what it includes; ``chain`` are the files that include one another up to it.

    ``read`` merges the files of an included project.
    """
    include = document.get("include")
    if include is None:
        return document
    if not isinstance(include.value, list | None):
        refuse(include, "include takes a list of files; put a dash before each")
    model = document.of({word: value for word, value in document.entries.items() if word != "include"})
    for entry in include.items:
        model = _imported(model, _included(entry, scope, chain, read), scope)
    return model


def _included(entry: Node, scope: Scope, chain: tuple[str, ...], read: Read) -> Node:
    named = entry if isinstance(entry.value, str) else entry.get("path")
    files = list(strings(named))
    if not files:
        refuse(entry, "include takes a file, or a mapping with a path")
    paths = [(scope.path(local(file)), file) for file in files]
    if os.path.abspath(paths[0][0]) in chain:
        listed = " includes ".join(os.path.relpath(file) for file in (*chain, paths[0][0]))
        refuse(entry, f"files include one another in a circle: {listed}")
    if len(chain) >= MAX_CHAIN:
        refuse(entry, f"more than {MAX_CHAIN} files include one another")
    folder = next(strings(entry.get("project_directory")), None)
    inner = scope.path(folder.value) if folder is not None and folder.value else os.path.dirname(paths[0][0])
    env_files = [scope.path(file.value) for file in strings(entry.get("env_file"))]
    return read(paths, scope.within(inner, env_files or default_env_files(inner), entry.origin), chain)


def _imported(model: Node, included: Node, scope: Scope) -> Node:
    """The model with the resources of an included one; two different ones of a name are a problem."""
    sections = dict(model.entries)
    for word in SECTIONS:
        brought = included.get(word)
        if brought is None:
            continue
        own = sections.get(word, brought.of({}))
        for name, resource in brought.entries.items():
            known = own.get(name)
            if known is not None and plain(settled(known)) != plain(resource):
                message = (
                    f"{word[:-1]} {quoted(name)} is also in {resource.origin}, which is included; rename one of them"
                )
                scope.reading.problems.append(Problem(known.origin, message))
        sections[word] = own.of({**brought.entries, **own.entries})
    return model.of(sections)
