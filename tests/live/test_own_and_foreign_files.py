"""Files under /run: what is not ours under /run/netns is left alone; a full /run/netrecon ends in a true exit code."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Callable
from typing import Any

import pytest
from snapshot import differences, snapshot
from throwaway import sh

from reconciler.cli import main
from reconciler.model.errors import Failure, KernelError
from reconciler.run import converge
from reconciler.safety import state_dir
from reconciler.safety.commit_confirmed import confirmation

pytestmark = pytest.mark.live
TOPOLOGY: dict[str, Any] = {
    "version": 1,
    "name": "x",
    "bridges": {"b0": {}},
    "sysctls": {"net.ipv4.ip_forward": 1},
    "namespaces": {"plain": {}},
}
IN_THE_WAY = {
    "a file": "echo precious > {}",
    "an empty file with permissions": "touch {}; chmod 644 {}",
    "a folder": "mkdir {}; touch {}/precious",
    "a symbolic link": "ln -s /etc/hostname {}",
    "a dangling link": "ln -s /nowhere {}",
    "a FIFO": "mkfifo {}",
    "another kind of namespace": "touch {}; mount --bind /proc/self/ns/uts {}",
    "a mounted file": "touch {}; mount --bind /etc/hostname {}",
}


@pytest.fixture
def file(tmp_path: pathlib.Path) -> str:
    path = tmp_path / "x.yaml"
    path.write_text(json.dumps(TOPOLOGY))
    return str(path)


@pytest.mark.parametrize("made", IN_THE_WAY.values(), ids=IN_THE_WAY)
def test_what_is_no_network_namespace_is_refused_and_left_alone(
    made: str, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sh(made.replace("{}", "/run/netns/plain"))
    before = sh("stat -c '%i %F %s %a %h' /run/netns/plain; cat /proc/mounts")
    assert main.main(["plan", "--json", file]) == 2
    (refusal,) = [one for one in json.loads(capsys.readouterr().out)["warnings"] if one["refuses"]]
    assert (refusal["key"], refusal["topic"]) == ("namespace/host/plain", "refused")
    assert "/run/netns/plain is " in refusal["message"]
    for command in ("apply", "delete"):
        assert main.main([command, "-q", file]) == (1 if command == "apply" else 0)
        assert sh("stat -c '%i %F %s %a %h' /run/netns/plain; cat /proc/mounts") == before
    assert "x.yaml:1" in capsys.readouterr().err


def test_a_mount_point_that_remained_is_used(file: str) -> None:
    sh("touch /run/netns/plain; chmod 0 /run/netns/plain")
    assert main.main(["apply", "-q", file]) == 0
    sh("ip netns exec plain true")
    assert main.main(["delete", "-q", file]) == 0
    assert not os.path.lexists("/run/netns/plain")


def test_a_file_that_took_the_place_of_a_namespace_of_ours_stays(file: str) -> None:
    assert main.main(["apply", "-q", file]) == 0
    sh("umount /run/netns/plain; rm /run/netns/plain; echo precious > /run/netns/plain")
    assert main.main(["delete", "-q", file]) == 0
    assert pathlib.Path("/run/netns/plain").read_text() == "precious\n"


def fill(spare: bool) -> None:
    if not spare:
        pathlib.Path(state_dir.FOLDER, state_dir.SPARE).unlink()
    sh(f"dd if=/dev/zero of={state_dir.FOLDER}/fill bs=512 2>/dev/null || true")


@pytest.mark.parametrize("spare", [True, False], ids=["with its spare room", "without"])
@pytest.mark.parametrize("confirmed", [True, False], ids=["confirmed", "not confirmed"])
def test_the_disk_fills_up_during_an_apply_that_is_to_be_confirmed(
    spare: bool, confirmed: bool, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sh("mount -t tmpfs -o size=128k,mode=755 none /run/netrecon")
    before = snapshot()
    carried_out: Callable[..., Any] = converge.apply

    def apply(*arguments: Any) -> Any:
        result = carried_out(*arguments)
        fill(spare)
        return result

    monkeypatch.setattr(converge, "apply", apply)
    if confirmed:
        monkeypatch.setattr(confirmation, "restart", lambda pending: confirmation.close(pending, "confirmed"))
    code = main.main(["apply", "-q", "--confirm-within", "1s", file])
    if confirmed:
        assert code == 0
        assert main.main(["check", "-q", file]) == 0
    else:
        assert code == 3
        assert differences(before, snapshot()) == []
    assert confirmation.pending() is None


def test_a_clock_that_cannot_be_started_takes_the_changes_back(
    file: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot()

    def full(_pending: object) -> Any:
        raise KernelError("write it", Failure(28))

    monkeypatch.setattr(confirmation, "restart", full)
    assert main.main(["apply", "-q", "--confirm-within", "60s", file]) == 3
    assert "nobody could confirm the changes: write it: No space left on device" in capsys.readouterr().err
    assert differences(before, snapshot()) == []
    assert confirmation.pending() is None
