"""What one reading of a project has in common: its variables, warnings, problems, and how many files it took."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence

from reconciler.language.compose import env_file
from reconciler.language.compose.file import Interpolation, load, unset_text
from reconciler.language.compose.node import Node
from reconciler.language.sources import fail
from reconciler.language.sources import read as read_bytes
from reconciler.model.data import dataclass
from reconciler.model.errors import InputError, Problem
from reconciler.model.keys import NO_ORIGIN, Origin

MAX_FILES = 1_000  # includes of includes can name a few files without end
MAX_CHAIN = 50  # files that include one another, services that extend one another
PROJECT_NAME = "COMPOSE_PROJECT_NAME"


class Reading:
    """Warnings, each once; problems that did not stop the reading; and the files, each read once."""

    def __init__(self) -> None:
        self.warnings: dict[Problem, None] = {}
        self.problems: list[Problem] = []
        self._loaded: dict[str, list[Node]] = {}
        self._replaced: dict[tuple[str, int], tuple[list[Node], Mapping[str, str]]] = {}

    def load(self, path: str, asked: Origin = NO_ORIGIN) -> list[Node]:
        """The documents of a file as written; ``asked`` is the place that names the file.  Raises InputError."""
        if path not in self._loaded:
            with _asked_for(asked):
                self._loaded[path] = load(path)
        return self._loaded[path]

    def documents(self, path: str, environment: Mapping[str, str], asked: Origin) -> list[Node]:
        """The documents of a file with their variables replaced.  Raises InputError."""
        key = path, id(environment)
        if key not in self._replaced:
            if len(self._replaced) >= MAX_FILES:
                fail(asked.file, f"more than {MAX_FILES} files are included or extended", asked.line, asked.column)
            documents = [self.interpolated(node, environment) for node in self.load(path, asked)]
            self._replaced[key] = documents, environment  # which is kept: another one must not get its id
        return self._replaced[key][0]

    def interpolated(self, node: Node, environment: Mapping[str, str]) -> Node:
        """The node with its variables replaced; what is wrong with them is remembered."""
        interpolation = Interpolation(environment.get, self.warn)
        replaced = interpolation(node)
        self.problems += interpolation.problems
        return replaced

    def warn(self, problem: Problem) -> None:
        """Remember a warning."""
        self.warnings[problem] = None


@dataclass(frozen=True, slots=True)
class Scope:
    """The folder that paths of a project, or of an included one, are relative to, and its variables."""

    folder: str
    environment: Mapping[str, str]
    reading: Reading

    def path(self, name: str) -> str:
        """A path as it can be opened; an absolute one as it is."""
        return os.path.normpath(os.path.join(self.folder, name))

    def documents(self, path: str, asked: Origin = NO_ORIGIN) -> list[Node]:
        """The documents of a file, their variables replaced; ``asked`` is the place that names the file."""
        return self.reading.documents(path, self.environment, asked)

    def within(self, folder: str, env_files: Sequence[str], asked: Origin = NO_ORIGIN) -> Scope:
        """The scope of a folder, with the variables of ``env_files`` that are not known here."""
        with _asked_for(asked):
            return Scope(folder, {**_variables(env_files, self), **self.environment}, self.reading)


@contextlib.contextmanager
def _asked_for(asked: Origin) -> Iterator[None]:
    """Problems of a file as a whole, such as that it is not there, stand where the file is named."""
    try:
        yield
    except InputError as error:
        raise InputError([_moved(problem, asked) for problem in error.problems]) from None


def _moved(problem: Problem, asked: Origin) -> Problem:
    if problem.origin.line or not asked.line:
        return problem
    return Problem(asked, f"{problem.origin.file}: {problem.message}")


def default_env_files(folder: str) -> list[str]:
    """The .env of a folder, where it has one."""
    path = os.path.join(folder, ".env")
    return [path] if os.path.isfile(path) else []


def _variables(files: Sequence[str], scope: Scope) -> dict[str, str]:
    """The variables of env files, of two with one name the later; values may use those of ``scope``."""
    found: dict[str, str] = {}

    def unset(name: str, origin: Origin) -> None:
        scope.reading.warn(Problem(origin, unset_text(name)))

    for file in files:
        if os.path.abspath(file) != os.devnull:
            found |= env_file.read(file, _text(file), {**found, **scope.environment}, unset)
    return found


def _text(file: str) -> str:
    try:
        return read_bytes(file).decode()
    except UnicodeDecodeError:
        fail(file, "not UTF-8; save the file as UTF-8")
