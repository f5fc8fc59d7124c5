"""Files under /run/netrecon: written whole, lost without harm."""

import json
import os
import pathlib

import pytest

from reconciler.model.errors import KernelError, LockHeld
from reconciler.model.keys import Key
from reconciler.safety import lock, records, state_dir

FORWARD = Key("sysctl", "host", "net.ipv4.ip_forward")
RESERVED = Key("reserved_ports", "host", "lab")
ROUTE = Key("route", "host", "main/10.0.0.0/8 metric 5")


@pytest.fixture(autouse=True)
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setattr(state_dir, "FOLDER", str(tmp_path / "netrecon"))
    return tmp_path / "netrecon"


def test_what_was_saved_is_loaded() -> None:
    record = {ROUTE: True, FORWARD: ("0", "1"), RESERVED: ((1024, 1024), (40000, 40002))}
    records.save("lab", record)
    assert records.load() == {"lab": record}


def test_a_record_of_an_older_version_is_understood(folder: pathlib.Path) -> None:
    folder.mkdir()
    sysctls = '{"sysctl/host/net.ipv4.ip_forward": ["0", "1"]}'
    (folder / "lab.json").write_text(f'{{"format": 1, "shared": [], "sysctls": {sysctls}}}')
    assert records.load() == {"lab": {FORWARD: ("0", "1")}}


def test_a_record_of_the_version_before_is_understood(folder: pathlib.Path) -> None:
    folder.mkdir()
    plain = {
        "format": 1,
        "shared": [str(ROUTE)],
        "sysctls": {str(FORWARD): ["0", "1"]},
        "reserved": {str(RESERVED): "1024,40000-40002"},
    }
    (folder / "lab.json").write_text(json.dumps(plain))
    assert records.load() == {"lab": {ROUTE: True, FORWARD: ("0", "1"), RESERVED: ((1024, 1024), (40000, 40002))}}


def test_empty_record_leaves_no_file(folder: pathlib.Path) -> None:
    records.save("lab", {ROUTE: True})
    records.save("lab", {})
    assert os.listdir(folder) == []


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", '{"shared": 1}', '{"shared": ["x"], "sysctls": {}}', "\x00"),
        *('{"records": 1}', '{"records": {"x": true}}', '{"records": {"unheard/of/kind": true}}'),
        *('{"records": {"sysctl/host/a": "0"}}', '{"records": {"reserved_ports/host/a": ["x"]}}'),
    ],
)
def test_file_that_makes_no_sense_counts_as_lost(folder: pathlib.Path, text: str) -> None:
    folder.mkdir()
    (folder / "lab.json").write_text(text)
    assert records.load() == {}


def test_planted_link_is_not_followed(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    folder.mkdir()
    (folder / "lab.json").symlink_to(victim)
    records.save("lab", {ROUTE: True})
    assert victim.read_text() == "mine"
    assert records.load() == {"lab": {ROUTE: True}}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a file is given away")
def test_what_somebody_else_put_there_is_not_read(folder: pathlib.Path) -> None:
    records.save("lab", {ROUTE: True})
    os.chown(folder / "lab.json", 12345, 12345)
    assert records.load() == {}


def test_sysctl_that_another_topology_holds_is_that_one_s() -> None:
    known = {"a": {FORWARD: ("0", "1")}, "b": {FORWARD: ("0", "1")}}
    assert records.memory(known, {"a"})["host"][FORWARD].topology == "b"
    assert records.memory(known, {"b"})["host"][FORWARD].topology == "a"


def test_folder_that_cannot_be_made_is_said_in_words(folder: pathlib.Path) -> None:
    folder.write_text("a file")
    with pytest.raises(KernelError, match=r"write .*lab"):
        records.save("lab", {ROUTE: True})


def test_second_run_is_told_the_holder_s_pid() -> None:
    with lock.held(0), pytest.raises(LockHeld) as caught, lock.held(0.1):
        pass
    assert caught.value.pid == os.getpid()
    with lock.held(0):
        pass


def test_of_an_interface_each_topology_holds_what_no_other_sets() -> None:
    key = Key("interface", "host", "eth0")
    known = {"a": {key: {"mtu": (1500, 1400), "up": (False, True)}}, "b": {key: {"mtu": (1500, 1400)}}}
    assert records.memory(known, {"a"})["host"][key] == ("a", {"up": (False, True)})
    assert records.memory(known, {"b"})["host"][key] == ("b", {})
    assert records.memory(known, {"a", "b"})["host"][key] == ("a", {"mtu": (1500, 1400), "up": (False, True)})
