"""Functions for speed alone: without them the program does the same, but slower.

Three other measures for speed are elsewhere: ``model/data.py`` makes dataclasses and their objects faster,
``model/patterns.py`` compiles regular expressions late, and modules that take more than a millisecond to import and
that most runs do not need are imported inside functions.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import importlib.util
import os
import sys
import types
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import argparse


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
    with _in_place_of(package, _empty(package)):
        return importlib.import_module(name)


def jsonschema_rs() -> Any:
    """jsonschema_rs, imported without email.utils (4 ms), by which it reads the date of its own build."""
    if "email.utils" in sys.modules:
        return importlib.import_module("jsonschema_rs")
    reader = types.ModuleType("email.utils")
    reader.parsedate_to_datetime = str  # type: ignore[attr-defined]
    with _in_place_of("email.utils", reader):
        return importlib.import_module("jsonschema_rs")


def yaml() -> Any:
    """PyYAML's events, errors and C parser, imported without its modules in Python (10 ms, half of it one regex).

    The C parser asks these modules for their errors alone.  Where PyYAML is built without it, the whole of PyYAML.
    """
    if "yaml" in sys.modules:
        return sys.modules["yaml"]
    package: Any = _empty("yaml")
    try:
        with _in_place_of("yaml", package):
            for name in ("error", "events", "tokens", "nodes"):
                setattr(package, name, importlib.import_module(f"yaml.{name}"))
            vars(package).update(vars(package.error) | vars(package.events))
            for name in ("Scanner", "Parser", "Composer", "Constructor"):
                setattr(package, name.lower(), types.SimpleNamespace(**{f"{name}Error": package.MarkedYAMLError}))
            for name in ("Reader", "Emitter", "Serializer", "Representer"):
                setattr(package, name.lower(), types.SimpleNamespace(**{f"{name}Error": package.YAMLError}))
            importlib.import_module("yaml._yaml")
    except (ImportError, AttributeError):  # it is not built, or asks for more
        return importlib.import_module("yaml")
    return package


def _empty(package: str) -> types.ModuleType:
    """A package without content, in which its modules are found."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(f"{package} is not installed")
    stand_in = types.ModuleType(package)
    stand_in.__path__ = list(spec.submodule_search_locations)
    stand_in.__spec__ = spec
    return stand_in


@contextlib.contextmanager
def _in_place_of(name: str, stand_in: types.ModuleType) -> Iterator[None]:
    """Inside, an import of ``name`` gives the stand-in; afterwards the real module can be imported."""
    sys.modules[name] = stand_in
    try:
        yield
    finally:
        del sys.modules[name]


def help_formatter(prog: str) -> argparse.HelpFormatter:
    """The help formatter of argparse with the width of the terminal, without its import of shutil (4 ms)."""
    try:
        columns = int(os.environ.get("COLUMNS", "")) or 80
    except ValueError:
        try:
            columns = os.get_terminal_size(1).columns or 80
        except OSError:
            columns = 80
    import argparse

    return argparse.HelpFormatter(prog, width=columns - 2)


def _import_argparse() -> None:
    """Import argparse without gettext, which imports locale and looks for translations of each text (3 ms).

    There are none for argparse, and our own messages are in English.
    """
    if "gettext" not in sys.modules:
        english: Any = types.ModuleType("gettext")
        english.gettext, english.ngettext = str, lambda one, many, number: one if number == 1 else many
        with _in_place_of("gettext", english):
            importlib.import_module("argparse")


_import_argparse()  # before any other module does
