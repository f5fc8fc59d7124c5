"""Two topologies that are applied one after the other cannot publish one place twice."""

from __future__ import annotations

import json
import pathlib

import pytest
from snapshot import differences, snapshot

from reconciler.cli import main

pytestmark = pytest.mark.live


def written(folder: pathlib.Path, name: str, *port_maps: str) -> str:
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps({"version": 1, "name": name, "port_maps": list(port_maps)}))
    return str(path)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("80:10.0.0.2:80", "80:10.0.0.2:80", "port_map/host/tcp/0.0.0.0:80 belongs to topology one"),
        ("80:10.0.0.2:80", "127.0.0.1:80:10.0.0.3:80", "tcp/127.0.0.1:80 overlaps tcp/0.0.0.0:80, which topology one"),
        (
            "192.0.2.1:80:10.0.0.2:80",
            "70-90:10.0.0.3:70-90",
            "tcp/0.0.0.0:80 overlaps tcp/192.0.2.1:80, which",
        ),
        ("80-99:10.0.0.2:80-99", "70-90:10.0.0.2:70-90", "port_map/host/tcp/0.0.0.0:80 belongs to topology one"),
        ("[::]:80:[fd00::2]:80", "[2001:db8::1]:80:[fd00::2]:80", "overlaps tcp/[::]:80, which topology one"),
    ],
)
def test_what_another_topology_publishes_is_in_the_way(
    first: str, second: str, said: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["apply", "-q", written(tmp_path, "one", first)]) == 0
    before = snapshot()
    two = written(tmp_path, "two", second)
    capsys.readouterr()
    assert main.main(["apply", two]) == 1
    err = capsys.readouterr().err
    assert said in err
    assert err.startswith(f"{two}:1:")
    assert err.count("\n") == 1
    for command in ("plan", "check"):
        assert main.main([command, "-v", two]) == 2
        (refused,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("! apply refuses this")]
        assert said in refused
    assert differences(before, snapshot()) == []


def test_the_same_port_of_another_protocol_family_or_address_is_not(tmp_path: pathlib.Path) -> None:
    assert main.main(["apply", "-q", written(tmp_path, "one", "80:10.0.0.2:80", "192.0.2.1:81:10.0.0.2:80")]) == 0
    two = written(tmp_path, "two", "80:10.0.0.2:80/udp", "[::]:80:[fd00::2]:80", "192.0.2.2:81:10.0.0.2:80")
    assert main.main(["apply", "-q", two]) == 0


def test_a_port_moves_from_one_topology_to_another_in_one_run(tmp_path: pathlib.Path) -> None:
    assert main.main(["apply", "-q", written(tmp_path, "one", "80:10.0.0.2:80", "90:10.0.0.2:90")]) == 0
    files = [written(tmp_path, "one", "90:10.0.0.2:90"), written(tmp_path, "two", "127.0.0.1:80:10.0.0.2:80")]
    assert main.main(["apply", "-q", *files]) == 0
    assert main.main(["check", *files]) == 0
