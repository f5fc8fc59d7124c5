"""Functions for speed alone: without them the program does the same, but slower.

Two other measures for speed are elsewhere: ``model/data.py`` makes dataclasses and their objects faster, and modules
that take more than a millisecond to import and that most runs do not need are imported inside functions.
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

    The garbage collector is off: a run is short and keeps most objects to its end.  With it, a check of 1,000
    namespaces takes 10 % longer and a delete 25 %.  The process ends by os._exit, without freeing objects and modules,
    which would take 10 % of a small check.
    """
    gc.disable()
    code = main()
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()  # the command has flushed stdout, or closed it after an error
    os._exit(code)


@contextlib.contextmanager
def young_collected() -> Iterator[None]:
    """Inside, the garbage collector is on for objects that are created inside; it skips all older objects.

    Each message of pyroute2 is a reference cycle: without collection, these take 15 MiB of the 93 MiB of an apply of
    1,000 namespaces.
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
    """The module ``name`` of a package, imported without running the package's own ``__init__``.

    That of pyroute2 imports asyncio, sqlite3 and an object database: 150 ms, where the message classes take 35 ms.
    During the import an empty package with the same path is in sys.modules; afterwards it is removed, so that the real
    package can still be imported.  Raises ModuleNotFoundError if the package is not installed.
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
    """The help formatter of argparse with the width of the terminal, without its import of shutil (4 ms)."""
    try:
        columns = int(os.environ.get("COLUMNS", "")) or 80
    except ValueError:
        try:
            columns = os.get_terminal_size(1).columns or 80
        except OSError:
            columns = 80
    return argparse.HelpFormatter(prog, width=columns - 2)
