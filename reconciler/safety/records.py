"""The records of topologies: facts about objects that the kernel cannot store, in one file per topology.

A file is ``{"format": 2, "records": {key: record}}``.  The kind of the object knows what its record means;
ownership.py writes records.  No apply is wrong without records: what is not on record is left alone.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from reconciler.kinds import BY_NAME
from reconciler.kinds.context import Noted
from reconciler.model import port_ranges
from reconciler.model.changes import Desired
from reconciler.model.errors import Failure, KernelError
from reconciler.model.keys import Key
from reconciler.planning.state import Memory
from reconciler.safety import state_dir

Record = dict[Key, Any]  # of one topology
NOTHING: Mapping[Key, Desired] = MappingProxyType({})


def load() -> dict[str, Record]:
    """The records of all topologies by name; a file that is not understood counts as lost."""
    records: dict[str, Record] = {}
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for name in sorted(os.listdir(state_dir.FOLDER)):
            if name.endswith(".json"):
                record = state_dir.understood(name, from_plain)
                if record is not None:
                    records[name.removesuffix(".json")] = record
    return records


def save(topology: str, record: Record) -> None:
    """Write a topology's record atomically; for an empty record the file is deleted.  Raises KernelError."""
    path = os.path.join(state_dir.FOLDER, f"{topology}.json")
    try:
        if not record:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            return
        state_dir.write_file(f"{topology}.json", json.dumps(to_plain(record), indent=1))
    except OSError as error:
        raise KernelError(f"write {path}", Failure(error.errno or 0)) from error


def from_plain(data: dict[str, Any]) -> Record:
    """The record from the data that ``to_plain`` made; raises an error of any type for other data."""
    plain = data["records"] if "records" in data else _of_format_1(data)
    records = ((_key(text), record) for text, record in plain.items())
    return {key: BY_NAME[key.kind].recall(key.name, record) for key, record in records}


def _of_format_1(data: dict[str, Any]) -> dict[str, Any]:
    """The records of a file of format 1, which had three sorts of them."""
    ports = {text: port_ranges.parse(ranges) for text, ranges in data.get("reserved", {}).items()}
    return {**dict.fromkeys(data["shared"], True), **data["sysctls"], **ports}


def _key(text: str) -> Key:
    kind, scope, name = text.split("/", 2)
    if scope in ("", ".", ".."):  # it would be looked for under /run/netns
        raise ValueError(f"{text} is no object's key")
    return Key(kind, scope, name)


def to_plain(record: Record) -> dict[str, Any]:
    """A record as data for json.dumps."""
    return {"format": 2, "records": {str(key): value for key, value in sorted(record.items())}}


def memory(records: dict[str, Record], topologies: Iterable[str], wanted: Mapping[Key, Desired] = NOTHING) -> Memory:
    """The records by scope, as the kinds' ``read`` gets them.

    Where several topologies have a record of an object, that of a topology outside this run (``topologies``) is used:
    as long as it declares a sysctl, the old value is not restored.  A kind with ``without_others`` compares the two.
    Of two topologies of this run the one counts that has the object in ``wanted``: it has taken it over.
    """
    by_scope: dict[str, dict[Key, Noted]] = {}
    mine = set(topologies)
    for name, record in sorted(records.items(), key=lambda item: item[0] not in mine):
        for key, value in record.items():
            scope, kind = by_scope.setdefault(key.scope, {}), BY_NAME[key.kind]
            first = scope.get(key)
            if kind.without_others is None or first is None or first.topology not in mine:
                if first is None or name not in mine or key not in wanted or wanted[key].owner == name:
                    scope[key] = Noted(name, value)
            else:
                both = kind.either if name in mine else kind.without_others
                scope[key] = first._replace(record=both(first.record, value))
    return by_scope
