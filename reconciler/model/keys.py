"""What objects are called: scopes, keys, places in files, and the stamps that say whose they are."""

from __future__ import annotations

from typing import NamedTuple

from reconciler.model.quoting import Path, dotted

HOST = "host"
STAMP = "netrecon:"  # a link of ours carries the alias "netrecon:<topology>"
# The kernel takes an alias only from a second message, after the link exists.  A link is therefore born in
# this group: if we are killed in between, the next run still knows it for one of ours.
BIRTH_GROUP = 28274
SHARED_GROUP = 28275  # of lo, where others may have things of their own in a namespace (exclusive: false)
PROTOCOL = 110  # rtm_protocol, FRA_PROTOCOL and IFA_PROTO of what we create ("n"; free in rt_protos)


class Key(NamedTuple):
    """An object's identity; ``scope`` is ``host`` or the name of a namespace."""

    kind: str
    scope: str
    name: str

    @property
    def home(self) -> str:
        """The scope that the object lies in; a namespace counts as its own."""
        return self.name if self.kind == "namespace" else self.scope

    def __str__(self) -> str:
        return f"{self.kind}/{self.scope}/{self.name}"


class Origin(NamedTuple):
    """A place in a file; lines and columns count from 1, and line 0 is the file as a whole."""

    file: str
    line: int = 0
    column: int = 0
    path: Path = ()  # in the YAML: ("bridges", "test0", "mtu")

    @property
    def dotted(self) -> str:
        """The path as people read it: ``bridges.test0.mtu``."""
        return dotted(self.path)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


NO_ORIGIN = Origin("")  # of what stands in no file


def stamped(alias: str) -> str:
    """The topology that an alias names, "" when it is not a stamp of ours."""
    return alias[len(STAMP) :] if alias.startswith(STAMP) else ""
