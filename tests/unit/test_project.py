"""The repository as a whole: examples that hold, kinds that lack nothing, documents that tell the truth."""

from __future__ import annotations

import ast
import pathlib
import re
import tomllib
from typing import Any

import pytest

import reconciler
from reconciler.cli.commands import COMMANDS
from reconciler.kinds import KINDS
from reconciler.kinds.kind import Kind
from reconciler.language import document, schema
from reconciler.run import load

ROOT = pathlib.Path(__file__).parents[2]
TOPOLOGIES = sorted((ROOT / "topologies").glob("*.yaml"))
MODULES = sorted((ROOT / "reconciler").rglob("*.py"))
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


def examples() -> list[Any]:
    """The YAML blocks of the documents, each with its place."""
    found = []
    for file in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for block in re.finditer(r"^```yaml\n(.*?)^```", file.read_text(), re.MULTILINE | re.DOTALL):
            line = file.read_text()[: block.start()].count("\n") + 2
            if "ifbs:" not in block[1]:  # the kind that docs/adding-a-kind.md adds
                found.append(pytest.param(block[1], id=f"{file.name}:{line}"))
    return found


@pytest.mark.parametrize("file", TOPOLOGIES, ids=lambda file: file.stem)
def test_example_topology_is_valid_and_named_as_its_file(file: pathlib.Path) -> None:
    assert load.load_one(str(file)).name == file.stem


@pytest.mark.parametrize("text", examples())
def test_example_in_the_documents_passes_the_schema(text: str) -> None:
    whole = text if "version:" in text else f"version: 1\nname: example\n{text}"
    assert schema.check(document.load("example.yaml", whole.encode())) == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_kind_lacks_nothing(kind: Kind) -> None:
    assert any(f'name="{kind.name}"' in file.read_text() for file in (ROOT / "reconciler/kinds").rglob("*.py"))
    assert not kind.schema or (ROOT / "schemas" / f"{kind.schema}.json").is_file()
    situations = ROOT / "tests/cases/situations" / kind.name
    assert list(situations.glob("*.yaml")), f"{situations} holds no situation"


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(ROOT)))
def test_module_opens_with_one_sentence(file: pathlib.Path) -> None:
    text = file.read_text()
    if text:
        first = (ast.get_docstring(ast.parse(text)) or "").partition("\n\n")[0]
        assert first.endswith((".", ":")), "the first paragraph is one sentence"


def test_readme_lists_every_command() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [name for name in COMMANDS if f"| `{name}" not in readme] == []


def test_every_module_of_a_command_is_listed() -> None:
    modules = {file.stem for file in (ROOT / "reconciler/cli/commands").glob("*.py")} - {"__init__"}
    assert modules == {command.module for command in COMMANDS.values()}


def test_changelog_begins_with_the_version_of_the_project() -> None:
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest[1] == reconciler.__version__


def test_wheel_has_every_package_of_the_repository() -> None:
    packages = {str(file.parent.relative_to(ROOT)).replace("/", ".") for file in MODULES}
    assert packages | {"reconciler.schemas"} == set(PROJECT["tool"]["setuptools"]["packages"])


def test_relative_links_in_the_documents_lead_somewhere() -> None:
    lost = [
        f"{file.name}: {target}"
        for file in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))
        for target in re.findall(r"\]\(([^)#:]+)\)", file.read_text())
        if not (file.parent / target).exists()
    ]
    assert lost == []
