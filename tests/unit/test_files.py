"""DNS files are written atomically, never through a symlink, and the host's own lines stay."""

from __future__ import annotations

import errno
import os
import pathlib
import stat
from collections.abc import Callable

import pytest

from reconciler.kernel.proc import dns_files
from reconciler.model.errors import KernelError

BLOCK = "# BEGIN netrecon:lab\n10.0.0.7 db\n# END netrecon:lab\n"


@pytest.fixture
def etc(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setattr(dns_files, "ETC", str(tmp_path))
    return tmp_path


def test_a_namespaces_file_comes_and_goes_with_its_folder(etc: pathlib.Path) -> None:
    umask = os.umask(0o077)
    try:
        dns_files.write_file("blue", "hosts", "10.0.0.7 db\n", "lab")
    finally:
        os.umask(umask)
    assert dns_files.scopes() == ["blue"]
    assert dns_files.read_file("blue", "hosts") == "10.0.0.7 db\n"
    assert stat.S_IMODE((etc / "netns/blue/hosts").stat().st_mode) == 0o644
    assert os.listdir(etc / "netns/blue") == ["hosts"]
    dns_files.write_file("blue", "hosts", None, "lab")
    assert os.listdir(etc) == []
    dns_files.write_file("blue", "hosts", None, "lab")
    assert dns_files.read_file("blue", "hosts") is None
    assert dns_files.scopes() == []


def test_a_folder_with_something_else_in_it_stays(etc: pathlib.Path) -> None:
    dns_files.write_file("blue", "hosts", "x\n", "lab")
    (etc / "netns/blue/other").touch()
    dns_files.write_file("blue", "hosts", None, "lab")
    assert os.listdir(etc / "netns/blue") == ["other"]


def test_a_symlink_is_replaced_and_not_followed(etc: pathlib.Path) -> None:
    (etc / "netns/blue").mkdir(parents=True)
    (etc / "precious").write_text("mine")
    (etc / "netns/blue/hosts").symlink_to(etc / "precious")
    (etc / "netns/blue/.hosts.netrecon").symlink_to(etc / "precious")
    dns_files.write_file("blue", "hosts", "x\n", "lab")
    assert (etc / "precious").read_text() == "mine"
    assert not (etc / "netns/blue/hosts").is_symlink()


def test_a_symlink_in_the_folders_place_is_refused(etc: pathlib.Path) -> None:
    (etc / "elsewhere").mkdir()
    (etc / "netns").mkdir()
    (etc / "netns/blue").symlink_to(etc / "elsewhere")
    with pytest.raises(KernelError):
        dns_files.write_file("blue", "hosts", "x\n", "lab")
    assert os.listdir(etc / "elsewhere") == []


@pytest.mark.parametrize(("scope", "name"), [("..", "hosts"), ("a/b", "hosts"), ("blue", "passwd"), ("host", "../x")])
def test_names_that_lead_elsewhere_are_refused(etc: pathlib.Path, scope: str, name: str) -> None:
    with pytest.raises(KernelError):
        dns_files.write_file(scope, name, "x", "lab")
    with pytest.raises(KernelError):
        dns_files.read_file(scope, name)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", BLOCK),
        ("1 a\n", "1 a\n" + BLOCK),
        ("1 a", "1 a\n" + BLOCK),
        ("1 a\n# BEGIN netrecon:lab\nold\n# END netrecon:lab\n2 b\n", "1 a\n" + BLOCK + "2 b\n"),
        ("# BEGIN netrecon:lab\n1 a\n", BLOCK + "1 a\n"),
        ("1 a\n# END netrecon:lab\n", "1 a\n" + BLOCK),
        ("# BEGIN netrecon:lab\n1 a\n# BEGIN netrecon:lab\nold\n# END netrecon:lab\n", BLOCK + "1 a\n"),
        ("# BEGIN netrecon:lab2\nx\n# END netrecon:lab2\n", "# BEGIN netrecon:lab2\nx\n# END netrecon:lab2\n" + BLOCK),
        ("1 a\r\n2 b\r\n", "1 a\r\n2 b\r\n" + BLOCK),
        (
            "# BEGIN netrecon:lab\na\n# END netrecon:lab\n1\n# BEGIN netrecon:lab\nb\n# END netrecon:lab\n",
            BLOCK + "1\n",
        ),
    ],
)
def test_a_block_is_put_in_its_place(before: str, after: str) -> None:
    assert dns_files.with_block(before, BLOCK, "lab") == after
    assert dns_files.with_block(after, BLOCK, "lab") == after
    assert "netrecon:lab\n" not in dns_files.with_block(after, None, "lab")


def test_the_hosts_own_file_keeps_its_lines_mode_and_owner(etc: pathlib.Path) -> None:
    path = etc / "hosts"
    path.write_bytes(b"127.0.0.1 localhost\n\xff\n")
    path.chmod(0o640)
    owner = (path.stat().st_uid, path.stat().st_gid)
    dns_files.write_file("host", "hosts", BLOCK, "lab")
    assert path.read_bytes() == b"127.0.0.1 localhost\n\xff\n" + BLOCK.encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert (path.stat().st_uid, path.stat().st_gid) == owner
    before = path.stat()
    dns_files.write_file("host", "hosts", BLOCK, "lab")
    assert path.stat().st_ino == before.st_ino
    dns_files.write_file("host", "hosts", None, "lab")
    assert path.read_bytes() == b"127.0.0.1 localhost\n\xff\n"


def test_a_host_file_that_is_not_there(etc: pathlib.Path) -> None:
    dns_files.write_file("host", "hosts", None, "lab")
    assert os.listdir(etc) == []
    dns_files.write_file("host", "hosts", BLOCK, "lab")
    assert (etc / "hosts").read_text() == BLOCK


def test_a_host_file_that_is_a_symlink_names_its_owner(etc: pathlib.Path) -> None:
    (etc / "resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    with pytest.raises(KernelError, match="systemd-resolved manages it"):
        dns_files.write_file("host", "resolv.conf", BLOCK, "lab")


def test_a_bind_mounted_file_is_rewritten_in_place(etc: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = etc / "hosts"
    path.write_text("127.0.0.1 localhost\n")
    inode = path.stat().st_ino

    def busy(*_: object, **__: object) -> None:
        raise OSError(errno.EBUSY, "busy")

    monkeypatch.setattr(os, "rename", busy)
    dns_files.write_file("host", "hosts", BLOCK, "lab")
    assert path.read_text() == "127.0.0.1 localhost\n" + BLOCK
    assert path.stat().st_ino == inode
    assert os.listdir(etc) == ["hosts"]


def test_what_is_no_regular_file_holds_nobody_up(etc: pathlib.Path) -> None:
    (etc / "netns").mkdir()
    (etc / "netns/loop").symlink_to("loop")
    for name in ("pipe", "folder", "ring", "zeros"):
        (etc / "netns" / name).mkdir()
    os.mkfifo(etc / "netns/pipe/hosts")
    (etc / "netns/folder/hosts").mkdir()
    (etc / "netns/ring/hosts").symlink_to("hosts")
    (etc / "netns/zeros/hosts").symlink_to("/dev/zero")
    assert {name: dns_files.read_file(name, "hosts") for name in dns_files.scopes()} == dict.fromkeys(
        dns_files.scopes(), ""
    )
    assert dns_files.scopes() == ["folder", "pipe", "ring", "zeros"]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("hosts")])
def test_what_is_no_regular_file_is_not_written(etc: pathlib.Path, make: Callable[[pathlib.Path], None]) -> None:
    (etc / "hosts").unlink(missing_ok=True)
    make(etc / "hosts")
    assert not dns_files.read_file("host", "hosts")
    assert dns_files.managed_elsewhere("hosts")
    with pytest.raises(KernelError):
        dns_files.write_file("host", "hosts", "x\n", "lab")


def test_what_root_cannot_write_is_told_before(etc: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    (etc / "hosts").write_text("")
    assert dns_files.managed_elsewhere("hosts") == ""
    for closed in (etc / "hosts", etc):
        monkeypatch.setattr(os, "access", lambda path, _mode, closed=closed: str(path) != str(closed))
        assert dns_files.managed_elsewhere("hosts").startswith(f"{closed} is read-only or immutable")
