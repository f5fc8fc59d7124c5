"""Several topologies given together: what one alone could not know."""

import pathlib

import pytest

from reconciler.cli import main

HEAD = "version: 1\nname: {}\n"


def validate(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], *bodies: str) -> tuple[int, str]:
    for name, body in zip("ab", bodies, strict=True):
        (tmp_path / f"{name}.yaml").write_text(HEAD.format(name) + body)
    code = main.main(["validate", str(tmp_path)])
    return code, capsys.readouterr().err


def test_the_same_port_on_one_address_and_on_all(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    bodies = ['port_maps: ["80:10.0.0.2:80"]\n', 'port_maps: ["127.0.0.1:80:10.0.0.3:80"]\n']
    code, err = validate(tmp_path, capsys, *bodies)
    assert code == 1
    assert "b.yaml:3" in err
    assert "overlaps" in err


def test_the_same_range_is_told_of_once(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, err = validate(tmp_path, capsys, *['port_maps: ["8000-8099:10.0.0.2:8000-8099"]\n'] * 2)
    assert code == 1
    assert err.count("\n") == 1
    assert "port_map/host/tcp/0.0.0.0:8000 is declared by topology a too" in err


def test_the_same_bridge(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, err = validate(tmp_path, capsys, "bridges: {br0: {}}\n", "bridges: {br0: {}}\n")
    assert code == 1
    assert "bridge/host/br0 is declared by topology a too" in err


def test_the_same_sysctl_with_the_same_value_is_shared(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = "sysctls: {net.ipv4.ip_forward: 1}\n"
    assert validate(tmp_path, capsys, body, body)[0] == 0
    assert validate(tmp_path, capsys, body, "sysctls: {net.ipv4.ip_forward: 0}\n")[0] == 1
