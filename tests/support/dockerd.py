"""A real dockerd in the throwaway host, which goes with all that is its own, and its containers."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from typing import Any

import pytest
from throwaway import sh

TREE = pathlib.Path(__file__).parents[2] / ".venv" / "docker"  # where scripts/setup.sh unpacks Debian's packages
SYSTEM = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PATH = f"{TREE}/usr/sbin:{TREE}/usr/bin:{TREE}/bin:{SYSTEM}"
NEEDED = ("dockerd", "containerd", "runc", "docker-proxy", "busybox")
IMAGE = "only-busybox"
MACHINE = os.readlink("/proc/thread-self/ns/net")  # read at import: the machine's own network, where no dockerd starts
FOLDER = pathlib.Path("/run/dockerd")  # in the memory of the throwaway host; paths of sockets have to be short
GROUP = f"netrecon-{os.getpid()}"

# The throwaway host has a /sys of its own network, without the control groups that a container needs.
MOUNTS = (
    "umount /sys && mkdir -p /run/cgroup && mount --rbind /sys/fs/cgroup /run/cgroup "
    "&& mount -t sysfs none /sys && mount --rbind /run/cgroup /sys/fs/cgroup"
)

LEAVE = f"find /run/cgroup -depth -type d -name {GROUP} -exec rmdir {{}} +"


def skip_without() -> None:
    """Skip the test, and say so, where dockerd cannot be had."""
    missing = [name for name in NEEDED if not shutil.which(name, path=PATH)]
    if missing:
        pytest.skip(f"no {', '.join(missing)} here: scripts/setup.sh test unpacks them where apt-get can download")


class Dockerd:
    """The daemon; ``tables`` is the iptables that it calls: nft or legacy."""

    def __init__(self, tables: str = "nft") -> None:
        self._folder = FOLDER
        self._options: tuple[str, ...] = ()
        self._socket = "/run/docker.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self._tools = FOLDER / "bin"
        self._tools.mkdir(parents=True)
        for name in ("iptables", "ip6tables"):
            tool = shutil.which(f"{name}-{tables}", path=SYSTEM)
            if tool is None:
                pytest.skip(f"{name}-{tables} is not installed")
            (self._tools / name).symlink_to(tool)

    # -------------------------------------------------------------------------------------------- the daemon

    def options(self, *options: str) -> None:
        """What to start it with besides."""
        self._options = options

    def start(self) -> None:
        """Start it and wait until it answers."""
        assert os.readlink("/proc/thread-self/ns/net") != MACHINE, "not in a throwaway host"
        command = ["dockerd", "--iptables=true", "--storage-driver=vfs", f"--host=unix://{self._socket}"]
        command += [f"--data-root={self._folder}/data", f"--exec-root={self._folder}/exec"]
        command += [f"--pidfile={self._folder}/pid", f"--cgroup-parent=/{GROUP}", *self._options]
        environment = {**os.environ, "PATH": f"{self._tools}:{PATH}"}
        with open(self._folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                ["unshare", "--mount", "--propagation=private", "sh", "-c", f"{MOUNTS} && exec {' '.join(command)}"],
                env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        for _ in range(600):
            assert self._process.poll() is None, self.log()
            with contextlib.suppress(OSError):
                if self._ask("GET", "/_ping") == "OK":
                    return
            time.sleep(0.1)
        raise AssertionError(f"dockerd does not answer: {self.log()}")

    def stop(self) -> None:
        """Stop it, as systemctl stop does."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
            self._process = None

    def restart(self) -> None:
        """Stop and start it: without live-restore the containers end, those that always restart come back."""
        self.stop()
        self.start()

    def log(self) -> str:
        """What it wrote."""
        return (self._folder / "log").read_text(errors="replace")

    # -------------------------------------------------------------------------------------------- containers

    def run(self, name: str, *publish: str, restart: str = "no") -> int:
        """Start a container that publishes ports (HOST:CONTAINER/PROTOCOL); the pid of its first process."""
        if IMAGE not in str(self._ask("GET", "/images/json")):
            self._ask("POST", f"/images/create?fromSrc=-&repo={IMAGE}", _image(), "application/x-tar")
        bindings: dict[str, list[dict[str, str]]] = {}
        for port, _, inner in (one.partition(":") for one in publish):
            bindings.setdefault(inner, []).append({"HostPort": port})
        document = {
            "Image": IMAGE,
            "Cmd": ["/busybox", "sleep", "3600"],
            "StopSignal": "SIGKILL",  # the first process of a container ignores SIGTERM
            "ExposedPorts": {port: {} for port in bindings},
            "HostConfig": {"PortBindings": bindings, "RestartPolicy": {"Name": restart}, "SecurityOpt": UNCONFINED},
        }
        self._ask("POST", f"/containers/create?name={name}", json.dumps(document).encode())
        self._ask("POST", f"/containers/{name}/start")
        return self.pid(name)

    def pid(self, name: str) -> int:
        """The pid of a container's first process, 0 for none; it is a new one after each start."""
        return int(self._ask("GET", f"/containers/{name}/json")["State"]["Pid"])

    def remove(self, name: str) -> None:
        """Remove a container, running or not."""
        self._ask("DELETE", f"/containers/{name}?force=1")

    def clear(self) -> None:
        """Remove all containers and stop: no process and no control group stays."""
        if self._process is not None:
            for container in self._ask("GET", "/containers/json?all=1"):
                self.remove(container["Id"])
        self.stop()
        sh(f"unshare --mount --propagation=private sh -c '{MOUNTS} && {LEAVE}'")

    # -------------------------------------------------------------------------------------------- its interface

    def _ask(self, method: str, path: str, body: bytes = b"", kind: str = "application/json") -> Any:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(60)
            sock.connect(self._socket)
            connection = http.client.HTTPConnection("localhost")
            connection.sock = sock
            connection.request(method, path, body, {"Content-Type": kind, "Connection": "close"})
            answer = connection.getresponse()
            text = answer.read().decode()
        assert answer.status < 400, f"{method} {path}: {answer.status} {text}"
        is_one_document = answer.headers.get_content_type() == "application/json" and "images/create" not in path
        return json.loads(text) if is_one_document else text


UNCONFINED = ["apparmor=unconfined", "seccomp=unconfined"]


def _image() -> bytes:
    """The root of a file system with nothing but busybox in it."""
    busybox = shutil.which("busybox", path=PATH)
    assert busybox is not None
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(busybox, "busybox")
    return buffer.getvalue()


@contextlib.contextmanager
def running(tables: str = "nft") -> Iterator[Dockerd]:
    """A dockerd, not started yet, that is stopped at the end, with everything of its own gone."""
    skip_without()
    daemon = Dockerd(tables)
    try:
        yield daemon
    finally:
        daemon.clear()
