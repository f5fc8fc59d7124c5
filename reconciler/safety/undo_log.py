"""Stores on disk what a run needs to go back, from before its first change until the run is settled."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from typing import Any

from reconciler.model.data import dataclass
from reconciler.model.errors import Failure, KernelError
from reconciler.model.keys import Key
from reconciler.model.rows import LinkSettings
from reconciler.planning.consequences import Setting
from reconciler.safety import codec, records, snapshot, state_dir
from reconciler.safety.records import Record
from reconciler.safety.snapshot import Snapshot

NAME = "snapshot"
FORMAT = 2  # objects are stored by the positions of their fields, which another release may change


@dataclass(frozen=True, slots=True)
class Unsettled:
    """The state before a run: the objects, the topologies' records, and the sysctls of links that it deletes.

    ``kept`` are foreign objects that are deleted and created again within the run, ``meanwhile`` its temporary sysctls:
    what the next run puts back if this one is killed.  ``resumed``: some of ``kept`` are from such a run.
    ``renamed``: the run gives a topology another name, (before, after).
    """

    snapshot: Snapshot
    records: dict[str, Record]
    settings: Sequence[LinkSettings] = ()
    kept: Sequence[Key] = ()
    meanwhile: Sequence[Setting] = ()
    resumed: bool = False
    renamed: tuple[str, str] | None = None


def write(entry: Unsettled) -> None:
    """Write it to disk atomically.  Raises KernelError (a full disk, for example): then nothing may be changed."""
    data: dict[str, Any] = {"format": FORMAT, "boot": boot(), **snapshot.to_plain(entry.snapshot)}
    data["settings"] = [codec.encode(setting) for setting in entry.settings]
    data["kept"] = [list(key) for key in entry.kept]
    data["meanwhile"] = [codec.encode(setting) for setting in entry.meanwhile]
    data["renamed"] = entry.renamed
    data["records"] = {name: records.to_plain(record) for name, record in entry.records.items()}
    try:
        state_dir.write_file(NAME, json.dumps(data, separators=(",", ":")), 0o600)
    except OSError as error:
        path = os.path.join(state_dir.FOLDER, NAME)
        raise KernelError(f"write {path}, without which nothing could be undone", Failure(error.errno or 0)) from error
    state_dir.keep_spare()


def read() -> Unsettled | None:
    """The entry of an unsettled run of this boot; None where there is none, or where it cannot be read."""
    return state_dir.understood(NAME, _from_plain)


def _from_plain(data: dict[str, Any]) -> Unsettled | None:
    if data["boot"] != boot() or data["format"] != FORMAT:
        return None
    kept = {name: records.from_plain(plain) for name, plain in data["records"].items()}
    settings = [codec.decode(LinkSettings, plain) for plain in data.get("settings", ())]
    again = [Key(*parts) for parts in data.get("kept", ())]
    meanwhile = [codec.decode(Setting, plain) for plain in data.get("meanwhile", ())]
    before, after = data.get("renamed") or ("", "")
    renamed = (str(before), str(after)) if before else None
    return Unsettled(snapshot.from_plain(data), kept, settings, again, meanwhile, renamed=renamed)


def settle() -> None:
    """Delete the entry: the run's changes stay, or they are undone already."""
    with contextlib.suppress(OSError):
        for name in os.listdir(state_dir.FOLDER):
            if name == NAME or name.endswith(".tmp"):  # .tmp: left by killed runs
                os.unlink(os.path.join(state_dir.FOLDER, name))


def boot() -> str:
    """The kernel's id of this boot, "" if it cannot be read."""
    with contextlib.suppress(OSError), open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()
    return ""
