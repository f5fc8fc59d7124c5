"""What is done for speed changes nothing else, and is not lost by an import in the wrong place."""

from __future__ import annotations

import argparse
import ast
import gc
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from reconciler import startup

ROOT = pathlib.Path(__file__).parents[2]
MODULES = sorted((ROOT / "reconciler").rglob("*.py"))

HEAVY = {
    *("pyroute2", "nftables", "jsonschema", "deepdiff", "rich", "asyncio", "subprocess", "sqlite3", "logging"),
    *(
        "yaml",
        "yaml.reader",
        "email.utils",
        "dataclasses",
        "inspect",
        "pathlib",
        "secrets",
        "difflib",
        "shutil",
        "importlib.metadata",
        "inspect.signature",
    ),
}
# Of ours, what takes a millisecond or more and is of use only where there is something to do or to tell.
SELDOM = {
    *(f"reconciler.cli.{name}" for name in ("as_json", "as_text", "audience", "consoles", "results")),
    *(f"reconciler.cli.plans.{name}" for name in ("grouping", "pager", "printing", "rows")),
    *(
        "reconciler.kernel.netlink.encode",
        "reconciler.kernel.observe.foreign_rules",
        "reconciler.kernel.observe.host_facts",
        "reconciler.kernel.observe.sock_diag",
        "reconciler.kernel.proc.ssh_session",
        "reconciler.planning.doctor",
    ),
    *("reconciler.language.networks.lower", "reconciler.language.networks.model", "reconciler.language.partial_check"),
    *("reconciler.planning.apply", "reconciler.planning.expectations", "reconciler.run.converge"),
    *("reconciler.run.expected", "reconciler.run.way_out"),
    *("reconciler.kernel.proc.modules", "reconciler.run.loading"),
    *(f"reconciler.safety.{name}" for name in ("keeping", "lockout", "rollback", "snapshot", "ownership")),
}
# What may be imported inside a function: each takes a millisecond or more, and most runs do without it.
LATE = {
    *(
        "argparse",
        "ctypes",
        "dataclasses",
        "deepdiff",
        "difflib",
        "hashlib",
        "importlib.metadata",
        "ipaddress",
        "jsonschema",
        "jsonschema_rs",
    ),
    *("nftables", "rich", "rich.console", "rich.progress", "rich.table", "rich.text", "shutil", "subprocess"),
    *("reconciler.cli.as_json", "reconciler.cli.as_text", "reconciler.cli.yaml_writer", "reconciler.cli.audience"),
    "reconciler.cli.plans.printing",
    *("reconciler.kernel.namespaces.netns_files", "reconciler.kernel.namespaces.worker"),
    "reconciler.kernel.observe.host_facts",
    *("reconciler.kernel.observe.foreign_rules", "reconciler.planning.doctor.following"),
    *("reconciler.kernel.observe.probes", "reconciler.kernel.observe.sock_diag"),
    *("reconciler.kernel.proc.link_settings", "reconciler.kernel.writer", "reconciler.kinds.nat.port_map_rows"),
    *("reconciler.language.networks.lower", "reconciler.language.partial_check"),
    *(
        "reconciler.model.secret",
        "reconciler.planning.disruption",
        "reconciler.planning.expectations",
        "reconciler.run.expected",
        "reconciler.run.refusals",
        "reconciler.run.holdings",
        "reconciler.run.survey",
        "reconciler.run.foreseen",
        "reconciler.run.way_out",
        "reconciler.run.loading",
        "reconciler.run.rehearsal",
        "reconciler.run.rehearsed_ways",
        "reconciler.run.verify",
    ),
    *(
        "reconciler.safety.keeping",
        "reconciler.safety.lockout",
        "reconciler.safety.course",
        "reconciler.safety.commit_confirmed.confirmation",
        "reconciler.safety.commit_confirmed.watchdog",
    ),
}
# Each command imports what it needs.
COMMANDS = {ROOT / "reconciler/cli/changing.py", *(ROOT / "reconciler/cli/commands").glob("*.py")}


def python(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)


# ------------------------------------------------------------------ imports


def imported_by(*words: str) -> set[str]:
    """The modules that a run of the command has imported when it ends well."""
    code = (
        f"import sys; sys.path += {sys.path!r}; before = set(sys.modules); from reconciler.cli import main;"
        f"code = main.main({list(words)!r}); print(*(set(sys.modules) - before)); sys.exit(code)"
    )
    found = python(code, "-S")
    assert found.returncode == 0, found.stderr
    return set(found.stdout.split())


def test_the_command_line_alone_imports_nothing_heavy() -> None:
    unwanted = HEAVY | {"yaml._yaml", "jsonschema_rs"}
    found = python(
        f"import sys; sys.path += {sys.path!r}; import reconciler.cli.main; print(*({unwanted!r} & {{*sys.modules}}))",
        "-S",
    )
    assert (found.stdout.split(), found.stderr) == ([], "")


def test_validate_imports_neither_the_kernel_nor_what_explains() -> None:
    modules = imported_by("validate", "-q", "topologies/docker-by-hand.yaml")
    assert {"reconciler.planning.topology", "yaml._yaml", "jsonschema_rs"} <= modules
    assert modules & (HEAVY | SELDOM) == set()
    assert not [name for name in modules if name.startswith("reconciler.kernel")]


def late_imports(file: pathlib.Path) -> Iterator[str]:
    """The modules that functions of a file import."""
    for function in ast.walk(ast.parse(file.read_text())):
        if isinstance(function, ast.FunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Import):
                    yield from (name.name for name in node.names)
                elif isinstance(node, ast.ImportFrom):
                    modules = [f"{node.module}.{name.name}" for name in node.names]
                    yield from (one if one in LATE else str(node.module) for one in modules)


@pytest.mark.parametrize("file", [file for file in MODULES if file not in COMMANDS], ids=lambda file: str(file.name))
def test_functions_import_only_what_takes_long(file: pathlib.Path) -> None:
    assert set(late_imports(file)) - LATE == set()


# ------------------------------------------------------------------ a package without its __init__


def test_a_submodule_comes_without_its_package() -> None:
    code = (
        "import sys; from reconciler import startup; startup.submodule('pyroute2.netlink.rtnl.rtmsg');"
        "print('asyncio' in sys.modules, 'pyroute2' in sys.modules);"
        "import pyroute2; print(pyroute2.IPRoute.__name__)"
    )
    assert python(code).stdout.split() == ["False", "False", "IPRoute"]


def test_a_package_that_is_missing_is_named() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        startup.submodule("no_such_package.inner")


def test_pyyaml_comes_whole_after_its_parser_alone() -> None:
    code = (
        "import sys; from reconciler import startup; yaml = startup.yaml();"
        "print('yaml' in sys.modules, 'yaml.reader' in sys.modules, 'yaml._yaml' in sys.modules);"
        "parser = sys.modules['yaml._yaml'].CParser('a:\\n - [');\n"
        "try:\n    while parser.get_event(): pass\n"
        "except yaml.MarkedYAMLError as error: print(error.problem_mark.line)\n"
        "import yaml as whole; print(whole.load('a: 2', whole.CSafeLoader), whole.YAMLError is yaml.YAMLError)"
    )
    assert python(code).stdout.splitlines() == ["False False True", "2", "{'a': 2} True"]


def test_email_utils_can_be_imported_after_jsonschema_rs() -> None:
    code = (
        "import sys; from reconciler import startup; rs = startup.jsonschema_rs(); print('email.utils' in sys.modules);"
        "import email.utils; print(rs.is_valid({'type': 'string'}, ''), email.utils.formatdate(0))"
    )
    assert python(code).stdout.splitlines() == ["False", "True Thu, 01 Jan 1970 00:00:00 -0000"]


# ------------------------------------------------------------------ the process


def test_the_process_ends_with_the_exit_code_and_after_what_was_to_be_done_at_exit() -> None:
    code = (
        "import atexit, gc, sys; from reconciler import startup;"
        "atexit.register(lambda: (sys.stdout.write('at exit\\n'), sys.stdout.flush()));"
        "startup.run(lambda: (print(gc.isenabled()), sys.stderr.write('said'), 3)[-1])"
    )
    done = python(code)
    assert (done.returncode, done.stdout, done.stderr) == (3, "False\nat exit\n", "said")


@pytest.mark.parametrize("before", [True, False])
def test_the_collector_is_as_it_was_after_what_is_made_inside(before: bool) -> None:
    was = gc.isenabled()
    (gc.enable if before else gc.disable)()
    try:
        with startup.young_collected():
            assert gc.isenabled()
            assert gc.get_freeze_count() > 0
        assert (gc.isenabled(), gc.get_freeze_count()) == (before, 0)
    finally:
        (gc.enable if was else gc.disable)()


# ------------------------------------------------------------------ argparse


@pytest.mark.parametrize("columns", ["50", "120", "nonsense", ""])
def test_help_is_formatted_as_argparse_does(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    texts = []
    for formatter in (argparse.HelpFormatter, startup.help_formatter):
        parser = argparse.ArgumentParser("tool", formatter_class=formatter, description="A long sentence. " * 20)
        parser.add_argument("--option", help="what it is for, at some length, so that the line must be broken")
        texts.append(parser.format_help())
    assert texts[0] == texts[1]
