"""Links in namespaces without a name, as containers have them, are not lost with the link that they lie on."""

from __future__ import annotations

import json
import pathlib
import subprocess
from collections.abc import Iterator

import pytest
from throwaway import sh

from reconciler.cli import main

pytestmark = pytest.mark.live
WITH, WITHOUT = {"bridges": {"br0": {}}}, {"bridges": {}}


def write(path: pathlib.Path, document: object) -> str:
    path.write_text(json.dumps({"version": 1, "name": "t", **document}))  # type: ignore[dict-item]
    return str(path)


@pytest.fixture
def container(host: None) -> Iterator[int]:
    """The process of a container: its network namespace bears no name."""
    with subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec sleep 600"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


@pytest.mark.parametrize("command", ["apply", "delete"])
def test_a_containers_macvlan_on_a_link_that_goes(
    container: int, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    file = write(tmp_path / "t.yaml", WITH)
    assert main.main(["apply", file]) == 0
    sh(f"ip link add mv0 link br0 type macvlan && ip link set mv0 netns {container}")
    write(tmp_path / "t.yaml", WITHOUT)
    assert main.main([command, file]) != 0
    assert f"/proc/{container}/ns/net" in capsys.readouterr().err
    assert "mv0" in sh(f"nsenter --net=/proc/{container}/ns/net ip link show")
    assert main.main([command, "--force", file]) == 0
    assert "mv0" in capsys.readouterr().out
    assert "mv0" not in sh(f"nsenter --net=/proc/{container}/ns/net ip link show")


def test_a_container_on_another_link_is_in_nobodys_way(container: int, tmp_path: pathlib.Path) -> None:
    file = write(tmp_path / "t.yaml", WITH)
    assert main.main(["apply", file]) == 0
    sh(f"ip link add e0 type bridge && ip link add mv0 link e0 type macvlan && ip link set mv0 netns {container}")
    assert main.main(["delete", file]) == 0
    assert "mv0" in sh(f"nsenter --net=/proc/{container}/ns/net ip link show")
