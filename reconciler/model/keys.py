"""Identities: keys of objects, places in files, and the stamps that name an object's topology."""

from __future__ import annotations

from reconciler.model.data import NamedTuple
from reconciler.model.quoting import Path, dotted

HOST = "host"
STAMP = "netrecon:"  # a link of ours has the alias "netrecon:<topology>"
# The kernel takes an alias only in a second message, after the link exists.  A link is therefore created in
# this group: if we are killed in between, the next run still recognises it as ours.
BIRTH_GROUP = 28274
SHARED_GROUP = 28275  # lo is in this group where a namespace may have objects of others (exclusive: false)
PROTOCOL = 110  # rtm_protocol, FRA_PROTOCOL and IFA_PROTO of what we create ("n"; free in rt_protos)


class Key(NamedTuple):
    """An object's identity; ``scope`` is ``host`` or the name of a namespace."""

    kind: str
    scope: str
    name: str

    @property
    def home(self) -> str:
        """The scope of the object; of a namespace, the namespace itself."""
        return self.name if self.kind == "namespace" else self.scope

    def __str__(self) -> str:
        return f"{self.kind}/{self.scope}/{self.name}"


class Origin(NamedTuple):
    """A place in a file; lines and columns count from 1, and line 0 means the whole file."""

    file: str
    line: int = 0
    column: int = 0
    path: Path = ()  # keys and indexes in the YAML: ("bridges", "test0", "mtu")

    @property
    def dotted(self) -> str:
        """The path as people read it: ``bridges.test0.mtu``."""
        return dotted(self.path)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


NO_ORIGIN = Origin("")  # of an object that is in no file


def stamped(alias: str) -> str:
    """The topology named by an alias "netrecon:<topology>"; "" for any other alias."""
    return alias[len(STAMP) :] if alias.startswith(STAMP) else ""
