"""Each value of a Compose project has the place where it was written, and each mistake is told with its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli import main
from reconciler.language.compose import project
from reconciler.model.errors import InputError

FILES = {
    "compose.yaml": """\
include: [inner/compose.yaml]
x-common: &common {dns: 1.1.1.1}
services:
  web:
    extends: {file: lib.yaml, service: base}
    <<: *common
    networks: [front]
    ports:
      - "80:80"
networks: {front: {internal: true}}
""",
    "over.yaml": """\
services:
  web:
    ports: ["81:81"]
    networks: {front: {aliases: [w]}}
networks:
  front: {mtu: 1}
""",
    "lib.yaml": """\

services: {base: {hostname: h, ports: ["79:79"]}}
""",
    "inner/compose.yaml": """\
services:

  inner: {dns: [$D]}
""",
    "inner/.env": "D=9.9.9.9\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write(tmp_path, FILES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text(text)


def read(*files: str, **words: Any) -> project.Project:
    return project.read(files, environment={}, **words)


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (("services", "web"), "compose.yaml:4"),
        (("services", "web", "ports", 0), "lib.yaml:2"),
        (("services", "web", "ports", 1), "compose.yaml:9"),
        (("services", "web", "ports", 2), "over.yaml:3"),
        (("services", "web", "ports", 2, "target"), "over.yaml:3"),
        (("services", "web", "dns"), "compose.yaml:2"),
        (("services", "web", "hostname"), "lib.yaml:2"),
        (("services", "web", "networks", "front", "aliases", 0), "over.yaml:4"),
        (("services", "inner", "dns", 0), "inner/compose.yaml:3"),
        (("networks", "front", "internal"), "compose.yaml:10"),
        (("networks", "front", "mtu"), "over.yaml:6"),
        (("networks", "back"), "compose.yaml:10"),
        ((), "compose.yaml:1"),
    ],
)
def test_place(folder: Path, path: tuple[str | int, ...], place: str) -> None:
    found = read("compose.yaml", "over.yaml")
    assert str(found.place(path)) == place
    assert found.place(path).path == path
    assert found.file == "compose.yaml"


def problems(*files: str, **words: Any) -> list[str]:
    with pytest.raises(InputError) as refused:
        read(*files, **words)
    return [str(problem) for problem in refused.value.problems]


def test_all_mistakes_of_all_files_are_told(folder: Path) -> None:
    write(folder, {
        "a.yaml": "services:\n  web: {ports: ['${A:?give A}:80', '${B!}']}\n  app: {extends: nobody}\n",
        "b.yaml": "services:\n  web: {hostname: '${C?}'}\nnetworks: {n: {internal: maybe}}\n",
    })  # fmt: skip
    assert problems("a.yaml", "b.yaml") == [
        "a.yaml:2:17: services.web.ports[0]: the required variable A has no value: give A",
        'a.yaml:2:36: services.web.ports[1]: "${B!}" has no valid variable at "${B!}"; write $$ for a $',
        'a.yaml:3:9: services.app.extends: no service "nobody" to extend in a.yaml',
        "b.yaml:2:9: services.web.hostname: the required variable C has no value",
        'b.yaml:3:16: networks.n.internal: "maybe" is no boolean; write true or false',
    ]


def test_all_wrong_references_are_told(folder: Path) -> None:
    write(folder, {"a.yaml": "services:\n  a: {networks: [n], depends_on: [b]}\n  c: {network_mode: 'service:d'}\n"})
    assert problems("a.yaml") == [
        'a.yaml:2:18: services.a.networks[0]: service a is on the network "n", which is not declared',
        'a.yaml:2:35: services.a.depends_on[0]: service a needs the service "b", which is not declared',
        'a.yaml:3:7: services.c.network_mode: service c needs the service "d", which is not declared',
    ]


def test_a_file_that_is_not_there_is_told_where_it_is_named(folder: Path) -> None:
    write(folder, {
        "a.yaml": "services:\n  a: {extends: {file: gone.yaml, service: b}}\n",
        "b.yaml": "include:\n  - gone/compose.yaml\n",
        "c.yaml": "include:\n  - {path: a.yaml, env_file: gone.env}\n",
    })  # fmt: skip
    assert problems("a.yaml") == ["a.yaml:2:17: services.a.extends.file: gone.yaml: no such file; check the name"]
    assert problems("b.yaml") == ["b.yaml:2:5: include[0]: gone/compose.yaml: no such file; check the name"]
    assert problems("c.yaml") == ["c.yaml:2:5: include[0]: gone.env: no such file; check the name"]


def test_a_mistake_in_an_env_file_has_its_line(folder: Path) -> None:
    write(folder, {"a.yaml": "services: {}\n", "a.env": 'A=1\nB="2\n', "b.env": "A=1\n\nB C=2\n"})
    for file, problem in (
        ("a.env", 'a.env:2:3: a value begins with " and does not end with one; add it'),
        ("b.env", 'b.env:3:1: "B C" is not the name of a variable; write NAME=VALUE'),
    ):
        assert problems("a.yaml", env_files=[file]) == [problem]


def test_warnings_name_the_variable_and_its_place(folder: Path) -> None:
    write(folder, {"a.yaml": "services:\n  a: {hostname: $A, dns: ['${B}', '${B:-x}']}\n"})
    assert [str(warning) for warning in read("a.yaml").warnings] == [
        "a.yaml:2:7: services.a.hostname: the variable A is not set; it is taken as an empty text",
        "a.yaml:2:27: services.a.dns[0]: the variable B is not set; it is taken as an empty text",
    ]


# ------------------------------------------------------------------ the command


def test_the_command_takes_files_before_and_after_its_options(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPOSE_PROFILES", "no")
    write(folder, {
        "a.yaml": "name: shop\nservices:\n  a: {ports: ['$P:80']}\n  b: {profiles: [p]}\n",
        "b.yaml": "services: {a: {ports: ['${Q}1:81']}}\n",
        "a.env": "P=8080",
    })  # fmt: skip
    for words in (
        ["-f", "a.yaml", "--profile", "p", "b.yaml", "--env-file", "a.env"],
        ["a.yaml", "--profile=p", "--env-file=a.env", "b.yaml"],
        ["--env-file", "a.env", "--profile", "p", "a.yaml", "b.yaml"],
    ):
        assert main.main(["import", "compose", *words]) == 0
        out, err = capsys.readouterr()
        assert "name: shop\n" in out
        assert "publish: ['8080:80', '1:81']" in out
        assert "  shop-b: {endpoints: " in out
        assert "b.yaml:1:24: services.a.ports[0]: the variable Q is not set; it is taken as an empty text" in err


def test_json_has_the_warnings(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, {"a.yaml": "services: {a: {dns: $NOT_SET_HERE}}\n"})
    assert main.main(["import", "compose", "--json", "-p", "mine", "a.yaml"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["topology"]["name"] == "mine"
    assert [warning["line"] for warning in found["warnings"]] == [1]


def test_a_required_variable_ends_with_1_and_its_text(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, {"a.yaml": "services: {a: {dns: '${NOT_SET_HERE:?set it}'}}\n"})
    assert main.main(["import", "compose", "a.yaml"]) == 1
    assert (
        "a.yaml:1:16: services.a.dns: the required variable NOT_SET_HERE has no value: set it"
        in capsys.readouterr().err
    )


def test_without_a_file_it_says_how_to_name_one(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COMPOSE_FILE", raising=False)
    assert main.main(["import", "compose"]) == 1
    assert "write -f FILE" in capsys.readouterr().err
