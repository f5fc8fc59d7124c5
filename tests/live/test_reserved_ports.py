"""The list of ports that the kernel lends to nobody, shared by topologies and other people."""

from __future__ import annotations

import json
import os
import pathlib

import pytest
from throwaway import sh

from reconciler.cli import main
from reconciler.model import port_ranges

pytestmark = pytest.mark.live

LIST = "/proc/sys/net/ipv4/ip_local_reserved_ports"


def reserved() -> str:
    """The kernel's list, whole: it is told to one read alone."""
    fd = os.open(LIST, os.O_RDONLY)
    try:
        return os.read(fd, 1 << 18).decode().strip()
    finally:
        os.close(fd)


def file(folder: pathlib.Path, name: str, *port_maps: str) -> str:
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps({"version": 1, "name": name, "port_maps": list(port_maps)}))
    return str(path)


def run(command: str, *files: str) -> None:
    assert main.main([command, "-q", *files]) == 0
    if command == "apply":
        assert main.main(["check", "-q", *files]) == 0


@pytest.fixture
def shared(tmp_path: pathlib.Path) -> list[str]:
    """Two topologies applied, which both need port 40000 reserved beside somebody's 50000."""
    sh(f"echo 50000 > {LIST}")
    files = [file(tmp_path, "one", "40000:10.0.0.2:80"), file(tmp_path, "two", "40000:10.0.0.2:80/udp")]
    run("apply", *files)
    assert reserved() == "40000,50000"
    return files


def test_two_that_share_a_port_are_deleted_together(shared: list[str]) -> None:
    run("delete", *shared)
    assert reserved() == "50000"


def test_two_that_share_a_port_are_deleted_one_after_the_other(shared: list[str]) -> None:
    run("delete", shared[0])
    assert reserved() == "40000,50000"
    run("delete", shared[1])
    assert reserved() == "50000"


def test_one_of_two_gives_a_shared_port_up(shared: list[str], tmp_path: pathlib.Path) -> None:
    one = file(tmp_path, "one", "41000:10.0.0.2:80")
    run("apply", one)
    assert reserved() == "40000,41000,50000"
    run("delete", shared[1])
    assert reserved() == "41000,50000"
    run("delete", one)
    assert reserved() == "50000"


def test_both_give_a_shared_port_up_in_one_run(shared: list[str], tmp_path: pathlib.Path) -> None:
    run("apply", file(tmp_path, "one", "80:10.0.0.2:80"), file(tmp_path, "two", "81:10.0.0.2:80"))
    assert reserved() == "50000"


def test_a_port_moves_from_one_topology_to_another(shared: list[str], tmp_path: pathlib.Path) -> None:
    run("delete", shared[1])
    moved = [file(tmp_path, "one", "80:10.0.0.2:80"), file(tmp_path, "two", "40000:10.0.0.2:80/sctp")]
    run("apply", *moved)
    assert reserved() == "40000,50000"
    run("delete", moved[1])
    assert reserved() == "50000"


def test_a_list_longer_than_a_page_stays_whole(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = port_ranges.written(port_ranges.ranges_of(range(20001, 32000, 2)))
    fd = os.open(LIST, os.O_WRONLY)
    for at in range(0, len(foreign), 300):
        os.write(fd, ",".join(foreign[at : at + 300]).encode() + b"\n")
    os.close(fd)
    before = reserved()
    assert len(before) > 30_000
    seen, write = [], os.pwrite

    def watched(fd: int, data: bytes, place: int) -> int:
        done = write(fd, data, place)
        seen.append(reserved())
        return done

    monkeypatch.setattr(os, "pwrite", watched)
    one = file(tmp_path, "one", *(f"{port}:10.0.0.2:80" for port in range(33001, 37000, 2)))
    run("apply", one)
    assert len(reserved()) > len(before) + 10_000
    assert len(seen) > 1
    assert all(text.startswith(before) for text in seen), "what others reserved was gone for a moment"
    run("delete", one)
    assert reserved() == before
