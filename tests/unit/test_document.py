"""YAML text in, plain data with places out; every limit and every oddity of the language's YAML."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from counting import calls
from hypothesis import given
from hypothesis import strategies as st

from reconciler.language import document, sources, yaml_events
from reconciler.language.document import Document, load
from reconciler.model.errors import InputError
from reconciler.model.quoting import dotted

HEAD = "version: 1\nname: lab\n"


def data_of(text: str) -> Any:
    return load("lab.yaml", text.encode()).data


def refusal(data: bytes | str) -> str:
    with pytest.raises(InputError) as raised:
        load("lab.yaml", data.encode() if isinstance(data, str) else data)
    return str(raised.value)


@pytest.fixture(params=["libyaml", "pure"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "pure":
        monkeypatch.setitem(sys.modules, "yaml._yaml", None)
    return str(request.param)


# ------------------------------------------------------------------------------------------------ scalars


@pytest.mark.parametrize(
    "text",
    [
        "22:22", "no", "yes", "on", "off", "Yes", "NO", "n", "y", "truE", "nUll", "0x1f", "0o17", "010", "-010", "+5",
        "1_000", "1.5", "1e3", ".5", ".inf", ".nan", "2001-01-01", "12:34:56:12:34:56", "fd00::1", "172.16.0.1/24",
    ],
)  # fmt: skip
def test_unquoted_text_comes_through_as_written(text: str, parser: str) -> None:
    assert data_of(f"a: {text}") == {"a": text}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True), ("True", True), ("FALSE", False), ("null", None), ("~", None), ("", None),
        ("0", 0), ("-0", 0), ("-7", -7), ("1500", 1500), ("4294967295", 4294967295),
        ('"1500"', "1500"), ("'true'", "true"), ('""', ""), ("!!str 5", "5"), ("! 5", "5"), ("!!int 5", 5),
        ("!!bool true", True), ("!!null ~", None), ("!!map {}", {}), ("!!seq []", []), ("|\n  5", "5"),
    ],
)  # fmt: skip
def test_scalars(text: str, value: object, parser: str) -> None:
    read = data_of(f"a: {text}")["a"]
    assert read == value
    assert type(read) is type(value)


def test_an_integer_too_long_for_int_stays_text() -> None:
    digits = "9" * 5000
    assert data_of(f"a: {digits}") == {"a": digits}


def test_keys_are_text_as_written(parser: str) -> None:
    assert list(data_of("no: 1\nnull: 1\n123: 1\n22:22: 1\n~: 1\n1.50: 1\n!!str 7: 1\n")) == [
        "no", "null", "123", "22:22", "~", "1.50", "7",
    ]  # fmt: skip


def test_byte_order_mark_is_skipped() -> None:
    assert load("lab.yaml", b"\xef\xbb\xbfa: 1").place(("a",))[1:3] == (1, 1)


# ------------------------------------------------------------------------------------------------ aliases


def test_an_alias_stands_for_its_anchor(parser: str) -> None:
    assert data_of("a: &x {b: [1]}\nc: *x\nd: &y web\n*y : 2\n") == {
        "a": {"b": [1]}, "c": {"b": [1]}, "d": "web", "web": 2,
    }  # fmt: skip


def test_merged_keys_yield_to_written_ones(parser: str) -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*a, *b], x: 3}\nd: {x: 4, <<: *b}\n"
    data = data_of(text)
    assert data["c"] == {"x": 3, "y": 1, "z": 2}
    assert data["d"] == {"x": 4, "y": 2, "z": 2}


def test_a_quoted_merge_key_is_a_plain_key() -> None:
    assert data_of('a: {"<<": 1}') == {"a": {"<<": 1}}


def test_a_merged_entry_has_the_place_where_it_is_written() -> None:
    found = load("lab.yaml", b"a: &a\n  x: 1\nb:\n  <<: *a\n")
    assert found.place(("b", "x"))[1:] == (2, 3, ("b", "x"))


def test_a_billion_laughs_end_at_once() -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    text = "\n".join(rows)
    assert calls(refusal, text) < 100_000
    assert "aliases expand to more than 1000000 nodes" in refusal(text)


# ------------------------------------------------------------------------------------------------ places


def test_places() -> None:
    text = HEAD + "bridges:\n  test0:\n    mtu: 1400\nport_maps:\n  - a\n  -   {listen: 80}\n"
    found = load("lab.yaml", text.encode())
    assert found.place(("bridges", "test0", "mtu")) == ("lab.yaml", 5, 5, ("bridges", "test0", "mtu"))
    assert found.place(("port_maps", 1)) == ("lab.yaml", 8, 7, ("port_maps", 1))
    assert found.place(("port_maps", 1, "listen"))[1:3] == (8, 8)
    assert found.place(("port_maps", 0, "x"))[1:3] == (7, 5)
    assert found.place(("bridges", "test9", "mtu"))[1:3] == (3, 1)
    assert found.place(()) == ("lab.yaml", 1, 1, ())


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("sysctls", "net.ipv4.ip_forward"), "sysctls.net.ipv4.ip_forward"),
        (("a b",), '"a b"'),
        (("bridges", ".."), 'bridges.".."'),
        (("a\nb", 0), '"a\\nb"[0]'),
        (("",), '""'),
        (("x", "\u2028"), 'x."\\u2028"'),
    ],
)
def test_dotted_paths(path: document.Path, text: str) -> None:
    assert dotted(path) == text


# ------------------------------------------------------------------------------------------------ refusals


def test_not_utf8() -> None:
    assert refusal(b"a: 1\nb: \xff") == ("lab.yaml:2:4: not UTF-8: byte 0xff at offset 8; save the file as UTF-8")
    assert "not UTF-8: byte 0xff at offset 0" in refusal("a: 1".encode("utf-16"))


@pytest.mark.parametrize("character", "\0\x07\x1b\x7f\x9b\ufffe")
def test_control_characters(character: str) -> None:
    message = refusal(f"a: 1\nb: x{character}")
    assert message.startswith(f"lab.yaml:2:5: character U+{ord(character):04X} may not stand in YAML")


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "---\n", "\ufeff", "~", "null"])
def test_empty(text: str, parser: str) -> None:
    assert "the file is empty; a topology starts with version: 1" in refusal(text)


def test_depth(parser: str) -> None:
    assert data_of("a: " + "[" * 63 + "]" * 63)
    assert "more than 64 levels" in refusal("a: " + "[" * 64 + "]" * 64)
    assert "more than 64 levels" in refusal("[" * 1_000_000)


def test_too_big() -> None:
    message = "lab.yaml: larger than 16 MiB; split the topology into several files"
    assert refusal(b"#" * (document.MAX_BYTES + 1)) == message


@pytest.mark.parametrize("item", ["x,", "[],"])
def test_more_than_anyone_writes(item: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_events, "MAX_NODES", 1_000)
    assert data_of("a: [" + item * 997 + "]")
    assert "more than 1000 keys and values" in refusal("a: [" + item * 998 + "]")


def test_problems_end_somewhere() -> None:
    with pytest.raises(InputError) as raised:
        load("lab.yaml", b"a: 1\n" * 20_000)
    assert len(raised.value.problems) == document.MAX_PROBLEMS + 1


@pytest.mark.parametrize("text", ["a: b: c", "a: [1", 'a: "\\q"', "a: *x", "a: @", "%a\n--- x", "a:\n\t- b"])
def test_every_refusal_is_one_line_with_a_place(text: str, parser: str) -> None:
    message = refusal(text)
    assert re.match(r"lab\.yaml:[12]:\d+: ", message)
    assert len(message.splitlines()) == 1


def test_an_escape_that_is_no_character_is_refused_by_both_parsers(parser: str) -> None:
    assert "not YAML" in refusal('a: "\\UFFFFFFFF"')
    assert "not YAML" in refusal('a: "\\ud800"')


@given(st.one_of(st.binary(), st.text().map(str.encode), st.text("a:-[]{}&*!<>|\"'?, \n\t#%@1~").map(str.encode)))
def test_any_bytes_give_data_or_problems(data: bytes) -> None:
    problems = []
    try:
        assert isinstance(load("lab.yaml", data).data, dict)
    except InputError as error:
        problems = error.problems
    assert all(len(str(problem).splitlines()) == 1 for problem in problems)


plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.text("abc019 :no_.-~", max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text("ab1 :", min_size=1), inner)),
    max_leaves=30,
)


@given(st.dictionaries(st.text("abn0"), plain))
def test_what_yaml_writes_is_read_back(data: dict[str, Any]) -> None:
    assert data_of(yaml.safe_dump(data)) == data


# ------------------------------------------------------------------------------------------------ cost


def many_port_maps(count: int) -> bytes:
    entry = '  - {{listen: "10.0.{0}.{1}:{2}", target: "172.16.{0}.{1}:{2}", protocol: tcp}}\n'
    rows = (entry.format(n // 250, n % 250, 1024 + n) for n in range(count))
    return (HEAD + "port_maps:\n" + "".join(rows)).encode()


def test_four_times_as_many_port_maps_are_four_times_the_work() -> None:
    few, many = (calls(load, "lab.yaml", many_port_maps(count)) for count in (500, 2_000))
    assert many < 4.5 * few
    found = load("lab.yaml", many_port_maps(10_000))
    assert found.place(("port_maps", 9_999, "target"))[1] == 10_003


def test_loading_imports_nothing_heavy() -> None:
    code = "import sys, reconciler.language.document, reconciler.language.schema; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"jsonschema", "jsonschema_rs", "deepdiff", "rich", "pyroute2"} & set(done.stdout.split())


# ------------------------------------------------------------------------------------------------ sources


def source_refusal(path: str) -> str:
    with pytest.raises(InputError) as raised:
        document.read(path)
    assert len(raised.value.problems) == 1
    return str(raised.value)


def test_read_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"a: 1")
    assert document.read(str(tmp_path / "a.yaml")) == b"a: 1"


def test_read_refuses_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert "fifo: a FIFO, not a file" in source_refusal(str(tmp_path / "fifo"))
    assert source_refusal("/dev/zero").startswith("/dev/zero: a device, not a file; name a regular file")
    assert "a folder, not a file" in source_refusal(str(tmp_path))
    assert "none.yaml: no such file; check the name" in source_refusal(str(tmp_path / "none.yaml"))
    assert "cannot be read: Not a directory" in source_refusal("/dev/null/x")
    assert "cannot be read" in source_refusal("a\0b")
    (tmp_path / "loop").symlink_to("loop")
    assert "Too many levels" in source_refusal(str(tmp_path / "loop"))


def test_read_refuses_what_may_not_be_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"")

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)  # root may read everything
    assert "permission denied" in source_refusal(str(tmp_path / "a.yaml"))


def test_read_refuses_a_big_file_unread(tmp_path: Path) -> None:
    with open(tmp_path / "big.yaml", "wb") as file:
        file.truncate(50 * 1024 * 1024)
    assert "larger than 16 MiB" in source_refusal(str(tmp_path / "big.yaml"))


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"a: 1")))
    assert document.read("-") == b"a: 1"
    monkeypatch.setattr(sys, "stdin", None)
    assert "standard input is closed" in source_refusal("-")


def test_endless_standard_input_is_refused() -> None:
    code = "from reconciler.language import document; document.read('-')"
    with open("/dev/zero", "rb") as zero:
        done = subprocess.run([sys.executable, "-c", code], stdin=zero, capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines()[-1].endswith("larger than 16 MiB; split the topology into several files")


def test_expand(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yml", "c.txt", ".hidden.yaml"):
        (tmp_path / name).touch()
    (tmp_path / "sub.yaml").mkdir()
    folder, a, b = str(tmp_path), str(tmp_path / "a.yml"), str(tmp_path / "b.yaml")
    assert document.expand([folder]) == [a, b]
    assert document.expand(["-", b, folder, "-", str(tmp_path / "." / "b.yaml"), "none"]) == ["-", b, a, "none"]
    assert document.expand([]) == []


def test_expand_names_every_folder_without_a_topology(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    with pytest.raises(InputError) as raised:
        sources.expand([str(tmp_path / "x"), str(tmp_path / "y")])
    assert [problem.message for problem in raised.value.problems] == [
        "this folder holds no topology; put a *.yaml or *.yml file there, or name the files"
    ] * 2


def test_a_document_is_plain_data() -> None:
    found = load("lab.yaml", HEAD.encode())
    assert isinstance(found, Document)
    assert type(found.data) is dict
