"""The snapshot and the records of a run on disk, from before its first change until it is settled."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from typing import Any

from reconciler.model.data import dataclass
from reconciler.model.errors import Failure, KernelError
from reconciler.model.rows import LinkSettings
from reconciler.safety import codec, records, snapshot, state_dir
from reconciler.safety.records import Record
from reconciler.safety.snapshot import Snapshot

NAME = "snapshot"
FORMAT = 2  # objects are kept by the positions of their fields: another release has others


@dataclass(frozen=True, slots=True)
class Unsettled:
    """What there is to go back to: the objects, the topologies' records as they were, and lost links' settings."""

    snapshot: Snapshot
    records: dict[str, Record]
    settings: Sequence[LinkSettings] = ()


def write(entry: Unsettled) -> None:
    """Put it on disk, whole or not at all.  Raises KernelError (a full disk, say): then nothing may be changed."""
    data: dict[str, Any] = {"format": FORMAT, "boot": boot(), **snapshot.to_plain(entry.snapshot)}
    data["settings"] = [codec.encode(one) for one in entry.settings]
    data["records"] = {name: records.to_plain(record) for name, record in entry.records.items()}
    try:
        state_dir.write_file(NAME, json.dumps(data, separators=(",", ":")), 0o600)
    except OSError as error:
        path = os.path.join(state_dir.FOLDER, NAME)
        raise KernelError(f"write {path}, without which nothing could be undone", Failure(error.errno or 0)) from error


def read() -> Unsettled | None:
    """What an unsettled run left; None where there is none, or none of this boot, or none that can be understood."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
        data = state_dir.read_file(NAME)
        if data["boot"] == boot() and data["format"] == FORMAT:
            kept = {name: records.from_plain(one) for name, one in data["records"].items()}
            settings = [codec.decode(LinkSettings, one) for one in data.get("settings", ())]
            return Unsettled(snapshot.from_plain(data), kept, settings)
    return None


def settle() -> None:
    """Forget it: what was done stays, or is undone."""
    with contextlib.suppress(OSError):
        for name in os.listdir(state_dir.FOLDER):
            if name == NAME or name.endswith(".tmp"):  # and what killed runs were writing
                os.unlink(os.path.join(state_dir.FOLDER, name))


def boot() -> str:
    """The kernel's identity of this boot."""
    with contextlib.suppress(OSError), open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()
    return ""
