"""Compose files that are made to break a reader end in an error for people, and soon."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from reconciler.language.compose import project
from reconciler.model.errors import InputError

LAUGHS = "x-0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"x-{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 7)
)
NESTED = "services: {a: {hostname: '" + "${A:-" * 500 + "x" + "}" * 500 + "'}}\n"
CHAIN = "services:\n  s0: {}\n" + "".join(f"  s{n}: {{extends: s{n - 1}}}\n" for n in range(1, 200))
DOUBLING = {**{f"{n}.yaml": f"include: [{n + 1}.yaml, {n + 1}.yaml]\n" for n in range(40)}, "40.yaml": "services: {}\n"}
DEPENDING = "services:\n" + "".join(f"  s{n}: {{depends_on: [s{(n + 1) % 3000}]}}\n" for n in range(3000))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"compose.yaml": LAUGHS + "services: {}\n"}, "by alias"),
        ({"compose.yaml": "a: &a [*a]\n"}, "within its own anchor"),
        ({"compose.yaml": "a: " + "[" * 1000 + "]" * 1000}, "levels deep"),
        ({"compose.yaml": NESTED}, "nested more than 100 levels"),
        ({"compose.yaml": CHAIN}, "more than 50 services extend one another"),
        ({"compose.yaml": DEPENDING}, "in a circle"),
        ({f"{n}.yaml": f"include: [{n + 1}.yaml]\n" for n in range(200)}, "more than 50 files include one another"),
        (DOUBLING, "more than 1000 files"),
        ({"compose.yaml": "services: {a: {extends: {file: ../../..//etc/passwd, service: a}}}\n"}, "passwd"),
        ({"compose.yaml": "services: {a: {extends: {file: /dev/zero, service: a}}}\n"}, "a device"),
        ({"compose.yaml": "include: [https://example.com/compose.yaml]\n"}, "lies elsewhere"),
        ({"compose.yaml": "include: [git@example.com:a/b.git]\n"}, "lies elsewhere"),
        ({"compose.yaml": "include: [{env_file: a}]\n"}, "include takes a file"),
        ({"compose.yaml": "include: [{path: [1]}]\n"}, "include takes a file"),
        ({"compose.yaml": "include: [[a]]\n"}, "include takes a file"),
        ({"compose.yaml": "include: [{path: compose.yaml, env_file: /etc}]\n"}, "in a circle"),
        ({"compose.yaml": "services: {a: {extends: [b]}}\n"}, "extends takes the name of a service"),
        ({"compose.yaml": "services: {a: {extends: {file: [b], service: a}}}\n"}, "not the name of a file"),
        ({"compose.yaml": "services: {a: {extends: {file: x.yaml}}}\n"}, "extends takes the name of a service"),
        ({"compose.yaml": "services: !reset {}\n"}, "no Compose file"),
        ({"compose.yaml": "services: !other {}\n"}, "not known here"),
        ({"compose.yaml": "services: {a: {}}\n", ".env": "A=\0\n${"}, "A"),
        ({"compose.yaml": "services: {'${A}': {}}\n"}, "is no name"),
        ({"compose.yaml": "\0"}, "may not stand in YAML"),
        ({"compose.yaml": "--- []\n--- {}\n"}, "not a mapping"),
        ({"compose.yaml": "version: '3'\n"}, "it has no services"),
        ({"compose.yaml": "web:\n  image: x\n"}, "put web and the others under services"),
    ],
)
def test_hostile_files(files: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in files.items():
        Path(name).write_text(text)
    begun = time.process_time()
    with pytest.raises(InputError) as refused:
        project.read([next(iter(files))], environment={})
    assert said in str(refused.value)
    assert time.process_time() - begun < 10


def test_env_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("compose.yaml").write_text("services: {a: {}}\n")
    Path("latin.env").write_bytes(b"A=\xe9\n")
    os.mkfifo("fifo.env")
    for name, said in (("latin.env", "not UTF-8"), ("fifo.env", "a FIFO"), (".", "a folder"), ("gone.env", "no such")):
        with pytest.raises(InputError, match=said):
            project.read(["compose.yaml"], [name], environment={})
    assert project.read(["compose.yaml"], ["/dev/null"], environment={}).name
    Path(".env").mkdir()
    assert project.read(["compose.yaml"], environment={}).name


def test_a_folder_called_as_the_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a folder"):
        project.read([str(tmp_path)], environment={})


def test_many_services_extend_one_of_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    many = "".join(f"  s{n}: {{extends: {{file: lib.yaml, service: base}}}}\n" for n in range(2000))
    Path("compose.yaml").write_text(f"services:\n{many}")
    Path("lib.yaml").write_text("services: {base: {ports: ['80']}}\n")
    assert len(project.read(["compose.yaml"], environment={}).data["services"]) == 2000
