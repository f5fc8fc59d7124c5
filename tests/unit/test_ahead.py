"""What a host refuses of a plan is told before any change: limits of the kernel, made small for these tests."""

from __future__ import annotations

import io
import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest
from pretended import seam

from reconciler.cli import main
from reconciler.kernel.namespaces import limit
from reconciler.kinds.links import bridge_ports


@pytest.fixture
def applied(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Callable[..., tuple[int, str]]:
    def apply(commands: list[str], **topology: Any) -> tuple[int, str]:
        pretended = seam.plug_in(monkeypatch, tmp_path)
        pretended.sh(*commands)
        file = tmp_path / "t.yaml"
        file.write_text(json.dumps({"version": 1, "name": "t", **topology}))
        code = main.main(["apply", "-q", str(file)])
        return code, capsys.readouterr().err

    return apply


@pytest.mark.parametrize(("foreign", "leaving", "code"), [(2, 0, 0), (3, 0, 1), (3, 1, 0)])
def test_ports_of_others_count(
    applied: Callable[..., tuple[int, str]], foreign: int, leaving: int, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge_ports, "MOST", 3)
    made = [f"ip link add t{n} type ifb" for n in range(foreign)]
    joined = [f"ip link set t{n} master br0" for n in range(foreign)]
    interfaces = {"br0": {}, **{f"t{n}": {"master": "none"} for n in range(leaving)}}
    veths = {"v0": {"master": "br0", "peer": {"name": "w0"}}}
    found, err = applied(["ip link add br0 type bridge", *made, *joined], interfaces=interfaces, veths=veths)
    assert found == code, err
    told = "br0 would have 4 ports with those of others; the kernel takes at most 3 on one bridge"
    assert (told in err) == (code == 1)


@pytest.mark.parametrize(
    ("made", "present", "of_all", "told"), [(3, 0, True, ""), (2, 2, True, "3"), (2, 2, False, "")]
)
def test_namespaces(made: int, present: int, of_all: bool, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"/proc/sys/user/max_net_namespaces": "3\n", "/proc/self/uid_map": f"0 0 {4294967295 if of_all else 1}\n"}
    monkeypatch.setattr("builtins.open", lambda name, *_: io.StringIO(files[name]))
    text = limit.exceeded(made, present)
    assert bool(text) == bool(told)
    assert not told or text.endswith("user.max_net_namespaces allows 3 in all, raise it to 4 or more")
