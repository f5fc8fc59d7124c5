"""Reads the files of a Compose project into one: variables, merged files, profiles and the project's name."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from reconciler.language import document
from reconciler.language.compose.node import Node, plain, tree
from reconciler.language.sources import STDIN
from reconciler.language.sources import read as read_file
from reconciler.model.data import dataclass
from reconciler.model.errors import Problem
from reconciler.model.keys import Origin
from reconciler.model.quoting import Path


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
    """The project of the files.  Raises InputError with all problems.

    ``environment`` is that of the shell; None: of this process.
    """
    file = files[0]
    loaded = document.load("<stdin>" if file == STDIN else file, read_file(file))
    root = tree(loaded, {})
    folder = PurePath(os.path.abspath(loaded.file)).parent.name
    name = project_name or str(loaded.data.get("name") or "") or re.sub(r"[^a-z0-9_-]", "", folder.lower())
    return Project(name, loaded.file, plain(root), root)
