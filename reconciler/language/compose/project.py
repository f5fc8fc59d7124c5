"""Reads the files of a Compose project into one: variables, merged files, profiles and the project's name."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.language.compose import checks
from reconciler.language.compose.file import shown
from reconciler.language.compose.model import read_model
from reconciler.language.compose.node import Node, plain
from reconciler.language.compose.normal import normal
from reconciler.language.compose.reading import PROJECT_NAME, Reading, Scope, default_env_files
from reconciler.language.sources import STDIN, fail
from reconciler.model import data as dataclasses
from reconciler.model.data import dataclass
from reconciler.model.errors import InputError, Problem
from reconciler.model.keys import Origin
from reconciler.model.quoting import Path, quoted

_FALSE = ("", "0", "f", "false")


@dataclass(frozen=True, slots=True)
class Project:
    """A Compose project as one file: ``data`` without variables, and where each value in it was written.

    ``name`` is the project's name by Compose's rules, ``file`` the first file, ``warnings`` what Compose only warns of.
    """

    name: str
    file: str
    data: Any
    root: Node
    warnings: tuple[Problem, ...] = ()

    def place(self, path: Path) -> Origin:
        """The place of ``path`` in the file that it was written in; of an absent path, that of its parent."""
        return self.root.place(path)


def read(
    files: Sequence[str],
    env_files: Sequence[str] = (),
    profiles: Sequence[str] = (),
    project_name: str = "",
    environment: Mapping[str, str] | None = None,
) -> Project:
    """The project of the files, or of those in COMPOSE_FILE.  Raises InputError with all problems.

    ``environment`` is that of the shell; None: of this process.
    """
    shell: Mapping[str, str] = dict(os.environ) if environment is None else environment
    reading = Reading()
    if not files and not shell.get("COMPOSE_FILE"):
        shell = _scope("", env_files, shell, reading).environment  # the .env here may name the files
    files = files or _files_of(shell)
    scope = _scope(_folder(files), env_files, shell, reading)
    name = _name(files, project_name or scope.environment.get(PROJECT_NAME, ""), scope)
    active = profiles or [part.strip() for part in scope.environment.get("COMPOSE_PROFILES", "").split(",")]
    whole = _whole(files, dataclasses.replace(scope, environment={**scope.environment, PROJECT_NAME: name}))
    running = checks.with_profiles(whole, active)
    if problems := list(checks.references(running, whole)):
        raise InputError(sorted(problems))
    root = normal(running.of({**running.entries, "name": (running.get("name") or running).of(name)}))
    return Project(name, shown(files[0]), plain(root), root, tuple(sorted(reading.warnings)))


def _scope(folder: str, env_files: Sequence[str], shell: Mapping[str, str], reading: Reading) -> Scope:
    """The scope of the files: the shell's variables, then those of the env files."""
    named = env_files or [file for file in shell.get("COMPOSE_ENV_FILES", "").split(",") if file]
    if not named and shell.get("COMPOSE_DISABLE_ENV_FILE", "").lower() in _FALSE:
        named = default_env_files(folder)
    return Scope(folder, shell, reading).within(folder, named)


def _files_of(environment: Mapping[str, str]) -> list[str]:
    """The files that COMPOSE_FILE names, where the command line names none."""
    listed = environment.get("COMPOSE_FILE", "")
    separator = environment.get("COMPOSE_PATH_SEPARATOR") or os.pathsep
    return [file for file in listed.split(separator) if file] or fail("", "no Compose file is named; write -f FILE")


def _folder(files: Sequence[str]) -> str:
    """The folder of the first file; of standard input the working directory."""
    return next((os.path.dirname(file) for file in files if file != STDIN), "")


def _whole(files: Sequence[str], scope: Scope) -> Node:
    """The files as one, before profiles.  Raises InputError with all problems of all files."""
    problems = scope.reading.problems
    try:
        model = read_model([(file, None) for file in files], scope)
        problems += checks.shape(model)
    except InputError as error:
        problems += error.problems
    if problems:
        raise InputError(sorted(set(problems)))
    return model


# ------------------------------------------------------------------ the name


def _name(files: Sequence[str], given: str, scope: Scope) -> str:
    if given:
        if _normal_name(given) != given:
            message = "has small letters, digits, - and _, and begins with a letter or a digit"
            fail("", f"{quoted(given)} is no name of a project, which {message}")
        return given
    written = [name for name in _written_names(files, scope) if name.value]
    if not written:
        folder = os.path.basename(os.path.abspath(scope.folder or "."))
        return _normal_name(folder) or fail(shown(files[0]), "its folder's name gives no project name; write -p NAME")
    name = scope.reading.interpolated(written[-1], scope.environment)
    where = written[-1].origin
    return _normal_name(str(name.value)) or fail(where.file, "this gives no project name; write -p NAME", *where[1:3])


def _written_names(files: Sequence[str], scope: Scope) -> Iterator[Node]:
    for file in files:
        for document in scope.reading.load(file):
            name = document.get("name")
            if name is not None and isinstance(name.value, str):
                yield name


def _normal_name(text: str) -> str:
    return re.sub(r"[^a-z0-9_-]", "", text.lower()).lstrip("_-")
