"""Measures for speed: without them the program does the same, only slower.

Two more are elsewhere.  ``model/data.py`` makes data classes faster.  An import is inside a function where the module
takes more than a millisecond to import and most runs do not need it.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import gc
import importlib
import importlib.util
import os
import sys
import types
from collections.abc import Callable, Iterator
from typing import NoReturn


def run(main: Callable[[], int]) -> NoReturn:
    """Run the program and end the process with its exit code.

    The garbage collector is off, since a run frees little and soon ends: with it a check of 1,000 namespaces takes a
    tenth longer, a delete a quarter.  The process ends by os._exit, without freeing objects and modules, which took a
    tenth of a small check.

    """
    gc.disable()
    code = main()
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()  # main has flushed stdout, or closed it after an error
    os._exit(code)


@contextlib.contextmanager
def young_collected() -> Iterator[None]:
    """Collect cycles among the objects made inside the with block; older objects are not looked at.

    Each of pyroute2's messages is a cycle: uncollected, they are 15 MiB of the 93 that an apply of 1,000 namespaces
    takes.
    """
    collecting = gc.isenabled()
    gc.freeze()
    gc.enable()
    try:
        yield
    finally:
        gc.unfreeze()
        if not collecting:
            gc.disable()


def submodule(name: str) -> types.ModuleType:
    """A module of a package, imported without running the package's ``__init__``; ModuleNotFoundError if missing.

    pyroute2's ``__init__`` imports asyncio, sqlite3 and an object database: 150 ms, while the message classes take 35.
    During the import, sys.modules has an empty package with the same path.  It is removed afterwards, so that the real
    package can still be imported.
    """
    package = name.partition(".")[0]
    if package in sys.modules:
        return importlib.import_module(name)
    spec = importlib.util.find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(f"{package} is not installed")
    stand_in = types.ModuleType(package)
    stand_in.__path__ = list(spec.submodule_search_locations)
    stand_in.__spec__ = spec
    sys.modules[package] = stand_in
    try:
        return importlib.import_module(name)
    finally:
        del sys.modules[package]


def help_formatter(prog: str) -> argparse.HelpFormatter:
    """argparse's formatter with the width given: it would import shutil to find the width (4 ms)."""

    try:
        columns = int(os.environ.get("COLUMNS", "")) or 80
    except ValueError:
        try:
            columns = os.get_terminal_size(1).columns or 80
        except OSError:
            columns = 80
    return argparse.HelpFormatter(prog, width=columns - 2)
