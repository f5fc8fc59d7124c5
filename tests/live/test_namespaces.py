"""Namespaces are made, entered and deleted as ip-netns does it."""

from __future__ import annotations

import errno
import os
import pathlib
import subprocess
import sys
import threading

import pytest
from throwaway import ip_json, sh

from reconciler.kernel.namespaces import kept_sockets, libc, netns_files
from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import transport
from reconciler.model.errors import KernelError


def test_a_created_namespace_is_ips_too(kernel: Kernel) -> None:
    kernel.create_namespace("blue", "netrecon:lab")
    assert [entry["name"] for entry in ip_json("netns")] == ["blue"]
    (lo,) = ip_json("-n blue link")
    assert lo["ifalias"] == "netrecon:lab"
    assert "UP" in lo["flags"]
    sh("ip netns delete blue")
    assert kernel.namespaces() == []


def test_a_namespace_of_ips_is_ours_too(kernel: Kernel) -> None:
    sh("ip netns add blue && ip -n blue link add br0 type bridge")
    assert kernel.namespaces() == ["blue"]
    assert len(transport.dump(kernel.socket("blue"), 18, bytes(16))) == 2
    kernel.delete_namespace("blue")
    assert os.listdir("/run/netns") == []
    assert kernel.namespaces() == []


def test_an_existing_name_is_refused(kernel: Kernel) -> None:
    sh("ip netns add blue")
    with pytest.raises(KernelError, match="create namespace blue: it exists already") as caught:
        kernel.create_namespace("blue", "netrecon:lab")
    assert caught.value.failure.errno == errno.EEXIST


def test_a_leftover_file_is_no_namespace_and_is_reused(kernel: Kernel) -> None:
    sh("touch /run/netns/blue; chmod 0 /run/netns/blue; mkfifo /run/netns/pipe")
    assert kernel.namespaces() == []
    with pytest.raises(KernelError, match="there is no such namespace"):
        kernel.run("blue", os.getpid)
    kernel.create_namespace("blue", "netrecon:lab")
    assert kernel.namespaces() == ["blue"]


def test_a_leftover_file_is_removed(kernel: Kernel) -> None:
    sh("touch /run/netns/blue; chmod 0 /run/netns/blue")
    kernel.delete_namespace("blue")
    assert os.listdir("/run/netns") == []


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "host", "a\0b", "x" * 256])
def test_a_name_that_leads_elsewhere_is_refused(kernel: Kernel, name: str) -> None:
    for call in (kernel.create_namespace, lambda name, _: kernel.delete_namespace(name)):
        with pytest.raises(KernelError, match="cannot be a namespace's name"):
            call(name, "netrecon:lab")


def test_a_failed_creation_leaves_nothing_and_the_worker_at_home(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = os.stat("/proc/self/ns/net").st_ino

    def refuse(*_: object) -> None:
        raise libc.refused("mount", errno.EPERM)

    monkeypatch.setattr(libc, "mount", refuse)
    monkeypatch.setattr(netns_files, "_mount_shared", lambda: None)
    with pytest.raises(KernelError, match="needs root"):
        kernel.create_namespace("blue", "netrecon:lab")
    assert os.listdir("/run/netns") == []
    assert kernel.run("host", os.stat, "/proc/thread-self/ns/net").st_ino == home


def test_the_main_thread_never_moves(kernel: Kernel) -> None:
    before = os.stat("/proc/thread-self/ns/net").st_ino
    kernel.create_namespace("blue", "")
    there = kernel.run("blue", lambda: (os.stat("/proc/thread-self/ns/net").st_ino, threading.current_thread()))
    assert there[0] != before
    assert there[1] is not threading.current_thread()
    assert os.stat("/proc/thread-self/ns/net").st_ino == before
    assert kernel.run("host", os.stat, "/proc/thread-self/ns/net").st_ino == before


def test_what_a_function_raises_comes_out_and_the_worker_returns(kernel: Kernel) -> None:
    kernel.create_namespace("blue", "")
    with pytest.raises(ZeroDivisionError):
        kernel.run("blue", lambda: 1 // 0)
    assert kernel.run("host", os.stat, "/proc/thread-self/ns/net").st_ino == os.stat("/proc/self/ns/net").st_ino


def test_a_worker_that_cannot_return_works_no_more(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel.create_namespace("blue", "")
    real = libc.setns

    def setns(fd: int, kind: int, what: str) -> None:
        if what.startswith("return"):
            raise libc.refused(what, errno.EPERM)
        real(fd, kind, what)

    monkeypatch.setattr(libc, "setns", setns)
    for _ in range(2):
        with pytest.raises(KernelError, match="return from a namespace"):
            kernel.run("blue", int)


def test_a_socket_is_kept_and_follows_the_name(kernel: Kernel) -> None:
    sh("ip netns add blue && ip -n blue link add br0 type bridge")
    first = kernel.socket("blue")
    assert kernel.socket("blue") is first
    sh("ip netns delete blue; ip netns add blue")
    assert len(transport.dump(kernel.socket("blue"), 18, bytes(16))) == 1


def test_more_namespaces_than_descriptors(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_sockets, "_LOW", 100)
    monkeypatch.setattr(libc, "allow_descriptors", lambda _wanted: 1024)
    _make_and_read(kernel, 300)
    assert len(os.listdir("/proc/self/fd")) < 200


def test_sockets_of_many_namespaces_leave_the_low_descriptors_free(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_sockets, "_LOW", 100)
    monkeypatch.setattr(kept_sockets, "_MOST", 200)
    _make_and_read(kernel, 300)
    descriptors = [int(name) for name in os.listdir("/proc/self/fd")]
    assert len([fd for fd in descriptors if fd >= 1024]) in range(100, 201)
    assert len([fd for fd in descriptors if fd < 1024]) < 200


def _make_and_read(kernel: Kernel, number: int) -> None:
    assert kernel.create_namespaces([(f"n{one}", "", 0) for one in range(number)]) == [None] * number
    assert all(len(transport.dump(kernel.socket(name), 18, bytes(16))) == 1 for name in kernel.namespaces())
    assert list(kernel.with_sockets(kernel.namespaces())) == kernel.namespaces()


def test_many_are_made_at_once_and_each_has_its_own_error(kernel: Kernel) -> None:
    sh("ip netns add n1")
    errors = kernel.create_namespaces([("n0", "a", 0), ("n1", "b", 0), ("a/b", "c", 0), ("n2", "d", 7)])
    assert [error and error.failure.errno for error in errors] == [None, errno.EEXIST, errno.EINVAL, None]
    assert kernel.namespaces() == ["n0", "n1", "n2"]
    assert [link["group"] for link in ip_json("-n n2 link")] == ["7"]
    here = os.stat("/proc/self/ns/net").st_ino
    assert kernel.run("host", lambda: os.stat("/proc/thread-self/ns/net").st_ino) == here


def test_many_visits_in_one_go(kernel: Kernel) -> None:
    sh("ip netns add blue; ip netns add red")

    def where(word: str) -> tuple[str, int]:
        return word, os.stat("/proc/thread-self/ns/net").st_ino

    found = kernel.run_each([("blue", where, ("a",)), ("host", where, ("b",)), ("red", where, ("c",))])
    assert [word for word, _ in found] == ["a", "b", "c"]
    assert len({inode for _, inode in found}) == 3


def test_the_processes_in_a_namespace(kernel: Kernel) -> None:
    sh("ip netns add blue; ip netns add red")
    process = subprocess.Popen(["ip", "netns", "exec", "blue", "sh", "-c", "echo in; exec sleep 60"], stdout=-1)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in\n"
        assert kernel.occupants(["blue", "red"]) == {"blue": [process.pid], "red": []}
        assert kernel.pids_in("red") == []
    finally:
        process.kill()
        process.communicate()


def test_deleting_closes_our_sockets_into_it(kernel: Kernel) -> None:
    sh("ip netns add blue; ip netns add red; ip -n red link add near type veth peer name far netns blue")
    kernel.socket("blue")
    kernel.delete_namespace("blue")
    for _ in range(100):
        if len(ip_json("-n red link")) == 1:
            return
        sh("sleep 0.05")
    raise AssertionError("the peer is still there: something keeps the namespace alive")


ENTER = """
import os, sys
from reconciler.kernel.namespaces.enter import enter
for line in enter(sys.argv[1]): print(line)
sys.stdout.flush()
os.execvp("sh", ["sh", "-c", sys.argv[2]])
"""


def _enter(name: str, command: str) -> str:
    done = subprocess.run([sys.executable, "-c", ENTER, name, command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_entering_shows_the_namespaces_links_and_files(kernel: Kernel) -> None:
    sh("ip netns add blue && ip -n blue link add br0 type bridge && mkdir /etc/netns/blue")
    sh("echo 'nameserver 10.0.0.53' > /etc/netns/blue/resolv.conf; echo x > /etc/netns/blue/no-such-file")
    out = _enter("blue", "ls /sys/class/net; cat /etc/resolv.conf")
    assert "no-such-file is not used: there is no /etc/no-such-file" in out
    assert "br0" in out
    assert "nameserver 10.0.0.53" in out
    assert "10.0.0.53" not in pathlib.Path("/etc/resolv.conf").read_text()


def test_entering_without_files_of_its_own(kernel: Kernel) -> None:
    sh("ip netns add blue")
    assert _enter("blue", "ls /sys/class/net").split() == ["lo"]
