"""A file of netrecon's own that cannot be understood counts as lost, is named, and stops no command."""

from __future__ import annotations

import json
import os
import pathlib
import stat
from typing import Any

import pytest
from command import Netrecon
from pretended.seam import Pretended

from reconciler.safety import records, state_dir, undo_log
from reconciler.safety.commit_confirmed import confirmation

TOPOLOGY: dict[str, Any] = {"sysctls": {"net.ipv4.ip_forward": 1}, "bridges": {"br0": {}}}
NONSENSE = {
    "empty": "",
    "deep": "[" * 200_000,
    "deep_mapping": '{"records":' * 100_000,
    "not_json": "{records: }",
    "a_list": "[]",
    "a_number": "7",
    "null": "null",
    "binary": "\0\x01\x02",
    "other_keys": '{"format": 2, "recordz": {}}',
    "records_in_a_list": '{"format": 2, "records": [1, 2]}',
    "key_of_one_part": '{"format": 2, "records": {"sysctl": ["0", "1"]}}',
    "unknown_kind": '{"format": 2, "records": {"spaceship/host/x": true}}',
    "impossible_scope": '{"format": 2, "records": {"sysctl/../net.ipv4.ip_forward": ["0", "1"]}}',
    "impossible_sysctl": '{"format": 2, "records": {"sysctl/host/net/../../kernel/x": ["0", "1"]}}',
    "impossible_sysctl_of_format_1": '{"format":1,"shared":[],"sysctls":{"sysctl/host/../../kernel/x":["1","1"]}}',
    "value_of_another_type": '{"format": 2, "records": {"sysctl/host/net.ipv4.ip_forward": 7}}',
    "huge_number": '{"format": 2, "records": {"reserved_ports/host/case": [[1e999, 2]]}}',
}


@pytest.mark.parametrize("text", NONSENSE.values(), ids=NONSENSE)
@pytest.mark.parametrize("name", ["case.json", "other.json", "confirmation", "snapshot"])
def test_nonsense_stops_nothing_and_is_named(name: str, text: str, pretended: Pretended, netrecon: Netrecon) -> None:
    netrecon("apply", TOPOLOGY)
    file = pathlib.Path(state_dir.FOLDER, name)
    named = 0
    for command in (["list"], ["check", TOPOLOGY], ["plan", TOPOLOGY], ["apply", TOPOLOGY], ["delete", TOPOLOGY]):
        file.write_text(text)
        told = netrecon(*command)
        assert "unforeseen" not in told
        assert told.count(f"netrecon: {file} cannot be read and counts as lost: ") <= 1
        named += str(file) in told
    assert named
    assert "br0" not in str(pretended.picture())


@pytest.mark.parametrize("name", ["case.json", "confirmation", "snapshot"])
@pytest.mark.usefixtures("pretended")
def test_what_is_no_file_is_not_read(name: str, netrecon: Netrecon) -> None:
    file = pathlib.Path(state_dir.FOLDER, name)
    file.parent.mkdir(exist_ok=True)
    command = "rollback" if name == "snapshot" else "list"
    for make in (os.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero"), lambda path: path.symlink_to(name)):
        make(file)
        assert f"{file} cannot be read and counts as lost" in netrecon(command, code=None)
        file.rmdir() if file.is_dir() and not file.is_symlink() else file.unlink()
    with file.open("wb") as huge:
        huge.truncate(1 << 40)
    assert "larger than any that netrecon writes" in netrecon(command, code=None)
    file.unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a device")
@pytest.mark.usefixtures("pretended")
def test_a_device_without_an_end_is_not_read(netrecon: Netrecon) -> None:
    file = pathlib.Path(state_dir.FOLDER, "case.json")
    file.parent.mkdir(exist_ok=True)
    os.mknod(file, stat.S_IFCHR | 0o600, os.makedev(1, 5))
    assert "it is no regular file" in netrecon("list")


@pytest.mark.usefixtures("pretended")
def test_the_note_is_not_in_the_json(netrecon: Netrecon, capsys: pytest.CaptureFixture[str]) -> None:
    pathlib.Path(state_dir.FOLDER).mkdir(exist_ok=True)
    pathlib.Path(state_dir.FOLDER, "x.json").write_text("[")
    from reconciler.cli import main

    assert main.main(["list", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["topologies"] == []
    assert "x.json" in err


@pytest.mark.usefixtures("pretended")
def test_what_is_not_there_is_not_told(netrecon: Netrecon) -> None:
    assert (records.load(), undo_log.read(), confirmation.read()) == ({}, None, None)
    assert "counts as lost" not in netrecon("list")


@pytest.mark.parametrize("data", [{"state": "dancing"}, {"deadline": "soon"}, {"topologies": 7}, {"previous": None}])
@pytest.mark.usefixtures("pretended")
def test_a_confirmation_that_cannot_be_is_lost(data: dict[str, Any], netrecon: Netrecon) -> None:
    made = confirmation.begin(["case"], 60.0)
    file = pathlib.Path(state_dir.FOLDER, confirmation.NAME)
    file.write_text(json.dumps({**json.loads(file.read_text()), **data}))
    assert confirmation.read() is None
    assert made.open
    assert "confirmation cannot be read" in netrecon("list")
