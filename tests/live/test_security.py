"""What others planted is not followed, and names that they chose reach no terminal as they are."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
from typing import Any

import pytest
from throwaway import sh

from reconciler.cli import main

pytestmark = pytest.mark.live
TOPOLOGY: dict[str, Any] = {
    "version": 1,
    "name": "safe",
    "bridges": {"br0": {}},
    "sysctls": {"net.ipv4.ip_forward": 1},
    "namespaces": {"blue": {"dns": {"nameservers": ["10.0.0.53"]}, "hosts": {"db": "10.0.0.7"}}},
}


@pytest.fixture
def file(tmp_path: pathlib.Path) -> str:
    path = tmp_path / "safe.yaml"
    path.write_text(json.dumps(TOPOLOGY))
    return str(path)


def test_files_have_safe_modes_whatever_the_umask(file: str) -> None:
    before = os.umask(0)
    try:
        assert main.main(["apply", "-q", file]) == 0
    finally:
        os.umask(before)
    for folder in ("/run/netrecon", "/etc/netns"):
        for path in pathlib.Path(folder).rglob("*"):
            assert path.stat().st_mode & 0o022 == 0, f"{path} can be written by others: {path.stat().st_mode:o}"


@pytest.mark.parametrize("planted", ["/run/netrecon/lock", "/run/netrecon/safe.json", "/run/netrecon/snapshot"])
def test_a_planted_link_is_not_followed(planted: str, file: str, tmp_path: pathlib.Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    os.symlink(victim, planted)
    main.main(["apply", "-q", file])
    assert victim.read_text() == "mine"


def test_a_planted_link_in_a_namespaces_folder_is_replaced(file: str, tmp_path: pathlib.Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    sh(f"mkdir -p /etc/netns/blue; ln -s {victim} /etc/netns/blue/.hosts.netrecon")
    assert main.main(["apply", "-q", file]) == 0
    assert victim.read_text() == "mine"
    sh(f"rm -r /etc/netns/blue; mkdir {tmp_path}/elsewhere; ln -s {tmp_path}/elsewhere /etc/netns/blue")
    main.main(["apply", "-q", file])
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_folder_of_somebody_else_is_refused(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    sh("chown 12345 /run/netrecon")
    assert main.main(["apply", file]) == 1
    assert "/run/netrecon" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["chmod 777 /run/netrecon", "mount -t tmpfs none /run/netrecon"])
def test_a_folder_open_to_all_is_closed_and_what_others_put_there_goes(command: str, file: str) -> None:
    sh(f"{command}; touch /run/netrecon/lock /run/netrecon/mine.json; chown 12345 /run/netrecon/*")
    sh("touch /run/netrecon/ours")
    assert main.main(["apply", "-q", file]) == 0
    assert sh("stat -c %a:%u /run/netrecon /run/netrecon/lock").split() == ["755:0", "644:0"]
    assert not os.path.exists("/run/netrecon/mine.json")
    assert os.path.exists("/run/netrecon/ours")


def test_names_from_the_kernel_bring_no_control_characters(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["apply", "-q", file]) == 0
    for name in (b"evil\x1b[31m", b"csi\xc2\x9b31m", b"line\x07bell"):
        subprocess.run([b"ip", b"-n", b"blue", b"link", b"add", name, b"type", b"bridge"], check=True)
        subprocess.run([b"ip", b"-n", b"blue", b"link", b"set", name, b"alias", b"a\x1b]0;title\x07"], check=True)
    capsys.readouterr()
    for arguments in (["check", "-v"], ["plan", "--json"], ["apply", "--json"]):
        main.main([*arguments, file])
        out, err = capsys.readouterr()
        assert not [c for c in out + err if not c.isprintable() and c != "\n"]
        if "--json" in arguments:
            assert len(json.loads(out).get("changes", ())) == 3, out
    assert main.main(["check", file]) == 0
