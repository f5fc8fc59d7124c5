"""Compose projects are read as Docker Compose reads them; its answers are data in tests/cases/compose/answers."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import compose_cases as known
import pytest

from reconciler.language.compose import env_file, interpolation, ports, project
from reconciler.language.compose.merge import names_of, texts_of
from reconciler.language.compose.node import Node, plain
from reconciler.model.errors import InputError
from reconciler.model.keys import NO_ORIGIN


def options(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    for names in (("-f",), ("--env-file",), ("--profile",)):
        parser.add_argument(*names, action="append", default=[])
    parser.add_argument("-p", default="")
    return parser.parse_args(words)


def read(case: known.Case, root: Path, monkeypatch: pytest.MonkeyPatch) -> project.Project:
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(case.stdin.encode())))
    given = options(case.arguments)
    return project.read(given.f, given.env_file, given.profile, given.p, case.environment)


@pytest.mark.parametrize("case", known.cases(), ids=lambda case: f"{case.topic}: {case.name}")
def test_project(case: known.Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compare(case, known.answers(case.topic)[case.name], case.write(tmp_path), monkeypatch)


def test_generated_projects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = known.generated()
    assert sum("answer" in said for _, said in pairs) > 150
    for case, said in pairs:
        (tmp_path / case.name).mkdir()
        compare(case, said, case.write(tmp_path / case.name), monkeypatch)


def compare(case: known.Case, said: Any, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "refused" in (case.ours or said):
        with pytest.raises(InputError) as refused:
            read(case, root, monkeypatch)
        assert (case.ours or {}).get("refused", "") in str(refused.value)
        assert all(problem.message for problem in refused.value.problems)
        return
    found = read(case, root, monkeypatch)
    assert as_compose(found) == {**said.get("answer", {}), **(case.ours or {})}
    unset = {problem.message.split()[2] for problem in found.warnings if "is not set" in problem.message}
    assert sorted(unset) == said.get("unset", [])


def as_compose(found: project.Project) -> dict[str, Any]:
    """The project as ``docker compose config`` prints it: implied networks, long forms, names of networks."""
    services = {name: _service(node) for name, node in entries(found.root.get("services")).items()}
    used = {name for service in services.values() for name in service.get("networks", ())}
    networks = {name: _network(found, name) for name in used}
    return known.reduced({"name": found.name, "services": services, "networks": networks})


def entries(node: Node | None) -> dict[str, Node]:
    return node.entries if node is not None else {}


def _network(found: project.Project, name: str) -> dict[str, Any]:
    network = plain(found.root.get("networks", name) or Node({}, NO_ORIGIN)) or {}
    implied = {"name": name if network.get("external") else f"{found.name}_{name}"}
    if "driver_opts" in network:
        network["driver_opts"] = {word: str(value) for word, value in network["driver_opts"].items()}
    return {word: value for word, value in (implied | network).items() if value is not False}


def _service(node: Node) -> dict[str, Any]:
    def texts(word: str) -> list[str]:
        return [item.value for item in texts_of(node.get(word) or Node([], NO_ORIGIN))]

    def names(word: str) -> dict[str, Any]:
        return {name: plain(entry) for name, entry in names_of(node.get(word) or Node({}, NO_ORIGIN)).items()}

    shared = str((plain(node) or {}).get("network_mode")).partition("service:")[2]
    needed = [*names("depends_on"), *(link.partition(":")[0] for link in texts("links")), *([shared] if shared else [])]
    long = {
        **{word: texts(word) for word in ("dns", "dns_search", "dns_opt")},
        "ports": [_port(plain(port)) for item in items(node, "ports") for port in ports.expanded(item)],
        "extra_hosts": sorted(_host(text) for text in texts("extra_hosts")),
        "sysctls": {text.partition("=")[0]: text.partition("=")[2] for text in texts("sysctls")},
        "depends_on": list(dict.fromkeys(needed)),
        "networks": (names("networks") or {"default": {}}) if node.get("network_mode") is None else {},
    }
    return (plain(node) or {}) | long


def _host(text: str) -> str:
    name, _, address = text.partition("=" if "=" in text else ":")
    return f"{name}={address.strip('[]')}"


def items(node: Node, word: str) -> list[Node]:
    found = node.get(word)
    return found.items if found is not None else []


def _port(port: Mapping[str, Any]) -> dict[str, Any]:
    whole = {"mode": "ingress", "protocol": "tcp", **port}
    return {word: str(value) if word == "published" else value for word, value in whole.items()}


# ------------------------------------------------------------------ generated texts


def test_expressions() -> None:
    pairs = known.kept("expressions")
    assert len(pairs) > 1000
    assert [(text, said, ours) for text, said in pairs if (ours := replaced(text)) != said] == []


def replaced(text: str) -> str | None:
    try:
        return interpolation.substitute(text, interpolation.Variables(known.VARIABLES.get, lambda name: None))
    except interpolation.Refused:
        return None


def test_env_files() -> None:
    pairs = known.kept("env_texts")
    assert len(pairs) > 900
    assert [(text, said, ours) for text, said in pairs if (ours := variables(text)) != said] == []


def variables(text: str) -> dict[str, str] | None:
    outer = {"SET": "value", "EMPTY": ""}
    try:
        found = {**env_file.read(".env", text, outer, lambda name, origin: None), **outer}
    except InputError:
        return None
    return {key: found[key] for key in ("A", "B", "C", "SET", "UNSET", "EMPTY") if key in found}
