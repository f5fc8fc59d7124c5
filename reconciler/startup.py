"""What is done for speed alone: without it the program does the same, later.

Two more such measures need a place of their own.  ``model/data.py`` makes data classes faster.  Imports stand inside
functions where the imported module takes more than a millisecond and most runs do without it.
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

    The collector of cycles is off: a run only grows and soon ends.  With it a check of 1,000 namespaces takes a tenth
    longer, a delete a quarter.  At the end no object is freed and no module undone, which took a tenth of a small
    check: the kernel takes the memory back as a whole.
    """
    gc.disable()
    code = main()
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()  # stdout is flushed, or given up, already
    os._exit(code)


@contextlib.contextmanager
def young_collected() -> Iterator[None]:
    """The collector is on inside, for what is made inside; what was there before it does not look at.

    Each of pyroute2's messages is a ring of references: uncollected, they hold 15 MiB of the 93 that an apply of
    1,000 namespaces takes.
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
    """A module of a package, imported without running the package's own ``__init__``.

    That of pyroute2 imports asyncio, sqlite3 and an object database: 150 ms, where the message classes take 35.
    During the import an empty package with the same path stands in its place.  Afterwards it is taken away, so that
    the real package can still be imported.
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
    """As argparse's own, which imports shutil for the width (4 ms) for each option that is declared."""
    try:
        columns = int(os.environ.get("COLUMNS", "")) or 80
    except ValueError:
        try:
            columns = os.get_terminal_size(1).columns or 80
        except OSError:
            columns = 80
    return argparse.HelpFormatter(prog, width=columns - 2)
