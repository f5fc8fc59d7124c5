"""Merges the files of a project, with all that they extend and include, into one."""

from __future__ import annotations

import os
from collections.abc import Sequence

from reconciler.language.compose.extends import extended
from reconciler.language.compose.include import with_included
from reconciler.language.compose.merge import merged, settled
from reconciler.language.compose.node import Node
from reconciler.language.compose.reading import Scope
from reconciler.language.compose.unique import unique
from reconciler.language.sources import STDIN
from reconciler.model.keys import NO_ORIGIN


def read_model(files: Sequence[tuple[str, Node | None]], scope: Scope, chain: tuple[str, ...] = ()) -> Node:
    """One file of all; each has its path, and the value that names it in a file that includes it."""
    model = Node({}, NO_ORIGIN)
    for path, asked in files:
        chain = (*chain, path if path == STDIN else os.path.abspath(path))
        for document in scope.documents(path, asked.origin if asked is not None else NO_ORIGIN):
            whole = with_included(extended(document, path, scope), scope, chain, read_model)
            model = unique(settled(merged(model if model.value else whole.of({}), whole)))
    return model
